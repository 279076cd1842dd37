"""`manyeyes swarm demo --model RUN`: a trained swarm beside the same policy alone; a real engine, and scripts."""

from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from manyeyes.cli.main import main
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.tiny_parl import tiny_parl
from manyeyes.swarm.parl_scripts import parallel, worker

from ..swarm.parl_play import model


@pytest.fixture
def parl_run(runs, random_model) -> Path:
    """A finished run of PARL whose model and whose sub-agents know nothing yet, and say few words."""
    recipe = tiny_parl()
    places = tuple(replace(place, world=place.world | {"sub_tokens": 4}, answer_tokens=4) for place in recipe.places)
    run = replace(recipe, places=places, start_model=str(random_model), frozen_model=str(random_model))
    made = RunFolder.create(runs / "parl", run.to_json())
    (made.path / "model").symlink_to(random_model)
    return made.path


def test_the_engine_plays_everybody(runs, parl_run, capsys) -> None:
    assert main(["swarm", "demo", "--model", "parl", "--tasks", "1", "--plain"]) == 0
    said = capsys.readouterr().out
    assert "a worker alone" in said and "critical steps of" in said
    names = sorted(path.parent.name for path in runs.glob("swarm-demo-*/*/events.jsonl"))
    assert names == [f"table-0-0-12-{who}" for who in ("alone", "swarm", "worker")]


@pytest.fixture
def scripted(monkeypatch, parl_run) -> None:
    """In place of the engines: the run's own model leads, the one that it began from works."""

    @asynccontextmanager
    async def embedded(name: str, **_):
        yield model(parallel if Path(name).is_relative_to(parl_run) else worker)

    monkeypatch.setattr("manyeyes.cli.swarm_trained.embedded", embedded)


def test_what_the_swarm_took_stands_beside_one_agent(runs, scripted, capsys) -> None:
    folder = runs / "shown"
    assert main(["swarm", "demo", "--model", "parl", "--tasks", "2", "--plain", "--folder", str(folder)]) == 0
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if line.startswith(" Find ") and "swarm" in line]
    assert [line[line.index("swarm") + 1 :][:3] for line in rows] == [["100.0", "7", "4"], ["100.0", "7", "12"]]
    again = main(["swarm", "demo", "--model", "parl", "--tasks", "2", "--plain", "--folder", str(folder)])
    assert again == 0 and len(list(folder.glob("*/events.jsonl"))) == 6


def test_a_session_of_it_is_not_gone_on_with_as_one_about_words(runs, scripted, capsys) -> None:
    folder = runs / "shown"
    assert main(["swarm", "demo", "--model", "parl", "--tasks", "1", "--plain", "--folder", str(folder)]) == 0
    (folder / "table-0-0-12-swarm" / "events.jsonl").unlink()
    capsys.readouterr()
    assert main(["swarm", "resume", str(folder / "table-0-0-12-swarm"), "--yes"]) == 2
    assert "names no endpoint" in capsys.readouterr().err


def test_the_swarm_is_measured_by_the_better_of_the_policy_alone_and_a_worker(scripted, runs, capsys) -> None:
    folder = runs / "shown"
    assert main(["swarm", "demo", "--model", "parl", "--tasks", "1", "--plain", "--folder", str(folder)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "14 % of the critical steps of a worker alone, at an item F1 of 100.0 against 100.0" in said


def test_no_tables_are_no_demo(runs, scripted, capsys) -> None:
    assert main(["swarm", "demo", "--model", "parl", "--tasks", "0", "--plain"]) == 2
    assert "--tasks must be 1 or more" in capsys.readouterr().err
