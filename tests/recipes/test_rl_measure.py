"""Means of a measurement, what is said beside them, and by what its attempts are known."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.chat_model import ModelError, Reply
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.registry import Found, Registry
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.messages import assistant
from manyeyes.core.trajectory import AgentSpan, Event, Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.recipes import rl_measure
from manyeyes.recipes.asked_groups import EndedAttempts
from manyeyes.recipes.rl_measure import LACKING, MEASURED, RlMeasure, figures_of
from manyeyes.recipes.rl_parts import Measured
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_run import RlRun

from .post_worlds import PLACE, REGISTRY, folder_of, little_run, plain_rows, world


def call(name: str, failure: str = "") -> Event:
    return Event("tool", data={"name": name, "result": {"failure": failure}})


def group(*attempts: Trajectory) -> Group:
    return Group(GroupRequest("0/x/0", Task("t", "?"), None, len(attempts)), list(attempts))


def attempt(reward: float | None, *events: Event, masked: str = "") -> Trajectory:
    return Trajectory("t/0/x/0/0", "t", reward=reward, events=list(events), masked=masked, agents=[AgentSpan()])


def test_tools_are_told_by_name_and_those_that_there_are_not_do_not_count() -> None:
    found = figures_of(
        [
            group(attempt(1.0, call("ipython"), call("ipython")), attempt(0.0, call("zoom", "unknown_tool"))),
            group(attempt(0.5, call("search", "crash")), attempt(0.5)),
        ]
    )
    assert (found["calls"], found["calls_ipython"], found["calls_search"]) == (0.5, 0.25, 0.25)
    assert found["reward"] == 0.5 and "calls_zoom" not in found


def test_failures_are_counted_and_not_in_the_mean() -> None:
    found = figures_of([group(attempt(1.0), attempt(None), attempt(0.5, masked="broken"), attempt(float("nan")))])
    assert (found["reward"], found["questions"], found["failed"]) == (1.0, 4.0, 3.0)


class Heard(Scripted):
    """Says the same to everything, and knows at which temperatures it was asked."""

    def __init__(self) -> None:
        super().__init__(lambda messages: assistant("ok"))
        self.temperatures: list[float | None] = []

    async def complete(self, messages: Any, tools: Any = (), **given: Any) -> Reply:
        self.temperatures.append(given["sampling"].temperature)
        return await super().complete(messages, tools, **given)


def few_sums(seed: int = 0, split: str = "train", *, most: int = 3) -> Tasks:
    source = Tasks(lambda n: Task(f"few/{n}", f"{n}?", truth=n), size=3, seed=seed)
    source.position = 3 - most
    return source


FEW = Registry({"environments": {"sums": world}, "task_sources": {"sums": few_sums}}, installed=Found(()))


def measured(run: RlRun, path: Path, registry: Registry = REGISTRY, **given: Any) -> tuple[Heard, list[str]]:
    chat, told = Heard(), list[str]()
    with folder_of(path, run.to_json()) as folder, TrajectoryStore(path / MEASURED, mode="append") as store:
        places = Places(run, registry)
        ask = RlMeasure(run, places, {"live": chat}, folder, announce=told.append, store=store, **given)
        asyncio.run(ask(0))
    return chat, told


def test_fewer_tasks_than_wanted_are_said_and_asked(tmp_path: Path) -> None:
    run = little_run(tmp_path, measured=(Measured(PLACE, count=10, quick=5),))
    _, told = measured(run, tmp_path / "run", FEW)
    assert told[0] == "measured sums: 3 held-out tasks are all there are, of 10 wanted"
    assert plain_rows(folder_of(tmp_path / "run", {}), "evaluation")[0]["sums/questions"] == 3.0


def test_a_place_without_any_task_is_refused(tmp_path: Path) -> None:
    run = little_run(tmp_path, measured=(Measured(replace(PLACE, tasks={"most": 0}), count=10, quick=5),))
    with pytest.raises(ConfigError, match="measured sums: expected 10 tasks, its source has none"):
        measured(run, tmp_path / "run", FEW)


def test_a_place_may_be_measured_at_a_temperature_of_its_own(tmp_path: Path) -> None:
    own = Measured(replace(PLACE, name="own"), count=2, quick=2, temperature=0.3)
    run = little_run(tmp_path, measured=(Measured(PLACE, count=1, quick=1), own), evaluate_temperature=0.9)
    chat, _ = measured(run, tmp_path / "run")
    assert sorted(t for t in chat.temperatures if t is not None) == [0.3, 0.3, 0.9]


def test_attempts_stand_again_only_for_the_same_weights_place_and_temperature(tmp_path: Path) -> None:
    run = little_run(tmp_path, measured=(Measured(PLACE, count=4, quick=2),))
    answered = [len(measured(run, tmp_path / "run", weights=lambda w=w: w)[0].temperatures) for w in "aab"]
    assert answered == [4, 0, 4]
    warmer = replace(run, evaluate_temperature=0.7)
    assert len(measured(warmer, tmp_path / "run", weights=lambda: "a")[0].temperatures) == 4
    longer = replace(run, measured=(Measured(replace(PLACE, answer_tokens=5), count=4, quick=2),))
    assert len(measured(longer, tmp_path / "run", weights=lambda: "a")[0].temperatures) == 4


class Flaky(Heard):
    """As long as it is ill, it fails questions about numbers that are 1, and then every so many."""

    def __init__(self, every: int = 2) -> None:
        super().__init__()
        self.every, self.ill = every, True

    async def complete(self, messages: Any, tools: Any = (), **given: Any) -> Reply:
        if self.ill and (int(messages[-1].text.removesuffix("?")) + 1) % self.every == 0:
            raise ModelError("gone", kind="endpoint")
        return await super().complete(messages, tools, **given)


def ask_twice(run: RlRun, path: Path, chats: list[Flaky]) -> list[str]:
    told: list[str] = []
    for number, chat in enumerate(chats):
        with folder_of(path, run.to_json()) as folder, TrajectoryStore(path / MEASURED, mode="append") as store:
            ask = RlMeasure(run, Places(run, FEW), {"live": chat}, folder, announce=told.append, store=store)
            asyncio.run(ask(0) if number == 0 else ask.again(0))
    return told


def test_what_failed_is_said_and_asked_again_when_the_run_goes_on(tmp_path: Path) -> None:
    run = little_run(tmp_path, measured=(Measured(PLACE, count=3, quick=3),))
    ill, well, later = Flaky(), Flaky(), Flaky()
    well.ill = later.ill = False
    told = ask_twice(run, tmp_path / "run", [ill, well, later])
    folder = folder_of(tmp_path / "run", {})
    assert any("1 attempts failed and are not in the means; the first: few/1" in line for line in told)
    assert [row["sums/failed"] for row in plain_rows(folder, "evaluation")] == [1.0, 0.0]
    assert [row["attempts"] for row in plain_rows(folder, LACKING)] == [1, 0]
    assert len(well.temperatures) == 1 and not later.temperatures  # only what failed, and only once
    with TrajectoryStore(tmp_path / "run" / MEASURED, mode="read") as store:
        assert {one.stop for one in store.find()} == {"done"}


def test_an_attempt_that_failed_in_an_earlier_version_does_not_stand_for_an_answer(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path) as kept:
        for name, stop in (("a/0/0", "failed"), ("a/0/1", "done")):
            kept.append(Trajectory(name, "a", stop=stop))
        store = EndedAttempts(kept)
        assert "a/0/1" in store and "a/0/0" not in store and "a/0/2" not in store


def test_where_too_many_fail_nothing_is_said_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place whose tools are gone: no row, no means over the few that needed none."""
    run, chat = little_run(tmp_path, measured=(Measured(PLACE, count=3, quick=3),)), Flaky(every=1)
    quick = RolloutConfig(
        most_running=1, breaker=1, breaker_trips=1, breaker_seconds=0.01, infra_retries=0, model_tries=0
    )
    monkeypatch.setattr(rl_measure, "RolloutConfig", lambda **given: quick)
    with folder_of(tmp_path / "run", run.to_json()) as folder:
        ask = RlMeasure(run, Places(run, FEW), {"live": chat}, folder)
        with pytest.raises(ManyeyesError, match="too many attempts in a row failed"):
            asyncio.run(ask(0))
        assert not folder.metrics("evaluation")
