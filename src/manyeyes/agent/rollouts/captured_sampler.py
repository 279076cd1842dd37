"""`CapturedSampler`: a sampler under a `TokenChat` whose answers a checkpoint can hold and a resumed run can replay.

    TokenChat(CapturedSampler(sampler), tokenizer, rules)

What an agent has sampled of an answer is known from the moment that it is handed back, and a resumed run gives it back
token for token, so that the chat format above finds its turns again. Without it runs of texts can be suspended within a
process, but not over the end of one.

Report: App. D (token in, token out; partial rollouts).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from manyeyes.agent.rollouts.agent_model import ASKING
from manyeyes.agent.rollouts.agent_waits import AgentWaits
from manyeyes.agent.rollouts.past import Drifted
from manyeyes.core.sampler import Completion, OnToken, PolicySampler, Sampler, SampleRequest, joined


class CapturedSampler:
    """See the module.

    Args:
        sampler: what samples; a `PolicySampler` where the run is to be suspended.
    """

    def __init__(self, sampler: Sampler | PolicySampler) -> None:
        self.sampler: Any = sampler

    @property
    def version(self) -> int:
        """See `Sampler.version`."""
        return self.sampler.version

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        """See `Sampler.sample`."""
        agent = ASKING.get()
        if agent is None:
            return await self.sampler.sample(request, on_token=on_token)
        if request.drawn == 0:
            agent.part = None
            if (known := _known(agent, request)) is not None:
                for token, logprob in zip(known.ids, known.logprobs, strict=True):
                    if on_token is not None:
                        on_token(token, logprob)
                return known
        agent.host.sampling += 1
        try:
            part = await self.sampler.sample(request, on_token=on_token)
        finally:
            agent.host.sampling -= 1
        agent.part = _so_far(agent.part, part) if part.unfinished else None
        return part

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        """See `Sampler.sample_many`."""
        return await self.sampler.sample_many(request, count)

    async def pause(self, *, hand_back: bool = False) -> None:
        """See `PolicySampler.pause`."""
        await self.sampler.pause(hand_back=hand_back)

    async def resume(self) -> None:
        """See `PolicySampler.resume`."""
        await self.sampler.resume()

    async def publish(self, version: int, tensors: Mapping[str, Any], *, hand_back: bool = False) -> None:
        """See `PolicySampler.publish`."""
        await self.sampler.publish(version, tensors, hand_back=hand_back)


def _known(agent: AgentWaits, request: SampleRequest) -> Completion | None:
    """What an interrupted run had sampled of the answer that is asked for now."""
    past = agent.past
    if past is None:
        return None
    if past.completions:
        told = past.completions.popleft()
        if not np.array_equal(request.ids[-len(told.given) :], told.given):
            raise Drifted(f"{agent.attempt.name}: {agent.agent} was given other ids before its turn {agent.turns}")
        agent.asked_at, agent.replayed = told.at, told.node
        return told.completion
    agent.part = part = past.take_part()
    return part


def _so_far(before: Completion | None, part: Completion) -> Completion:
    return joined(before, part) if before is not None and before.ids else part
