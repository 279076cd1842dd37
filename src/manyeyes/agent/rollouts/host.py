"""`Host`: what all attempts of a run share, seen from an attempt: models, time, limits, the gate, the pool.

Report: App. D.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.clock import StopClock
from manyeyes.agent.gate import Gate
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.line import Line, Timekeeping
from manyeyes.agent.rollouts.stats import RolloutStats
from manyeyes.agent.rollouts.ticker import ticks
from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import Sampler
from manyeyes.core.trajectory import Policy


class Pool(Protocol):
    """What leases environments; see `rollouts.pool.EnvironmentPool`."""

    def lease(
        self, kind: str, *, owner: str, seconds: float, priority: int = 0
    ) -> AbstractAsyncContextManager[Any]:  # fmt: skip
        """A lease, whose `resource` is there once it was entered."""
        ...

    def take_back(self, owner: str) -> int:
        """End all leases of somebody."""
        ...

    def stats(self) -> dict[str, dict[str, Any]]:
        """What there is, by kind."""
        ...


@dataclass(slots=True, eq=False)
class Host:
    """See the module.

    Attributes:
        sampling: requests that are with a sampler now.
        refused: requests so far whose queue was full.
        hung: told of a line whose task does not end.
        episode_of: makes an `Episode` of whatever stands for one.
    """

    config: RolloutConfig
    models: Mapping[Policy, ChatModel | Sampler]
    clock: StopClock
    times: Timekeeping
    stats: RolloutStats
    gate: Gate
    pool: Pool | None
    hung: Callable[[Any, Line], None]
    episode_of: Callable[[Any], Any]
    version: int = 0
    sampling: int = 0
    refused: int = 0
    model_ticks: int = 0
    tool_ticks: int = 0
    pool_ticks: int = 0
    judge_ticks: int = 0

    def __post_init__(self) -> None:
        self.model_ticks, self.tool_ticks = ticks(self.config.model_seconds), ticks(self.config.tool_seconds)
        self.pool_ticks, self.judge_ticks = ticks(self.config.pool_seconds), ticks(self.config.judge_seconds)

    def sampler(self, policy: Policy) -> Sampler:
        """What samples for agents of a policy.

        Raises:
            ConfigError: nothing does.
        """
        model = self._model(policy)
        sampler = model if hasattr(model, "sample") else getattr(model, "sampler", None)
        if sampler is None:
            raise ConfigError(f"the {policy!r} model ({type(model).__name__}) answers texts; tokens need a Sampler")
        return sampler

    def chat(self, policy: Policy) -> ChatModel:
        """What answers agents of a policy.

        Raises:
            ConfigError: nothing does.
        """
        model = self._model(policy)
        if not hasattr(model, "complete"):
            raise ConfigError(f"the {policy!r} model ({type(model).__name__}) samples tokens; texts need a TokenChat")
        return model  # pyright: ignore[reportReturnType]

    def _model(self, policy: Policy) -> Any:
        if policy not in self.models:
            raise ConfigError(f"an agent needs a {policy!r} model; this run has {sorted(self.models)}")
        return self.models[policy]
