"""Every attempt that is submitted ends exactly once, whatever happens: failures, hangs, cancellations, full disks."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.budget import Limits
from manyeyes.agent.judge import JudgeFailed, Verdict
from manyeyes.agent.rollouts.concurrency import EngineSample
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.failures import AttemptFailed
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.manager import QueueFull, RolloutManager
from manyeyes.agent.rollouts.snapshot import ROLLOUTS, group_lines, snapshots
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import Overloaded, SampleRequest, SamplerError, SamplingParams, TooLong
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore

from ..virtual_time import run_virtually
from .worlds import FOREVER, GIVEN, Quick, Turns, hang, request

FAST = RolloutConfig(attempt_seconds=100.0, model_seconds=20.0, tool_seconds=10.0, judge_seconds=5.0, burst=1000)


def run(work: Awaitable[Any]) -> Any:
    return run_virtually(work)[0]  # pyright: ignore[reportArgumentType]


async def groups_of(manager: RolloutManager) -> list[Group]:
    return [group async for group in manager.results()]


async def one_group(episode: Any, *, sampler: Any = None, config: RolloutConfig = FAST, **more: Any) -> Group:
    async with RolloutManager({"live": sampler or Quick()}, config=config) as manager:
        manager.submit(request(0, episode, **more))
        (group,) = await groups_of(manager)
        return group


def test_a_group_comes_out_whole_in_order_and_token_for_token() -> None:
    group = run(one_group(Turns(2), size=3))
    assert group.complete and [one.name for one in group.trajectories] == ["task/0/0", "task/0/1", "task/0/2"]
    for one in group.trajectories:
        assert [node.ids.tolist() for node in one.nodes] == [[1, 2, 3, 7, 8], [1, 7, 8]]
        assert [node.given for node in one.nodes] == [3, 1] and [node.parent for node in one.nodes] == [-1, 0]
        assert one.path(1).ids.tolist() == [1, 2, 3, 7, 8, 1, 7, 8]
        assert (one.stop, one.reward, one.rewards, one.environment) == ("done", 2.0, {"turns": 2.0}, "turns")
    assert group.version_span == (0, 0)


def test_what_is_sent_is_the_whole_stream_and_every_turn_of_every_attempt_has_its_own_seed() -> None:
    sampler = Quick()
    run(one_group(Turns(2, params=SamplingParams(max_new_tokens=8, temperature=1.0)), sampler=sampler))
    again = Quick()
    run(one_group(Turns(2, params=SamplingParams(max_new_tokens=8, temperature=1.0)), sampler=again))
    assert sorted(map(len, (one.ids for one in sampler.requests))) == [3, 3, 6, 6]
    seeds = {one.params.seed for one in sampler.requests}
    assert len(seeds) == 4 and seeds == {one.params.seed for one in again.requests}


def test_the_experts_of_each_token_stand_in_the_node_that_it_belongs_to() -> None:
    class Routed(Quick):
        async def sample(self, request: SampleRequest, *, on_token: Any = None) -> Any:
            completion = await super().sample(request)
            ids = np.concatenate((request.ids, np.array(completion.ids, np.int32)))
            completion.routing = np.repeat(ids.astype(np.uint16), 2).reshape(-1, 1, 2)
            return completion

    group = run(one_group(Turns(3), sampler=Routed(), size=1))
    for node in group.trajectories[0].nodes:
        assert node.routing is not None and node.routing[:, 0, 0].tolist() == node.ids.tolist()


def test_infrastructure_is_tried_again_and_the_environment_is_not() -> None:
    calls: Counter[str] = Counter()

    def failing(error: Callable[[], Exception], times: int) -> Any:
        async def deed(ctx: RolloutCtx, turn: int) -> None:
            calls[ctx.attempt.name] += 1
            if calls[ctx.attempt.name] <= times:
                raise error()

        return Turns(1, deed)

    good = run(one_group(failing(lambda: SamplerError("down"), 2), size=1))
    assert good.complete and calls["task/0/0"] == 3
    first = [event for event in good.trajectories[0].events if event.kind == "failed"]
    assert [event.data["cause"] for event in first] == ["model", "model"]
    calls.clear()
    bad = run(one_group(failing(lambda: KeyError("x"), 1), size=1))
    assert not bad.complete and calls["task/0/0"] == 1 and bad.failures == {"environment_bug": 1}
    assert bad.trajectories[0].stop == "failed" and "KeyError" in bad.trajectories[0].masked
    assert not bad.trajectories[0].to_samples(1.0)


def test_a_request_is_tried_again_before_the_attempt_is() -> None:
    left = [Overloaded("full", retry_after=3.0), SamplerError("cut"), SamplerError("cut")]

    async def before(asked: SampleRequest) -> None:
        if left:
            raise left.pop(0)

    group = run(one_group(Turns(1), sampler=Quick(before=before), size=1))
    assert group.complete and not group.trajectories[0].events[:-1]


@pytest.mark.parametrize(
    ("where", "cause"), [("model", "model"), ("tool", "tool"), ("judge", "judge"), ("swallow", "hang")]
)
def test_what_hangs_is_ended_and_named(where: str, cause: str) -> None:
    released = asyncio.Event()

    async def before(asked: SampleRequest) -> None:
        if where == "model":
            await asyncio.sleep(FOREVER)

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        while where == "tool" or (where == "swallow" and not released.is_set()):
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                if where == "tool":
                    raise

    async def verdict(outcome: Outcome, ctx: RolloutCtx) -> Verdict | None:
        if where == "judge":
            await asyncio.sleep(FOREVER)
        return None

    async def work() -> Group:
        config = RolloutConfig(model_seconds=20.0, tool_seconds=10.0, judge_seconds=5.0, infra_retries=0, judge_tries=0)
        try:
            return await one_group(Turns(1, deed, verdict=verdict), sampler=Quick(before=before), config=config)
        finally:
            released.set()

    group, seconds = run_virtually(work())
    assert group.failures == {cause: 2} and seconds < 40.0
    frames = [event.data for event in group.trajectories[0].events if event.kind in ("overdue", "hang")]
    assert "sleep" in str(frames)


def test_what_hung_and_ends_after_all_does_not_end_twice() -> None:
    released = asyncio.Event()

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                pass

    async def work() -> tuple[Group, Any]:
        config = RolloutConfig(tool_seconds=1.0, infra_retries=1)
        async with RolloutManager({"live": Quick()}, config=config) as manager:
            manager.submit(request(0, Turns(1, deed), 1))
            asyncio.get_running_loop().call_later(10.0, released.set)
            (group,) = await groups_of(manager)
            manager.submit(request(1, Turns(1), 1))
            await groups_of(manager)
            await asyncio.sleep(5.0)
            assert not manager._runner.left and not any(manager.snapshot().waiting_for.values())
            return group, manager.snapshot()

    group, seen = run(work())
    (one,) = group.trajectories
    assert (
        group.complete and len(one.nodes) == 1 and [event.data.get("cause") for event in one.events] == ["hang", None]
    )
    assert (seen.finished, seen.failed, seen.retries) == (2, 0, 1)


def test_an_attempt_that_does_not_want_to_hear_that_it_is_cancelled_ends_all_the_same() -> None:
    class Deaf:
        turns = 0

        async def run(self, ctx: RolloutCtx) -> Outcome:
            while True:
                try:
                    await ctx.sample(GIVEN, params=SamplingParams(max_new_tokens=4))
                    self.turns += 1
                    await ctx.waiting("tool", asyncio.sleep(1.0))
                except asyncio.CancelledError:
                    if self.turns > 1000:
                        raise

    async def work() -> tuple[Group, float, int]:
        episode = Deaf()
        async with RolloutManager({"live": Quick()}) as manager:
            manager.submit(request(0, episode, 1))
            await asyncio.sleep(10.0)
            manager.cancel("0")
            turns = episode.turns
            group = await manager.next_group()
            assert group is not None and turns == episode.turns
            episode.turns = 10_000
            return group, manager.snapshot().seconds, turns

    group, seconds, turns = run(work())
    assert group.failures == {"cancelled": 1} and seconds < 20.0 and turns > 5


def test_time_for_the_whole_attempt_runs_out() -> None:
    config = RolloutConfig(attempt_seconds=5.0, infra_retries=0)
    group, seconds = run_virtually(one_group(Turns(1, hang), config=config))
    assert group.failures == {"timeout": 2} and 5.0 <= seconds < 7.0


def test_an_end_that_was_swallowed_once_is_a_timeout_all_the_same() -> None:
    async def deed(ctx: RolloutCtx, turn: int) -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                if turn > 1:
                    raise
                return

    config = RolloutConfig(attempt_seconds=5.0, tool_seconds=FOREVER, infra_retries=0)
    group, seconds = run_virtually(one_group(Turns(3, deed), config=config))
    assert group.failures == {"timeout": 2} and seconds < 7.0


def test_the_hang_report_names_the_frame() -> None:
    async def work() -> list[str]:
        async with RolloutManager({"live": Quick()}) as manager:
            manager.submit(request(0, Turns(1, hang), 2))
            await asyncio.sleep(30.0)
            hangs = manager.hangs(longer_than=20.0)
            assert len(hangs) == 2 and hangs[0].kind == "tool" and hangs[0].seconds > 20.0
            return hangs[0].frames

    frames = run(work())
    assert any("Turns.step" in frame for frame in frames) and frames[-1].startswith("sleep ")


def test_limits_of_a_task_end_it_with_a_verdict() -> None:
    task = Task("task", "", limits=Limits(turns=3))

    async def work() -> Group:
        async with RolloutManager({"live": Quick()}) as manager:
            manager.submit(replace(request(0, Turns(9), 1), task=task))
            (group,) = await groups_of(manager)
            return group

    group = run(work())
    assert group.complete and group.trajectories[0].stop == "turn_cap" and group.rewards == [3.0]


def test_a_prompt_that_is_too_long_is_an_end_and_no_failure() -> None:
    async def before(asked: SampleRequest) -> None:
        if len(asked.ids) > 3:
            raise TooLong("no room")

    group = run(one_group(Turns(5), sampler=Quick(before=before), size=1))
    assert group.complete and group.trajectories[0].stop == "context_overflow"


def test_no_verdict_is_a_failure_and_never_a_reward() -> None:
    async def verdict(outcome: Outcome, ctx: RolloutCtx) -> Verdict | None:
        raise JudgeFailed("cannot say")

    group = run(one_group(Turns(1, verdict=verdict), size=1))
    assert group.failures == {"judge": 1} and group.rewards == [None]


def test_a_judge_is_asked_again_before_the_attempt_is_run_again() -> None:
    asked: list[str] = []

    async def verdict(outcome: Outcome, ctx: RolloutCtx) -> Verdict | None:
        asked.append(ctx.attempt.name)
        if len(asked) == 1:
            raise JudgeFailed("not today")
        if len(asked) == 2:
            await asyncio.sleep(FOREVER)
        return Verdict(0.5, {"right": 1.0})

    sampler = Quick()
    config = RolloutConfig(judge_seconds=5.0, judge_tries=2)
    group = run(one_group(Turns(1, verdict=verdict), sampler=sampler, config=config, size=1))
    assert group.complete and group.rewards == [0.5] and len(asked) == 3 and len(sampler.requests) == 1


def test_a_quorum_makes_a_group_complete_and_stragglers_are_ended() -> None:
    async def deed(ctx: RolloutCtx, turn: int) -> None:
        if ctx.attempt.number == 3:
            await asyncio.sleep(FOREVER)

    config = RolloutConfig(straggler_seconds=7.0, tool_seconds=1000.0)
    group, seconds = run_virtually(one_group(Turns(1, deed), config=config, size=4, quorum=3))
    assert group.complete and group.failures == {"cancelled": 1} and seconds < 15.0
    assert [one.stop for one in group.trajectories] == ["done", "done", "done", "cancelled"]


def test_cancelling_a_group_ends_what_runs_and_what_waits() -> None:
    async def work() -> tuple[Group, Group, Any]:
        config = RolloutConfig(most_running=3)
        async with RolloutManager({"live": Quick()}, config=config) as manager:
            manager.submit(request(0, Turns(1, hang), 5))
            manager.submit(request(1, Turns(1), 1))
            await asyncio.sleep(1.0)
            manager.cancel("0", "nobody wants it")
            first, second = await groups_of(manager)
            return first, second, manager.snapshot()

    first, second, seen = run(work())
    assert first.failures == {"cancelled": 5} and len(first.trajectories) == 5 and not first.complete
    assert second.complete and (seen.finished, seen.cancelled, seen.open) == (1, 5, 0)
    assert all("nobody wants it" in one.masked for one in first.trajectories)


def test_more_important_groups_start_first() -> None:
    order: list[str] = []

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        order.append(ctx.attempt.name.split("/")[1])

    async def work() -> None:
        async with RolloutManager({"live": Quick()}, config=RolloutConfig(most_running=1)) as manager:
            for number, priority in ((0, 5), (1, 0), (2, 5), (3, -1)):
                manager.submit(request(number, Turns(1, deed), 2, priority=priority))
            await groups_of(manager)

    run(work())
    assert order == ["3", "3", "1", "1", "0", "0", "2", "2"]


def test_starts_come_in_bursts_and_the_cap_holds() -> None:
    starts: list[float] = []
    running = [0, 0]

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        starts.append(asyncio.get_running_loop().time())
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(5.0)
        running[0] -= 1

    async def work() -> None:
        async with RolloutManager({"live": Quick()}, config=RolloutConfig(most_running=40, burst=4)) as manager:
            manager.submit(request(0, Turns(1, deed), 60))
            await groups_of(manager)

    run(work())
    assert running[1] == 40
    most = max(sum(t <= one < t + 0.04 for one in starts) for t in starts[:40])
    assert most <= 8


def test_too_many_open_attempts_are_refused_or_waited_for() -> None:
    async def work() -> int:
        async with RolloutManager({"live": Quick()}, config=RolloutConfig(most_open=4)) as manager:
            manager.submit(request(0, Turns(1), 3))
            with pytest.raises(QueueFull, match="3 attempts are open"):
                manager.submit(request(1, Turns(1), 3))
            later = asyncio.create_task(manager.submit_when_room(request(1, Turns(1), 3)))
            await asyncio.sleep(1.0)
            assert not later.done()  # it ended, but nobody has taken it
            assert await manager.next_group() is not None
            await later
            return len(await groups_of(manager))

    assert run(work()) == 1


def test_what_cannot_be_run_is_refused_at_once() -> None:
    async def work() -> None:
        async with RolloutManager({"live": Quick()}) as manager:
            with pytest.raises(ConfigError, match="expected an Environment"):
                manager.submit(request(0, object()))
            manager.submit(request(0, Turns(1)))
            with pytest.raises(ConfigError, match="unique"):
                manager.submit(request(0, Turns(1)))
            await groups_of(manager)

    run(work())


def test_a_store_that_fails_costs_no_rollout() -> None:
    class Full:
        def append(self, trajectory: Trajectory) -> None:
            raise OSError("No space left on device")

        def get(self, name: str) -> Trajectory:
            raise KeyError(name)

        def __contains__(self, name: object) -> bool:
            return False

    async def work() -> tuple[Group, Any]:
        async with RolloutManager({"live": Quick()}, store=Full()) as manager:
            manager.submit(request(0, Turns(1)))
            (group,) = await groups_of(manager)
            return group, manager.snapshot()

    group, seen = run(work())
    assert group.complete and seen.dropped_records == 2 and seen.failures == {"store": 2}


def test_leaving_ends_everything_and_keeps_nothing_as_ended(tmp_path: Path) -> None:
    async def work() -> None:
        with TrajectoryStore(tmp_path) as store:
            async with RolloutManager({"live": Quick()}, store=store) as manager:
                manager.submit(request(0, Turns(1), 2))
                manager.submit(request(1, Turns(1, hang), 2))
                await asyncio.sleep(1.0)
            assert sorted(store.names()) == ["task/0/0", "task/0/1"]

    run(work())


def test_the_breaker_stops_a_run_in_which_everything_fails() -> None:
    async def before(asked: SampleRequest) -> None:
        raise SamplerError("down")

    config = RolloutConfig(
        model_tries=0, infra_retries=0, breaker=4, breaker_seconds=1.0, breaker_trips=3, most_running=2
    )

    async def work() -> tuple[list[Group], bool]:
        async with RolloutManager({"live": Quick(before=before)}, config=config) as manager:
            for number in range(50):
                manager.submit(request(number, Turns(1), 2))
            return await groups_of(manager), manager.given_up

    groups, given_up = run(work())
    assert given_up and len(groups) == 50 and all(group.failures["model"] == 2 for group in groups)


def test_stale_groups_are_void_and_running_ones_are_ended() -> None:
    async def work() -> tuple[list[Group], Group]:
        async def deed(ctx: RolloutCtx, turn: int) -> None:
            if ctx.attempt.name.startswith("task/1"):
                await asyncio.sleep(FOREVER)

        config = RolloutConfig(batch=1, max_staleness=1, tool_seconds=1e6)
        async with RolloutManager({"live": Quick()}, config=config) as manager:
            for number in range(3):
                manager.submit(request(number, Turns(1, deed), 1))
            await asyncio.sleep(1.0)
            assert manager.snapshot().running == 1 and manager.snapshot().queued == 1  # two may be under way
            manager.set_version(2)
            await asyncio.sleep(1.0)
            first = [await manager.next_group(), await manager.next_group()]
            third = await manager.next_group()
            assert third is not None
            return [group for group in first if group is not None], third

    first, third = run(work())
    assert [group.stale for group in first] == [True, True] and not any(group.complete for group in first)
    assert third.request.id == "2"


def test_a_resumed_run_starts_no_burst_of_groups() -> None:
    async def work() -> int:
        config = RolloutConfig(batch=2, max_staleness=1, tool_seconds=FOREVER)
        async with RolloutManager({"live": Quick()}, config=config) as manager:
            manager.resume_at(50)
            for number in range(20):
                manager.submit(request(number, Turns(1, hang), 3))
            await asyncio.sleep(1.0)
            return manager.snapshot().running

    assert run(work()) == 2 * 2 * 3


def test_an_adaptive_cap_grows_while_nobody_objects_and_shrinks_when_the_engines_do() -> None:
    async def slow(ctx: RolloutCtx, turn: int) -> None:
        await asyncio.sleep(1.0)

    async def work() -> tuple[int, int, int]:
        config = RolloutConfig(most_running=400, adaptive=True, burst=100)
        async with RolloutManager({"live": Quick()}, config=config) as manager:
            for number in range(100):
                manager.submit(request(number, Turns(9, slow), 16))
            first = manager.snapshot().concurrency_cap
            await asyncio.sleep(12.0)
            grown = manager.snapshot().concurrency_cap
            manager.take_engine_sample(EngineSample(running=100, queued=90, preempted=3))
            return first, grown, manager.snapshot().concurrency_cap

    first, grown, shrunk = run(work())
    assert first == 100 and first < grown <= 400 and shrunk < grown


def test_a_run_folder_that_cannot_be_written_is_said_at_once_and_a_full_disk_is_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can be written"):
        RolloutManager({"live": Quick()}, folder=tmp_path / "file")

    async def work() -> Any:
        async with RolloutManager({"live": Quick()}, folder=tmp_path / "run") as manager:
            assert manager._log is not None
            for name in manager._log._files:
                manager._log._files[name] = open("/dev/full", "ab", buffering=0)
            manager.submit(request(0, Turns(1), 2))
            (group,) = await groups_of(manager)
            assert group.complete
            return manager.snapshot()

    assert run(work()).dropped_records >= 1


def test_snapshots_and_groups_lie_in_the_run_folder(tmp_path: Path) -> None:
    async def slow(ctx: RolloutCtx, turn: int) -> None:
        await asyncio.sleep(3.0)

    async def work() -> None:
        async with RolloutManager({"live": Quick()}, folder=tmp_path) as manager:
            manager.submit(request(0, Turns(2, slow), 4))
            await groups_of(manager)

    run(work())
    (tmp_path / ROLLOUTS).write_bytes((tmp_path / ROLLOUTS).read_bytes() + b'{"at":1.0,"sec')
    seen = list(snapshots(tmp_path))
    assert len(seen) >= 5 and seen[1].waiting_for["tool"] == 4 and seen[-1].finished == 4
    assert seen[-1].seconds_in["tool"] == pytest.approx(24.0, abs=0.5) and seen[-1].turns == 8
    assert seen[-1].tokens_sampled == 16 and seen[-1].tokens_given == 16 and seen[-1].rewards["reward"] == (8.0, 4)
    (line,) = group_lines(tmp_path)
    assert line.complete and line.rewards == [2.0] * 4 and line.versions == (0, 0)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_in_any_storm_every_attempt_ends_once_and_nothing_is_left_over(seed: int, groups: int, cap: int) -> None:
    draw = random.Random(seed)
    leases = [0]

    async def deed(ctx: RolloutCtx, turn: int) -> None:
        leases[0] += 1
        try:
            match draw.random():
                case x if x < 0.1:
                    raise AttemptFailed(draw.choice(["bad_task", "tool", "sandbox"]), "by plan")
                case x if x < 0.15:
                    await asyncio.sleep(FOREVER)
                case x if x < 0.2:
                    raise asyncio.CancelledError
                case _:
                    await asyncio.sleep(draw.expovariate(1.0))
        finally:
            leases[0] -= 1

    async def before(asked: SampleRequest) -> None:
        await asyncio.sleep(draw.expovariate(2.0))
        if draw.random() < 0.05:
            raise draw.choice([SamplerError("down"), Overloaded("full"), RuntimeError("a bug")])

    async def work() -> None:
        config = RolloutConfig(most_running=cap, tool_seconds=3.0, model_seconds=5.0, infra_retries=1, breaker=10**6)
        async with RolloutManager({"live": Quick(before=before)}, config=config) as manager:
            sizes = [draw.randint(1, 4) for _ in range(groups)]
            for number, size in enumerate(sizes):
                manager.submit(request(number, Turns(2, deed), size))
            cancelling = asyncio.create_task(_cancels(manager, groups, draw))
            found = await groups_of(manager)
            cancelling.cancel()
            seen = manager.snapshot()
            assert sorted(int(group.request.id) for group in found) == list(range(groups))
            names = Counter(one.name for group in found for one in group.trajectories)
            assert len(names) == sum(sizes) and set(names.values()) == {1}
            assert all(one.stop for group in found for one in group.trajectories)
            assert seen.finished + seen.failed + seen.cancelled == seen.submitted == sum(sizes)
            assert seen.running == seen.queued == 0 and not any(seen.waiting_for.values())
            assert leases == [0] and not manager._runner.live

    run(work())


async def _cancels(manager: RolloutManager, groups: int, draw: random.Random) -> None:
    while True:
        await asyncio.sleep(draw.expovariate(0.5))
        manager.cancel(str(draw.randrange(groups)))
