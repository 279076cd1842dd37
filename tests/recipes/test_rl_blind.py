"""Tasks that the starting policy solves without their picture are dropped, from training and from held-out sets."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.recipes.rl_blind import DROPPED, read_dropped
from manyeyes.recipes.rl_execute import execute_rl
from manyeyes.recipes.rl_measure import MEASURED
from manyeyes.recipes.rl_parts import BlindRule, Measured
from manyeyes.recipes.rl_run import RlRun

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


def test_what_is_solved_blind_is_neither_learned_from_nor_measured(start: Path, tmp_path: Path) -> None:
    told = executed(blind_run(start, steps=4), tmp_path / "run")
    folder = folder_of(tmp_path / "run", {})
    found = read_dropped(folder)
    assert {name: len(one.rates) for name, one in found.items()} == {"train/looks": 12, "test/looks": 6}
    assert sorted(found["train/looks"].ids) == sorted(f"look/train/{n}" for n in range(0, 12, 2))
    assert found["train/looks"].rates["look/train/2"] == 1.0 and found["train/looks"].rates["look/train/3"] == 0.0
    assert asked(tmp_path / "run", "trajectories") <= set(range(1, 12, 2)) != set()
    assert asked(tmp_path / "run", MEASURED) == {1, 3, 5}
    assert plain_rows(folder, "evaluation")[0]["looks/questions"] == 3.0
    (row,) = plain_rows(folder, "blind")
    assert (row["train/looks/tasks"], row["train/looks/dropped"], row["test/looks/dropped"]) == (12, 6, 3)
    assert "train/looks: 6 of 12 tasks are solved without their picture and dropped" in told


def test_a_run_that_goes_on_reads_what_was_found_and_asks_nothing(start: Path, tmp_path: Path) -> None:
    run = blind_run(start)
    executed(run, tmp_path / "run", stop=True)
    before = (tmp_path / "run" / DROPPED).read_bytes()
    told = executed(run, tmp_path / "run")
    assert (tmp_path / "run" / DROPPED).read_bytes() == before
    assert not any("without their picture" in line for line in told)
    executed(run, tmp_path / "whole")
    assert plain_rows(folder_of(tmp_path / "run", {}), "rl") == plain_rows(folder_of(tmp_path / "whole", {}), "rl")


def test_a_measurement_that_is_added_is_asked_of_the_first_weights(start: Path, tmp_path: Path) -> None:
    run = blind_run(start)
    executed(run, tmp_path / "run", stop=True)
    told = executed(replace(run, measured=(Measured(replace(LOOKS, name="more"), count=4, quick=4),)), tmp_path / "run")
    assert "test/more: 2 of 4 tasks are solved without their picture and dropped" in told
    assert read_dropped(folder_of(tmp_path / "run", {})).keys() == {"train/looks", "test/looks", "test/more"}


def test_tasks_that_are_all_solved_are_no_place(start: Path, tmp_path: Path) -> None:
    guessed = replace(LOOKS, world={"guess": 1})
    with pytest.raises(ConfigError, match="train/looks: every one of 12 tasks is solved without its picture"):
        executed(replace(blind_run(start), places=(guessed,)), tmp_path / "run")


def test_a_damaged_file_is_refused(start: Path, tmp_path: Path) -> None:
    run = blind_run(start)
    executed(run, tmp_path / "run", stop=True)
    file = tmp_path / "run" / DROPPED
    file.write_text(json.dumps({"train/looks": {"of": 3}}))
    with pytest.raises(ConfigError, match="is damaged"):
        executed(run, tmp_path / "run")
