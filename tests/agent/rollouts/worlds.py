"""Samplers and environments for tests of rollouts: cheap, and as unreliable as they are told to be."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from manyeyes.agent.judge import Verdict
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.token_environment import TokenObservation, TokenStep
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.sampler import Completion, SampleRequest, SampleUsage, SamplingParams

GIVEN = np.array([1, 2, 3], np.int32)
FOREVER = 1e9
Deed = Callable[[RolloutCtx, int], Awaitable[None]]


async def nothing(ctx: RolloutCtx, turn: int) -> None:
    """Happens between two turns."""


@dataclass
class Quick:
    """A sampler that always says the same; `before` happens to each request first."""

    ids: tuple[int, ...] = (7, 8)
    version: int = 0
    before: Callable[[SampleRequest], Awaitable[None]] | None = None
    requests: list[SampleRequest] = field(default_factory=list)

    async def sample(self, request: SampleRequest, *, on_token: Any = None) -> Completion:
        self.requests.append(request)
        if self.before is not None:
            await self.before(request)
        n = len(self.ids)
        usage = SampleUsage(len(request.ids), 0, n)
        return Completion(list(self.ids), [-0.25] * n, [self.version] * n, "stop", usage=usage)

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        return [await self.sample(request) for _ in range(count)]


@dataclass
class Turns:
    """A token environment of so many turns; `deed` happens in each of them."""

    turns: int = 2
    deed: Deed = nothing
    name: str = "turns"
    params: SamplingParams = SamplingParams(max_new_tokens=8)
    verdict: Callable[[Outcome, RolloutCtx], Awaitable[Verdict | None]] | None = None

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        ctx.state = 0
        return TokenObservation(GIVEN)

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        ctx.state += 1
        await self.deed(ctx, ctx.state)
        return TokenStep(TokenObservation(GIVEN[:1]) if ctx.state < self.turns else None, {"turns": 1.0})

    async def judge(self, outcome: Outcome, ctx: RolloutCtx) -> Verdict | None:
        return None if self.verdict is None else await self.verdict(outcome, ctx)


def request(number: int, episode: Any, size: int = 2, **more: Any) -> GroupRequest:
    return GroupRequest(str(number), Task("task", "do it"), episode, size, **more)


async def hang(ctx: RolloutCtx, turn: int) -> None:
    await asyncio.sleep(FOREVER)
