"""manyeyes: a token environment through the rollout manager; completions are made in the process or come over HTTP."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
from measured import GIVEN, Case, Told, measure
from mock_sampler import MockSampler

from manyeyes.agent.judge import Verdict
from manyeyes.agent.remote_manyeyes import ManyeyesSampler
from manyeyes.agent.remote_wire import Server
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.token_environment import TokenObservation, TokenStep
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.sampler import Completion, OnToken, Sampler, SampleRequest, SamplingParams

AT_ONCE = 1024
"""Requests, each on a connection of its own."""
OBSERVED = TokenObservation(np.arange(GIVEN, dtype=np.int32))


class SlowTool:
    """An environment whose tool takes its time."""

    name = "slow tool"

    def __init__(self, case: Case) -> None:
        self.turns, self.delay = case.turns, case.delays()
        self.params = SamplingParams(max_new_tokens=case.tokens, temperature=1.0)

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        """See `TokenEnvironment.reset`."""
        return OBSERVED

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        """See `TokenEnvironment.step`."""
        await asyncio.sleep(self.delay())
        return TokenStep(OBSERVED if ctx.turns < self.turns else None)

    async def judge(self, outcome: Outcome, ctx: RolloutCtx) -> Verdict | None:
        """See `TokenEnvironment.judge`."""
        return Verdict(1.0, {"done": 1.0})


class AtMost:
    """A sampler that is asked for no more at once than a server's queue of new connections takes."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler, self._places = sampler, asyncio.Semaphore(AT_ONCE)

    @property
    def version(self) -> int:
        """See `Sampler.version`."""
        return self._sampler.version

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        """See `Sampler.sample`."""
        async with self._places:
            return await self._sampler.sample(request, on_token=on_token)

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        """See `Sampler.sample_many`."""
        async with self._places:
            return await self._sampler.sample_many(request, count)


def config_of(case: Case) -> RolloutConfig:
    """Everything at once, with a deadline on every wait."""
    return RolloutConfig(most_running=case.tasks, most_open=2 * case.tasks, burst=500, attempt_seconds=3600.0)


async def rollouts(case: Case) -> Told:
    """One run; everything that comes out is kept until its end."""
    environment, groups = SlowTool(case), list[Group]()
    async with AsyncExitStack() as stack:
        sampler: Sampler = MockSampler(case.tokens)
        if case.url:
            sampler = AtMost(await stack.enter_async_context(ManyeyesSampler(Server(case.url))))
        manager = await stack.enter_async_context(RolloutManager({"live": sampler}, config=config_of(case)))
        running = asyncio.create_task(most_running(manager))
        for number in range(-(-case.tasks // case.group)):
            size = min(case.group, case.tasks - number * case.group)
            manager.submit(GroupRequest(str(number), Task(f"t{number}", ""), environment, size=size))
            if number % 64 == 0:
                await asyncio.sleep(0.0)
        async for group in manager.results():
            groups.append(group)
        running.cancel()
        seen = await running
        snapshot = manager.snapshot()
    return lambda: told(case, groups) | {"most_live": max(seen), "turns": snapshot.turns}


async def most_running(manager: RolloutManager) -> list[int]:
    """How many ran, each tenth of a second, until it is cancelled."""
    seen = [0]
    try:
        while True:
            await asyncio.sleep(0.1)
            seen.append(manager.snapshot().running)
    except asyncio.CancelledError:
        return seen


def told(case: Case, groups: list[Group]) -> dict[str, Any]:
    """What came out: each attempt once, and the bytes of its tokens."""
    found = [trajectory for group in groups for trajectory in group.trajectories]
    names = {trajectory.name for trajectory in found}
    good = [one for one in found if one.stop == "done" and one.reward == 1.0 and len(one.nodes) == case.turns]
    return {
        "finished": len(good), "lost": case.tasks - len(names), "duplicated": len(found) - len(names),
        "token_kib": sum(node.nbytes for one in found for node in one.nodes) / 1024,
    }  # fmt: skip


if __name__ == "__main__":
    measure(rollouts, ["numpy", "uvloop", "aiohttp"])
