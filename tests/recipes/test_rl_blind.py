"""Tasks that the starting policy solves without their picture are not learned from; held-out sets stay whole."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from manyeyes.agent.environments.sights import sight_of
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.registry import Registry
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import assistant
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.recipes.rl_blind import BLIND, DROPPED, BlindFilter, read_dropped
from manyeyes.recipes.rl_execute import execute_rl
from manyeyes.recipes.rl_measure import MEASURED
from manyeyes.recipes.rl_parts import BlindRule, Measured
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.tiny_places import sight_place

from .post_worlds import LOOKS, PLACE, REGISTRY, checkpoint_of_little, folder_of, little_run, plain_rows


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_of_little(tmp_path_factory.mktemp("little") / "model")


def blind_run(start: Path, **settings: object) -> RlRun:
    held_out = Measured(LOOKS, count=6, quick=6)
    return little_run(
        start, places=(LOOKS, PLACE), measured=(held_out, Measured(PLACE, count=2, quick=2)), blind=BlindRule(),
        **settings,
    )  # fmt: skip


def executed(run: RlRun, path: Path, *, stop: bool = False) -> list[str]:
    told: list[str] = []
    with folder_of(path, run.to_json()) as folder:
        execute_rl(
            run, folder, device=torch.device("cpu"), registry=REGISTRY, announce=told.append,
            stop=lambda: stop and any(line.startswith("step ") for line in told),
        )  # fmt: skip
    return told


def asked(path: Path, store: str) -> set[int]:
    """Numbers of the tasks with pictures that were attempted."""
    with TrajectoryStore(path / store, mode="read") as kept:
        return {int(name.split("/")[2]) for name in kept.names() if name.startswith("look/")}


def test_what_is_solved_blind_is_not_learned_from_and_is_measured_all_the_same(start: Path, tmp_path: Path) -> None:
    told = executed(blind_run(start, steps=4), tmp_path / "run")
    folder = folder_of(tmp_path / "run", {})
    found = read_dropped(folder)
    assert {name: len(one.rates) for name, one in found.items()} == {"looks": 12}
    assert sorted(found["looks"].ids) == sorted(f"look/train/{n}" for n in range(0, 12, 2))
    assert found["looks"].rates["look/train/2"] == 1.0 and found["looks"].rates["look/train/3"] == 0.0
    assert asked(tmp_path / "run", "trajectories") <= set(range(1, 12, 2)) != set()
    with TrajectoryStore(tmp_path / "run" / MEASURED, mode="read") as kept:
        assert sum("/0/looks/" in name for name in kept.names()) == 6
    assert plain_rows(folder, "evaluation")[0]["looks/questions"] == 6.0
    (row,) = plain_rows(folder, "blind")
    assert {name: row[name] for name in row if "looks" in name} == {
        "looks/tasks": 12, "looks/dropped": 6, "looks/failed": 0
    }  # fmt: skip
    assert "looks: 6 of 12 tasks are solved without their picture and dropped" in told


def test_held_out_tasks_are_those_of_a_run_without_the_filter(start: Path) -> None:
    """By a constant guess half of them are solved: dropping these would make the guess seem worth nothing."""
    run = blind_run(start)
    sets: list[list[str]] = []
    for one in (run, replace(run, blind=None)):
        places = Places(one, REGISTRY)
        places.dropped["looks"] = {f"look/test/{n}" for n in range(3)}
        source = places.held_out(one.measured[0])
        sets.append([task.id for _ in range(6) if (task := source.next()) is not None])
    assert sets[0] == sets[1] and len(set(sets[0])) == 6


def a_filter(run: RlRun, path: Path, chat: Scripted, **given: Any) -> BlindFilter:
    with folder_of(path, run.to_json()) as folder:
        return BlindFilter(Places(run, given.pop("registry", REGISTRY)), {"live": chat}, folder, **given)


def test_a_policy_that_always_says_the_same_solves_those_tasks_whose_answer_that_is(tmp_path: Path) -> None:
    place = replace(sight_place("count", tools=False, size=30), weight=1.0)
    run = little_run(tmp_path, places=(place,), measured=(), blind=BlindRule(), row_length=512)
    ask = a_filter(run, tmp_path / "run", Scripted(lambda messages: assistant("2")), registry=Registry())
    found = asyncio.run(ask())
    assert found is not None
    source = Places(run).source(place, "train")
    tasks = [task for _ in range(30) if (task := source.next()) is not None]
    guessed = {task.id for task in tasks if sight_of(task).sight.answer == "2"}
    assert set(found["see_count"].ids) == guessed != set() and found["see_count"].rates.keys() == {t.id for t in tasks}
    left = ask.places.source(place, "train")
    assert {task.id for _ in range(60) if (task := left.next()) is not None} == {t.id for t in tasks} - guessed


def test_a_filter_that_was_stopped_keeps_its_attempts_and_goes_on(start: Path, tmp_path: Path) -> None:
    run, said = blind_run(start), []

    def answer(messages: Any) -> Any:
        said.append(messages)
        return assistant("ok")

    stopped = a_filter(run, tmp_path / "run", Scripted(answer), stop=lambda: len(said) > 5)
    assert asyncio.run(stopped()) is None and not (tmp_path / "run" / DROPPED).exists()
    with TrajectoryStore(tmp_path / "run" / BLIND, mode="read") as kept:
        made = len(kept)
    assert 0 < made < 24
    said.clear()
    assert asyncio.run(a_filter(run, tmp_path / "run", Scripted(answer))()) is not None
    assert len(said) == 24 - made


def test_a_run_that_is_stopped_in_its_filter_ends_there_and_then_finishes(start: Path, tmp_path: Path) -> None:
    run = blind_run(start)
    with folder_of(tmp_path / "run", run.to_json()) as folder:
        assert not execute_rl(run, folder, device=torch.device("cpu"), registry=REGISTRY, stop=lambda: True)
        assert not folder.metrics("start")
    executed(run, tmp_path / "run")
    assert plain_rows(folder_of(tmp_path / "run", {}), "finished")


def test_the_row_of_the_log_survives_a_kill_before_the_first_checkpoint(start: Path, tmp_path: Path) -> None:
    run = blind_run(start, checkpoint_every=9)
    told: list[str] = []

    def dies(line: str) -> None:
        told.append(line)
        if line.startswith("step 1"):
            raise KeyboardInterrupt

    with folder_of(tmp_path / "run", run.to_json()) as folder, pytest.raises(KeyboardInterrupt):
        execute_rl(run, folder, device=torch.device("cpu"), registry=REGISTRY, announce=dies)
    executed(run, tmp_path / "run")
    (row,) = plain_rows(folder_of(tmp_path / "run", {}), "blind")
    assert row["looks/dropped"] == 6


def test_a_run_that_goes_on_reads_what_was_found_and_asks_nothing(start: Path, tmp_path: Path) -> None:
    run = blind_run(start)
    executed(run, tmp_path / "run", stop=True)
    before = (tmp_path / "run" / DROPPED).read_bytes()
    told = executed(run, tmp_path / "run")
    assert (tmp_path / "run" / DROPPED).read_bytes() == before
    assert not any("without their picture" in line for line in told)
    executed(run, tmp_path / "whole")
    assert plain_rows(folder_of(tmp_path / "run", {}), "rl") == plain_rows(folder_of(tmp_path / "whole", {}), "rl")


def test_tasks_that_are_all_solved_are_no_place(start: Path, tmp_path: Path) -> None:
    guessed = replace(LOOKS, world={"guess": 1})
    with pytest.raises(ConfigError, match="looks: every one of 12 tasks is solved without its picture"):
        executed(replace(blind_run(start), places=(guessed,)), tmp_path / "run")


def test_a_damaged_file_is_refused(start: Path, tmp_path: Path) -> None:
    run = blind_run(start)
    executed(run, tmp_path / "run", stop=True)
    file = tmp_path / "run" / DROPPED
    file.write_text(json.dumps({"looks": {"of": 3}}))
    with pytest.raises(ConfigError, match="is damaged"):
        executed(run, tmp_path / "run")
