"""Groups come out, once, whatever judges, disks and breakers do."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np

from manyeyes.agent.judge import Verdict
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.failures import AttemptFailed
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.snapshot import group_lines, snapshots
from manyeyes.agent.rollouts.token_environment import TokenObservation
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.media import Grid, Media
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore

from ..virtual_time import run_virtually
from .worlds import FOREVER, Quick, Turns, hang, request


def verdict_of(verdict: Verdict) -> Any:
    async def judge(outcome: Outcome, ctx: RolloutCtx) -> Verdict:
        return verdict

    return Turns(1, verdict=judge)


def test_a_verdict_of_numpy_numbers_is_a_verdict(tmp_path: Path) -> None:
    half: Any = np.float32(0.5)

    async def work() -> Any:
        with TrajectoryStore(tmp_path / "store") as store:
            async with RolloutManager({"live": Quick()}, store=store, folder=tmp_path) as manager:
                manager.submit(request(0, verdict_of(Verdict(half, {"exact": np.float64(0.5)})), 1))
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


def test_pictures_are_stored_in_a_thread_in_turn_and_before_their_group_is_there(tmp_path: Path) -> None:
    loop_thread = threading.get_ident()
    stored: list[tuple[str, bool]] = []

    class Watched(TrajectoryStore):
        busy = False

        def append(self, trajectory: Trajectory) -> Any:
            assert not self.busy
            self.busy = True
            stored.append((trajectory.name, threading.get_ident() == loop_thread))
            if len(stored) == 1:
                assert turning.wait(30.0), "the loop was held up"
            kept = super().append(trajectory)
            self.busy = False
            return kept

    turning = threading.Event()

    class Looks(Turns):
        async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
            seen = () if ctx.attempt.number == 1 else (picture(ctx.attempt.number),)
            return (await super().reset(task, ctx))._replace(media=seen)

    async def work() -> list[str]:
        with Watched(tmp_path) as store:
            async with RolloutManager({"live": Quick()}, store=store) as manager:
                manager.submit(request(0, Looks(1), 3))
                while not stored:
                    await asyncio.sleep(0.01)
                assert manager.snapshot().finished == 0 and manager.snapshot().running == 3
                turning.set()
                async with asyncio.timeout(60.0):
                    group = await manager.next_group()
                assert group is not None and group.complete and manager.snapshot().finished == 3
                assert manager.snapshot().running == 0 and manager.snapshot().dropped_records == 0
                return list(store.names())

    names = asyncio.run(work())
    assert names == [name for name, _ in stored] == ["task/0/0", "task/0/1", "task/0/2"]
    assert not any(here for _, here in stored)


def picture(number: int) -> Media:
    return Media(np.full((4, 3, 8, 8), number, np.uint8), Grid(1, 2, 2))


def test_leaving_waits_for_what_is_being_stored_and_a_disk_that_is_full_costs_no_rollout(tmp_path: Path) -> None:
    class Full(TrajectoryStore):
        def append(self, trajectory: Trajectory) -> Any:
            if trajectory.name.endswith("0"):
                raise OSError("No space left on device")
            return super().append(trajectory)

    class Looks(Turns):
        async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
            return (await super().reset(task, ctx))._replace(media=(picture(3),))

    async def work() -> tuple[list[str], Any, Any]:
        with Full(tmp_path) as store:
            async with RolloutManager({"live": Quick()}, store=store) as manager:
                manager.submit(request(0, Looks(1), 4))
                while not manager.stats.turns:
                    await asyncio.sleep(0.001)
            return list(store.names()), manager.snapshot(), await manager.next_group()

    names, seen, group = asyncio.run(work())
    assert len(group.trajectories) == 4 and seen.open == 0
    assert len(names) == seen.finished - seen.failures.get("store", 0)
    assert seen.failures.get("store", 0) == seen.dropped_records == 1


def test_what_frozen_agents_sample_makes_no_group_stale() -> None:
    async def deed(ctx: RolloutCtx, turn: int) -> None:
        if ctx.depth == 0:
            await ctx.spawn(Task("below", ""), Turns(1), role="helper")

    async def work() -> Any:
        models: Any = {"live": Quick(version=5), "frozen": Quick(version=0)}
        async with RolloutManager(models, config=RolloutConfig(batch=1, max_staleness=0)) as manager:
            manager.resume_at(5)
            manager.submit(request(0, Turns(2, deed), 2))
            while manager.stats.turns < 2:
                await asyncio.sleep(0)
            manager.set_version(5)  # sweeps
            return await manager.next_group(), manager.snapshot()

    (group, seen), _ = run_virtually(work())
    assert group.complete and not group.stale and group.version_span == (5, 5)
    assert set(seen.staleness) == {0}
