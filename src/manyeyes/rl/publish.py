"""`publish`: the trainer's weights become those of the policy that samples, between two of its steps.

Requests under way go on with the new weights; each token says which version sampled it.

Report: App. D (partial rollouts).
"""

import time

from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.sampler import PolicySampler
from manyeyes.rl.policy_model import PolicyModel


async def publish(sampler: PolicySampler, model: PolicyModel, *, version: int) -> float:
    """Seconds that it took. Nobody may change the weights meanwhile.

    Raises:
        ManyeyesError: the sampler has another version afterwards.
        ConfigError: the sampler refuses it; it samples with the weights it had.
    """
    began = time.perf_counter()
    await sampler.publish(version, {name: tensor.detach() for name, tensor in model.state_dict().items()})
    if sampler.version != version:
        raise ManyeyesError(f"version {version} was published, but the sampler says it has {sampler.version}")
    return time.perf_counter() - began


async def catch_up(sampler: PolicySampler, model: PolicyModel, *, version: int) -> None:
    """Bring a sampler to the version where a run begins or goes on; at version 0 it has the trainer's weights already.

    Raises:
        ConfigError: it has a newer version.
    """
    if sampler.version > version:
        raise ConfigError(
            f"the run goes on at version {version}, but the sampler has version {sampler.version}; start it anew"
        )
    if sampler.version < version:
        await publish(sampler, model, version=version)
