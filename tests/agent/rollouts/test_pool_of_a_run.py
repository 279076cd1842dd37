"""The pool in the hands of attempts: whatever becomes of them, nothing that they borrowed stays borrowed."""

import asyncio
import random
from math import inf

import pytest

from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.pool_kind import PoolKind
from manyeyes.core.sampler import SamplerError

from ..virtual_time import run_virtually
from .worlds import FOREVER, Quick, Turns, request

CONFIG = RolloutConfig(attempt_seconds=200.0, model_seconds=20.0, tool_seconds=10.0, pool_seconds=30.0, burst=1000)


class Room:
    async def open(self) -> None: ...

    async def reset(self) -> None: ...

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None: ...


async def keep(ctx: RolloutCtx) -> None:
    """Borrow behind the back of `ctx.lease`, and never give back."""
    assert ctx.host.pool is not None
    await ctx.host.pool.lease("room", owner=ctx.attempt.name, seconds=inf).__aenter__()


def test_what_an_attempt_keeps_is_taken_back_when_it_ends_well_too() -> None:
    async def deed(ctx: RolloutCtx, turn: int) -> None:
        await keep(ctx)

    async def do() -> None:
        async with EnvironmentPool({"room": PoolKind(Room, most=2)}) as pool:
            async with RolloutManager({"live": Quick()}, config=CONFIG, pool=pool) as manager:
                manager.submit(request(0, Turns(1, deed), size=6))
                (group,) = [group async for group in manager.results()]
            assert group.complete
            stats = pool.stats()["room"]
            assert stats["leases"] == stats["taken_back"] == 6 and stats["leased"] == 0

    run_virtually(do())


def test_what_a_failed_try_kept_is_taken_back_before_the_next() -> None:
    tries: list[int] = []

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        await keep(ctx)
        tries.append(turn)
        if len(tries) < 3:
            raise SamplerError("by plan")

    async def do() -> None:
        async with EnvironmentPool({"room": PoolKind(Room, most=1)}) as pool:
            async with RolloutManager({"live": Quick()}, config=CONFIG, pool=pool) as manager:
                manager.submit(request(0, Turns(1, deed), size=1))
                (group,) = [group async for group in manager.results()]
            assert group.complete and len(tries) == 3 and pool.stats()["room"]["leased"] == 0

    run_virtually(do())


@pytest.mark.parametrize("seed", range(4))
def test_a_run_in_bad_weather_leaves_nothing_borrowed(seed: int) -> None:
    draw = random.Random(seed)

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        if draw.random() < 0.1:
            await keep(ctx)
        async with ctx.lease("room"):
            fate = draw.random()
            await asyncio.sleep(draw.uniform(0.0, 5.0) if fate > 0.05 else FOREVER)
            if fate > 0.9:
                raise SamplerError("by plan")

    async def cancels(manager: RolloutManager) -> None:
        while True:
            await asyncio.sleep(3.0)
            manager.cancel(str(draw.randrange(40)))

    async def do() -> None:
        kinds = {"room": PoolKind(Room, most=8, warm=2, uses=3)}
        async with EnvironmentPool(kinds) as pool:
            async with RolloutManager({"live": Quick()}, config=CONFIG, pool=pool) as manager:
                for number in range(40):
                    manager.submit(request(number, Turns(3, deed), size=4))
                trouble = asyncio.ensure_future(cancels(manager))
                names = [one.name async for group in manager.results() for one in group.trajectories]
                trouble.cancel()
            stats = pool.stats()["room"]
            assert len(set(names)) == len(names) == 160
            assert stats["leased"] == stats["waiting"] == 0 and stats["leases"] > 100
        stats = pool.stats()["room"]
        assert stats["created"] == stats["closed"] and not stats["stuck"]

    run_virtually(do())


def test_a_loan_lasts_as_long_as_its_attempt_however_long_the_run_is_suspended() -> None:
    held: list[bool] = []

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        assert ctx.host.pool is not None
        async with ctx.lease("room"):
            await asyncio.sleep(5.0)
            held.append(ctx.host.pool.stats()["room"]["leased"] == 1)

    async def do() -> None:
        async with EnvironmentPool({"room": PoolKind(Room, most=1)}) as pool:
            async with RolloutManager({"live": Quick()}, config=CONFIG, pool=pool) as manager:
                manager.submit(request(0, Turns(1, deed), size=1))
                await asyncio.sleep(1.0)
                await manager.suspend()
                await asyncio.sleep(3.9)
                asyncio.get_running_loop()._clock.now += 1000.0  # pyright: ignore[reportAttributeAccessIssue]
                await asyncio.sleep(5.0)
                await manager.go_on()
                (group,) = [group async for group in manager.results()]
            assert group.complete and pool.stats()["room"]["expired"] == 0

    run_virtually(do())
    assert held == [True]
