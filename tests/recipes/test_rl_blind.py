"""Tasks that the starting policy solves without their picture are not learned from; held-out sets stay whole."""

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from manyeyes.agent.environment import Environment
from manyeyes.agent.environments.computer_use import ComputerUse
from manyeyes.agent.environments.sights import sight_of
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Rewards
from manyeyes.agent.registry import Found, Registry
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Together
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, assistant, user
from manyeyes.core.picture import Picture
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.recipes import recipe
from manyeyes.recipes.rl_blind import BLIND, DROPPED, BlindFilter, read_dropped
from manyeyes.recipes.rl_execute import execute_rl
from manyeyes.recipes.rl_measure import MEASURED
from manyeyes.recipes.rl_parts import BlindRule, Measured
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.tiny_places import sight_place

from .post_worlds import (
    LOOKS,
    PLACE,
    REGISTRY,
    checkpoint_of_little,
    folder_of,
    little_run,
    looking,
    looks,
    plain_rows,
    said_anything,
    sums,
    world,
)


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


@dataclass
class Shown(Environment):
    """Shows a picture and takes no `blind`."""

    def messages(self, task: Task) -> list[Message]:
        return [user(Picture.of(np.zeros((16, 16, 3), np.uint8)), task.prompt)]


def shown() -> Environment:
    return Shown(lambda ctx: Together(), judge=Rewards(odd=said_anything), name="shown")


def computer() -> Environment:
    return ComputerUse(world=NoWorld(), computers=NoComputers())  # pyright: ignore[reportArgumentType]


class NoWorld:
    screen = None


class NoComputers:
    pass


PICTURES = Registry(
    {
        "environments": {"sums": world, "looks": looking, "shown": shown, "computer": computer},
        "task_sources": {"sums": sums, "looks": looks, "shown": looks, "computer": sums},
    },
    installed=Found(()),
)


def test_places_that_show_pictures_and_are_not_filtered_are_named(start: Path) -> None:
    """`looks` is filtered and `sums` is text; a computer's screen is not there before an attempt begins."""
    places = (LOOKS, PLACE, replace(PLACE, name="shown", environment="shown", tasks={"size": 4}),
              replace(PLACE, name="computer", environment="computer"))  # fmt: skip
    run = replace(blind_run(start), places=places, measured=())
    assert list(Places(run, PICTURES).not_looked_at()) == [
        "shown: shows pictures and is not filtered: its environment takes no `blind`",
        "computer: shows pictures and is not filtered: its environment takes no `blind` and its task source takes no "
        "`dropped`",
    ]
    assert not list(Places(replace(run, blind=None), PICTURES).not_looked_at())


def test_a_run_says_once_what_it_does_not_filter(start: Path, tmp_path: Path) -> None:
    run = replace(
        blind_run(start), places=(replace(PLACE, name="shown", environment="shown", answer_tokens=4),), measured=(),
        row_length=128,
    )  # fmt: skip
    told: list[list[str]] = []
    for stop in (True, False):
        told.append([])
        with folder_of(tmp_path / "run", run.to_json()) as folder:
            execute_rl(
                run, folder, device=torch.device("cpu"), registry=PICTURES, announce=told[-1].append,
                stop=lambda stop=stop: stop and any(line.startswith("step ") for line in told[-1]),
            )  # fmt: skip
    lines = [[line for line in life if "is not filtered" in line] for life in told]
    assert lines == [["shown: shows pictures and is not filtered: its environment takes no `blind`"], []]


@pytest.mark.parametrize("name", ["small.vision_rl", "small.toggle", "k25.joint_rl"])
def test_puzzles_of_the_recipes_are_filtered(name: str) -> None:
    run = recipe(name)
    assert isinstance(run, RlRun)
    places = Places(run)
    (spec,) = (one for one in places.looked_at() if one.environment == "puzzles")
    task = places.source(spec, "train").next()
    assert task is not None and {one.environment for one in places.looked_at()} >= {"sights", "puzzles"}
    prompts = [here.drawn(task, seed=0, name="t/0")[0].prompt(task) for here in
               (places.blind_episode(spec, temperature=1.0), places.episode(spec, temperature=1.0))]  # fmt: skip
    blank, drawn = ([picture.pixels() for message in prompt for picture in message.media] for prompt in prompts)
    assert blank and all((one == 255).all() for one in blank) and not any((one == 255).all() for one in drawn)
    few = replace(spec, tasks=spec.tasks | {"size": 6})
    whole = of_source(places.source(few, "train"))
    places.dropped[spec.name] = frozenset(sorted(whole)[:2])
    assert of_source(places.source(few, "train")) == whole - places.dropped[spec.name] and len(whole) == 6


def of_source(source: Any) -> set[str]:
    return {task.id for _ in range(12) if (task := source.next()) is not None}


def test_a_damaged_file_is_refused(start: Path, tmp_path: Path) -> None:
    run = blind_run(start)
    executed(run, tmp_path / "run", stop=True)
    file = tmp_path / "run" / DROPPED
    file.write_text(json.dumps({"looks": {"of": 3}}))
    with pytest.raises(ConfigError, match="is damaged"):
        executed(run, tmp_path / "run")
