"""Groups come out, once, whatever judges, disks and breakers do."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from manyeyes.agent.judge import Verdict
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.failures import AttemptFailed
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.snapshot import group_lines, snapshots
from manyeyes.agent.task import Outcome
from manyeyes.core.trajectory_store import TrajectoryStore

from ..virtual_time import run_virtually
from .worlds import FOREVER, Quick, Turns, hang, request


def verdict_of(verdict: Verdict) -> Any:
    async def judge(outcome: Outcome, ctx: RolloutCtx) -> Verdict:
        return verdict

    return Turns(1, verdict=judge)


def test_a_verdict_of_numpy_numbers_is_a_verdict(tmp_path: Path) -> None:
    async def work() -> Any:
        with TrajectoryStore(tmp_path / "store") as store:
            async with RolloutManager({"live": Quick()}, store=store, folder=tmp_path) as manager:
                manager.submit(request(0, verdict_of(Verdict(np.float32(0.5), {"exact": np.float64(0.5)})), 1))
                group = await asyncio.wait_for(manager.next_group(), 60.0)
            assert list(store.names()) == ["task/0/0"]
            return group

    group, _ = run_virtually(work())
    assert group.rewards == [0.5] and type(group.rewards[0]) is float
    assert [line.rewards for line in group_lines(tmp_path)] == [[0.5]]
    assert list(snapshots(tmp_path))[-1].rewards == {"reward": (0.5, 1), "exact": (0.5, 1)}


def test_a_verdict_that_is_no_number_or_that_no_record_holds_fails_its_attempt() -> None:
    async def work(verdict: Any) -> Any:
        async with RolloutManager({"live": Quick()}) as manager:
            manager.submit(request(0, verdict_of(verdict), 1))
            return await asyncio.wait_for(manager.next_group(), 60.0)

    for wrong in (Verdict("good", {}), Verdict(1.0, {"exact": None}), Verdict(1.0, {}, {"why": object()})):  # pyright: ignore[reportArgumentType]
        group, _ = run_virtually(work(wrong))
        assert group.failures == {"environment_bug": 1} and group.rewards == [None]


def test_a_half_open_breaker_does_not_wait_for_news_that_do_not_come() -> None:
    fails: dict[str, Any] = {"0": "model", "1": "model", "2": "bad_task", "3": None}

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        cause = fails[ctx.attempt.name.split("/")[1]]
        if cause is not None:
            raise AttemptFailed(cause, "no")

    async def work() -> list[Any]:
        config = RolloutConfig(most_running=1, infra_retries=0, breaker=2, breaker_seconds=5.0)
        async with RolloutManager({"live": Quick()}, config=config) as manager:
            for number in range(4):
                manager.submit(request(number, Turns(1, deed), 1))
            return [await asyncio.wait_for(manager.next_group(), 600.0) for _ in range(4)]

    groups, seconds = run_virtually(work())
    assert [dict(group.failures) for group in groups] == [{"model": 1}, {"model": 1}, {"bad_task": 1}, {}]
    assert 5.0 < seconds < 10.0


def test_a_half_open_breaker_is_not_stuck_when_the_attempt_that_tries_is_cancelled_or_known(tmp_path: Path) -> None:
    async def deed(ctx: RolloutCtx, turn: int) -> None:
        if int(ctx.attempt.name.split("/")[1]) < 3:
            raise AttemptFailed("model", "down")
        if ctx.attempt.name == "task/3/0":
            await asyncio.sleep(FOREVER)

    async def work() -> list[Any]:
        config = RolloutConfig(most_running=1, infra_retries=0, breaker=2, breaker_seconds=5.0)
        with TrajectoryStore(tmp_path) as store:
            async with RolloutManager({"live": Quick()}, store=store) as manager:
                manager.submit(request(4, Turns(1), 1))
                await manager.next_group()
            async with RolloutManager({"live": Quick()}, store=store, config=config) as manager:
                for number in range(1, 6):
                    manager.submit(request(number, Turns(1, deed), 1))
                first = [await manager.next_group() for _ in range(2)]
                await asyncio.sleep(6.0)
                manager.cancel("3")
                rest = [await asyncio.wait_for(manager.next_group(), 600.0) for _ in range(3)]
                return [*first, *rest]

    groups, _ = run_virtually(work())
    assert [dict(group.failures) for group in groups] == [{"model": 1}, {"model": 1}, {"cancelled": 1}, {}, {}]


def test_who_waits_for_room_is_told_when_the_manager_closes() -> None:
    async def work() -> BaseException | None:
        config = RolloutConfig(most_open=2)
        async with RolloutManager({"live": Quick()}, config=config) as manager:
            manager.submit(request(0, Turns(1, hang), 2))
            waiting = asyncio.create_task(manager.submit_when_room(request(1, Turns(1), 2)))
            await asyncio.sleep(1.0)
        await asyncio.wait((waiting,), timeout=60.0)
        return waiting.exception() if waiting.done() else None

    error, _ = run_virtually(work())
    assert "closed" in str(error)


def test_a_group_that_is_too_old_already_does_not_wait_for_its_slowest() -> None:
    async def deed(ctx: RolloutCtx, turn: int) -> None:
        if ctx.attempt.number == 1:
            await asyncio.sleep(FOREVER)

    async def before(asked: Any) -> None:
        if len(sampler.requests) == 2:
            await asyncio.sleep(10.0)

    sampler = Quick(before=before)

    async def work() -> Any:
        config = RolloutConfig(batch=1, max_staleness=1, tool_seconds=1e6)
        async with RolloutManager({"live": sampler}, config=config) as manager:
            manager.submit(request(0, Turns(1, deed), 2))
            await asyncio.sleep(1.0)  # the first is over, of version 0; the second has sampled nothing
            manager.set_version(2)
            return await asyncio.wait_for(manager.next_group(), 60.0)

    group, _ = run_virtually(work())
    assert group.stale and not group.complete
