"""manyeyes: the same tasks in bad weather: failures, hangs, cancellations, new weights, leases that nobody gives back.

one in ten      fails in one of its turns, for one of several reasons
one in twenty   hangs in one of its turns, half of these against their cancellation
one in three    borrows something of a pool in every turn; one in a hundred of all tasks never gives it back
now and then    a group is cancelled, or its consumer is slow
every 10 s      all attempts are suspended in the middle of what they do, and go on with new weights
"""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Any

from manyeyes_tokens import SlowTool, config_of
from measured import Case, Told, measure
from mock_sampler import MockSampler

from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.pool_kind import PoolKind
from manyeyes.agent.rollouts.token_environment import TokenStep
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.task import Task
from manyeyes.core import seeds
from manyeyes.core.sampler import Completion, SamplerError

UPDATE_SECONDS = 10.0
FAILURES = (RuntimeError("by plan"), SandboxUnavailable("by plan"), SamplerError("by plan"), OSError("by plan"))


class Room:
    """Something to borrow that now and then is not well."""

    def __init__(self, draw: random.Random) -> None:
        self.draw, self.open_ones = draw, 0

    async def open(self) -> None:
        """See `Resource.open`."""
        await asyncio.sleep(0.01)
        if self.draw.random() < 0.02:
            raise OSError("by plan")

    async def reset(self) -> None:
        """See `Resource.reset`."""

    async def healthy(self) -> bool:
        """See `Resource.healthy`."""
        return self.draw.random() > 0.01

    async def close(self) -> None:
        """See `Resource.close`."""
        await asyncio.sleep(0.01)


class BadWeather(SlowTool):
    """What happens to an attempt follows from its name."""

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        """See `TokenEnvironment.step`."""
        fate = seeds.stream(0, "fate", *ctx.attempt.name.encode()) if ctx.state is None else None
        if fate is not None:
            ctx.state = fate.random(), int(fate.integers(self.turns)), fate.random() < 1 / 3, fate.random() < 0.01
        luck, turn, borrows, keeps = ctx.state
        if turn == ctx.turns - 1:
            await self._struck(luck, ctx)
        if keeps and ctx.turns == 1 and ctx.host.pool is not None:
            await ctx.host.pool.lease("room", owner=ctx.attempt.name, seconds=inf).__aenter__()
        if not borrows:
            return await super().step(completion, ctx)
        async with ctx.lease("room"):
            await asyncio.sleep(0.0)
        return await super().step(completion, ctx)

    async def _struck(self, luck: float, ctx: RolloutCtx) -> None:
        if luck < 0.10:
            raise FAILURES[int(luck * 40)]
        if luck < 0.125:
            await asyncio.get_running_loop().create_future()
        if luck < 0.15:
            with suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()
            await asyncio.get_running_loop().create_future()


def weather(case: Case) -> RolloutConfig:
    """Hangs end within the time in which a tool would have ended."""
    return replace(config_of(case), tool_seconds=15.0 * case.delay + 1.0, infra_retries=1, breaker=10**9)


async def rollouts(case: Case) -> Told:
    """One run."""
    draw, groups = random.Random(case.seed), list[Group]()
    kinds = {"room": PoolKind(lambda: Room(draw), most=2000, warm=50, uses=100, tries=50)}
    sampler, environment = MockSampler(case.tokens), BadWeather(case)
    count = -(-case.tasks // case.group)
    async with EnvironmentPool(kinds) as pool:
        async with RolloutManager({"live": sampler}, config=weather(case), pool=pool) as manager:
            for number in range(count):
                size = min(case.group, case.tasks - number * case.group)
                manager.submit(GroupRequest(str(number), Task(f"t{number}", ""), environment, size=size))
            troubles = [
                asyncio.create_task(_updates(manager, sampler)),
                asyncio.create_task(_cancels(manager, count, draw)),
            ]
            async for group in manager.results():
                groups.append(group)
                if draw.random() < 0.001:
                    await asyncio.sleep(0.05)
            for trouble in troubles:
                trouble.cancel()
            snapshot = manager.snapshot()
        await asyncio.sleep(0)
        left = pool.stats()["room"]
    closed = pool.stats()["room"]
    return lambda: _told(case, groups) | {
        "turns": snapshot.turns, "counts": [snapshot.finished, snapshot.failed, snapshot.cancelled],
        "failures": snapshot.failures, "retries": snapshot.retries, "updates": snapshot.version,
        "leases": left["leases"], "leaked_leases": left["leased"] + left["waiting"],
        "leaked_instances": closed["created"] - closed["closed"], "pool": closed,
    }  # fmt: skip


async def _updates(manager: RolloutManager, sampler: MockSampler) -> None:
    for version in range(1, 10**6):
        await asyncio.sleep(UPDATE_SECONDS)
        await manager.suspend()
        await sampler.publish(version, {})
        manager.set_version(version)
        await manager.go_on()


async def _cancels(manager: RolloutManager, groups: int, draw: random.Random) -> None:
    while True:
        await asyncio.sleep(0.2)
        manager.cancel(str(draw.randrange(groups)))


def _told(case: Case, groups: list[Group]) -> dict[str, Any]:
    """What came out: each attempt once, each failure with its cause; and tokens that were sampled with what weights."""
    found = [trajectory for group in groups for trajectory in group.trajectories]
    names = Counter(trajectory.name for trajectory in found)
    wanted = {group.request.name_of(number) for group in groups for number in range(group.request.size)}
    good = [one for one in found if one.stop == "done" and len(one.nodes) == case.turns and one.reward == 1.0]
    unexplained = [one.name for one in found if one.stop != "done" and not one.masked]
    spans = sum(len(set(node.versions.tolist())) > 1 for one in found for node in one.nodes)
    return {
        "finished": len(good), "lost": case.tasks - len(wanted & set(names)), "duplicated": len(found) - len(names),
        "ended": dict(Counter(one.stop for one in found)), "unexplained": len(unexplained),
        "turns_of_two_versions": spans, "token_kib": sum(n.nbytes for one in found for n in one.nodes) / 1024,
    }  # fmt: skip


if __name__ == "__main__":
    measure(rollouts, ["numpy", "uvloop"])
