"""The asynchronous loop: every group at most once, no token too old, rollouts that go on while the trainer learns."""

import asyncio
import dataclasses
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from manyeyes.agent.judge import JudgeFailed, Verdict
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.group import Group
from manyeyes.core.sampler import Completion, OnToken, SampleRequest
from manyeyes.core.trajectory import AgentSpan, Node, Policy, Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.optim.schedule import Schedule
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.loop import Lesson, RlLoop
from manyeyes.rl.temperature import TemperatureSchedule

from .loop_worlds import ModelSampler, make_run, one_place, rows, sampler_of
from .rollout_samples import one_thread as one_thread

T = TypeVar("T")


def finished(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 120))


def one_place_draw(number: int) -> str:
    """The task that is drawn so late."""
    domains = one_place()
    drawn = [domains.draw(step=0) for _ in range(number + 1)][-1]
    assert drawn is not None
    return drawn.task.id


def learned(run: RlLoop) -> list[str]:
    return [group for row in rows(run) for group in row["groups"]]


class Slow(ModelSampler):
    """Requests of some numbers wait behind their first token, until weights of some version are there."""

    def __init__(self, inner: ModelSampler, until: Mapping[int, int]) -> None:
        super().__init__(inner.model)
        self.until, self.news, self.started = until, asyncio.Event(), 0

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        version, first = self.until.get(self.started, 0), True
        self.started += 1

        async def before() -> None:
            nonlocal first
            while not first and self.version < version:
                await self.news.wait()
            first = False

        slow = ModelSampler.__new__(ModelSampler)
        slow.__dict__ = self.__dict__ | {"before": before}
        return await _spoken(slow, self, request)

    async def publish(self, version: int, tensors: Mapping[str, Any], *, hand_back: bool = False) -> None:
        await super().publish(version, tensors)
        self.news.set()
        self.news = asyncio.Event()


async def _spoken(voice: ModelSampler, owner: ModelSampler, request: SampleRequest) -> Completion:
    """Token by token, each with the owner's weights and version of then."""
    assert voice.before is not None
    said = Completion()
    for number in range(request.params.max_new_tokens):
        await voice.before()
        ids = [*request.ids, *said.ids]
        part = await ModelSampler.sample(owner, _next_of(request, ids, number))
        said.ids += part.ids
        said.logprobs += part.logprobs
        said.versions += part.versions
    return said


def _next_of(request: SampleRequest, ids: Sequence[int], number: int) -> SampleRequest:
    one = dataclasses.replace(request.params, max_new_tokens=1)
    return dataclasses.replace(request, ids=np.array(ids, np.int32), params=one, drawn=request.drawn + number)


def slow_run(path: Path, until: Mapping[int, int], **settings: Any) -> RlLoop:
    run = make_run(path, domains=one_place(tokens=3), groups=2, attempts=2, **settings)
    run.sampler = Slow(sampler_of(run), until)
    run.models = {"live": run.sampler}
    return run


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_every_group_is_learned_from_once_and_none_is_too_old(staleness: int, tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=6, max_staleness=staleness)
    assert finished(async_loop(run)) and run.step == 6
    found = rows(run)
    assert len(learned(run)) == len(set(learned(run))) and all(row["tally"]["groups"] >= 3 for row in found)
    assert max(row["staleness/most"] for row in found) <= staleness
    assert sampler_of(run).published == [1, 2, 3, 4, 5, 6]
    if staleness:
        assert max(row["staleness/most"] for row in found) > 0


def test_rollouts_go_on_while_the_trainer_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, steps=2)
    learns, more, overlapped = threading.Event(), threading.Event(), []

    async def before() -> None:
        while sampler_of(run).asked > 3 * 4 and not learns.is_set():
            await asyncio.sleep(0.001)
        more.set()

    sampler_of(run).before = before
    plain = run._learn

    def learn(groups: Sequence[Group]) -> Lesson:
        if run.step == 0:
            more.clear()
            learns.set()
            overlapped.append(more.wait(60))  # somebody samples while this thread works
        return plain(groups)

    monkeypatch.setattr(run, "_learn", learn)
    assert finished(async_loop(run)) and overlapped == [True]


def test_a_rollout_goes_on_through_new_weights(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path / "trajectories") as store:

        async def work() -> RlLoop:
            run = slow_run(tmp_path, {4: 1, 5: 1}, steps=3, store=store)
            assert await async_loop(run)
            return run

        run = finished(work())
        spans = [store.summary(name) for name in store.names()]
        assert sum(one.first_version == 0 and one.last_version == 1 for one in spans) == 2
    assert rows(run)[1]["staleness/most"] == 1.0 and rows(run)[1]["mismatch/tokens/stale 1"] > 0


def test_a_group_that_takes_too_long_is_left_out_and_counted(tmp_path: Path) -> None:
    async def work() -> RlLoop:
        run = slow_run(tmp_path, {1: 99}, steps=4)
        assert await async_loop(run)
        return run

    run = finished(work())
    assert sum(row["tally"].get("groups/stale", 0) for row in rows(run)) == 1
    assert all(row["tally"]["groups/told"] + row["tally"].get("groups/equal", 0) == 2 for row in rows(run))
    assert len(learned(run)) == len(set(learned(run))) == 9


def test_stopped_and_gone_on_no_group_counts_twice(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path / "trajectories") as store:
        run = make_run(tmp_path, steps=6, store=store)
        assert not finished(async_loop(run, stop=lambda: run.step >= 3))
        again = make_run(tmp_path, steps=6, store=store)
        assert again.resume() and again.step == 3 and again.pending
        assert finished(async_loop(again)) and again.step == 6
        assert sampler_of(again).asked < len(store)
    assert [row["step"] for row in rows(again)] == [1, 2, 3, 4, 5, 6]
    assert len(learned(again)) == len(set(learned(again))) == 18
    assert max(row["staleness/most"] for row in rows(again)) <= 1


def test_killed_and_gone_on_what_newer_weights_said_is_not_taken_for_old(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path / "trajectories") as store:

        async def killed() -> None:
            run = make_run(tmp_path, steps=9, store=store, checkpoint_every=4)
            working = asyncio.ensure_future(async_loop(run))
            while run.step < 7:
                await asyncio.sleep(0.001)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

        finished(killed())
        again = make_run(tmp_path, steps=9, store=store, checkpoint_every=4)
        assert again.resume() and again.step == 4
        assert finished(async_loop(again)) and again.step == 9
    assert [row["step"] for row in rows(again)] == list(range(1, 10))
    draws = [group.partition(".")[0] for group in learned(again)]
    assert len(draws) == len(set(draws)) == 27
    assert max(row["staleness/most"] for row in rows(again)) <= 1


@pytest.mark.parametrize("policy", ["live", "frozen"])
def test_what_newer_weights_said_in_a_life_before_is_not_taken_for_this_one(policy: Policy, tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path / "trajectories") as store:
        run = make_run(tmp_path, domains=one_place(), steps=1, store=store)
        task = one_place().draw(step=0)
        assert task is not None
        one = Trajectory(
            f"{task.task.id}/0/1", task.task.id, agents=[AgentSpan(policy=policy)], stop="done", reward=1.0
        )
        said = np.array([1, 7, 8], np.int32), 2, np.array([-0.5], np.float32), np.array([9], np.int32)
        one.add(Node(*said))
        store.append(one)
        assert finished(async_loop(run))
    assert ("0.1" in learned(run)) == (policy == "live") and len(learned(run)) == 3


def test_what_a_life_that_is_over_said_stays_lost_when_later_ones_reach_its_step(tmp_path: Path) -> None:
    """The second life makes a checkpoint behind the step of those weights, and the third goes on from there."""
    said = np.array([1, 7, 8], np.int32), 2, np.array([-0.5], np.float32), np.array([1], np.int32)
    with TrajectoryStore(tmp_path / "trajectories") as store:
        for number in (6, 9):  # drawn after one step or more, and after three or more: the third life draws the last
            task = one_place_draw(number)
            one = Trajectory(f"{task}/{number}/1", task, agents=[AgentSpan()], stop="done", reward=1.0)
            one.add(Node(*said))
            store.append(one)
        second = make_run(tmp_path, domains=one_place(), steps=5, store=store, max_staleness=0, checkpoint_every=1)
        assert not finished(async_loop(second, stop=lambda: second.step >= 3))
        third = make_run(tmp_path, domains=one_place(), steps=5, store=store, max_staleness=0, checkpoint_every=1)
        assert third.resume() and third.step == 3
        assert finished(async_loop(third))
    assert {"6.1", "9.1"} <= set(learned(third)) and not {"6", "9"} & set(learned(third))


@pytest.mark.parametrize("end", ["no", "stopped"])
def test_steps_share_rollouts_of_several_temperatures(end: str, tmp_path: Path) -> None:
    """Each token is learned from under the temperature that it was sampled at, also behind the end of a process."""
    heat = TemperatureSchedule(1.6, 0.6, steps=4)
    settings: dict[str, Any] = {"temperature": heat, "steps": 5, "schedule": Schedule(peak=1e-9, decay=0.0)}
    with TrajectoryStore(tmp_path / "trajectories") as store:
        run = make_run(tmp_path, **settings, store=store)
        if end == "stopped":
            assert not finished(async_loop(run, stop=lambda: run.step >= 2))
            run = make_run(tmp_path, **settings, store=store)
            assert run.resume() and len(run.pending)
        assert finished(async_loop(run))
        draws = {node.draw for name in store.names() for node in store.get(name).nodes}
    told = {draw.temperature for draw in draws if draw is not None}
    assert None not in draws and told == {heat.at(update) for update in range(len(told))}
    found = rows(run)
    assert max(row["mismatch/mean_absolute"] for row in found) < 1e-5
    behind = [row["temperature"] - heat.at(row["step"] - 1) for row in found]
    assert min(behind) > -1e-6 and max(behind) > 0.2


async def _refuses(ctx: RolloutCtx, worth: float) -> Verdict:
    raise JudgeFailed("no verdict at all")


def test_where_nothing_comes_to_a_verdict_steps_are_taken_and_say_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, domains=one_place(verdict=_refuses), steps=2, attempts=2)
    assert finished(async_loop(run)) and (run.step, run.updates) == (2, 0)
    assert [row["tally"]["groups/incomplete"] for row in rows(run)] == [12, 12]


def test_sources_that_end_end_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, domains=one_place(size=8, epochs=1), steps=50)
    assert finished(async_loop(run)) and run.step == 3 and len(set(learned(run))) == 8
