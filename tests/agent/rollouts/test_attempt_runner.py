"""How an attempt ends is said once, and truly: what was called off is cancelled, whatever else it says."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Outcome
from manyeyes.core.trajectory_store import TrajectoryStore

from ..virtual_time import run_virtually
from .worlds import FOREVER, Quick, Turns, request


class Panic(BaseException):
    """As extensions written in Rust raise it: no `Exception`."""


def test_an_error_that_is_no_exception_ends_its_attempt_too() -> None:
    async def deed(ctx: RolloutCtx, turn: int) -> None:
        raise Panic("index out of bounds")

    async def work() -> Any:
        async with RolloutManager({"live": Quick()}) as manager:
            manager.submit(request(0, Turns(1, deed)))
            return await asyncio.wait_for(manager.next_group(), 60.0)

    group, _ = run_virtually(work())
    assert group.failures == {"environment_bug": 2} and "Panic" in group.trajectories[0].masked


class Stubborn:
    """Makes something else of its cancellation."""

    def __init__(self, end: str) -> None:
        self.end = end

    async def run(self, ctx: RolloutCtx) -> Outcome:
        try:
            await ctx.waiting("tool", asyncio.sleep(FOREVER))
        except asyncio.CancelledError:
            if self.end == "raises":
                raise RuntimeError("could not clean up") from None
        return Outcome("done", "half of it")


@pytest.mark.parametrize("end", ["raises", "returns"])
def test_what_was_called_off_is_cancelled_and_is_run_by_a_resumed_run(end: str, tmp_path: Path) -> None:
    async def called_off() -> Any:
        async with RolloutManager({"live": Quick()}) as manager:
            manager.submit(request(0, Stubborn(end)))
            await asyncio.sleep(1.0)
            manager.cancel("0", "nobody wants it")
            return await manager.next_group()

    group, _ = run_virtually(called_off())
    assert group.failures == {"cancelled": 2} and not group.complete

    async def closed() -> list[str]:
        with TrajectoryStore(tmp_path) as store:
            async with RolloutManager({"live": Quick()}, store=store) as manager:
                manager.submit(request(0, Stubborn(end)))
                await asyncio.sleep(1.0)
            return list(store.names())

    names, _ = run_virtually(closed())
    assert names == []


def test_the_span_of_an_attempt_that_hung_has_an_end() -> None:
    released = asyncio.Event()

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        while not released.is_set():
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                continue

    async def work() -> Any:
        async with RolloutManager(
            {"live": Quick()}, config=RolloutConfig(tool_seconds=3.0, infra_retries=0)
        ) as manager:
            manager.submit(request(0, Turns(1, deed), 1))
            group = await manager.next_group()
            released.set()
            return group

    group, _ = run_virtually(work())
    assert group.failures == {"hang": 1} and 3.0 < group.trajectories[0].agents[0].ended < 30.0
