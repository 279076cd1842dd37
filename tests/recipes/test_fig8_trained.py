"""Figure 8 of a trained swarm, from attempts of scripted agents in the real environment."""

import json
from pathlib import Path
from typing import Any

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.trajectory import Trajectory
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce import fig8_trained
from manyeyes.recipes.reproduce.fig8_pairs import SINGLE, SWARM, TARGETS, Pair, Told, growth, to_target
from manyeyes.recipes.reproduce.post_runs import Finished
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.swarm.parl_environment import Parl, task_source
from manyeyes.swarm.parl_scripts import parallel, serial
from manyeyes.view import figure_experiment
from manyeyes.view.figure_panels import document

from ..swarm.parl_play import attempt
from .post_toys import store


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A run of PARL, as far as its configuration goes, and the model that it began from."""
    return run_of_parl(tmp_path, "parl")


def run_of_parl(tmp_path: Path, name: str) -> Path:
    config = recipe("tiny.parl").to_json() | {"start_model": str(tmp_path / "sft")}
    path = RunFolder.create(tmp_path / name, config).path
    for model in (tmp_path / "sft", path / "model"):
        model.mkdir(exist_ok=True)
        (model / "config.json").write_text(json.dumps(str(model)))
    return path


def played(script: Any, *, mode: Any, tasks: int) -> list[Trajectory]:
    source, found = task_source(seed=0, split="test", budget=0), []
    for number in range(tasks):
        task = source.next()
        assert task is not None
        whole = attempt(Parl(mode=mode, budget=0), task, script)
        whole.name = f"{task.id}/0/wide/{number}/0"
        found.append(whole)
    return found


def result_of(trained: Path, tmp_path: Path, *swarms: Any, tasks: int = 8) -> dict[str, Any]:
    """One trained run for each script that a swarm plays."""
    runs = [trained, *(run_of_parl(tmp_path, f"parl-{number}") for number in range(1, len(swarms)))]
    scale = Scale(trained, seeds=len(runs))
    plan, root = fig8_trained.plan_of(runs, scale), tmp_path / "runs"
    for (arm, seed), made in plan.items():
        with made.folder(root) as folder:
            folder.log("finished", 1)
        script, mode = (serial, "alone") if arm == SINGLE else (swarms[seed], "swarm")
        store(made.path(root), played(script, mode=mode, tasks=tasks))
    return fig8_trained.results(Finished(plan, root), scale)


def test_a_swarm_of_one_agent_a_row_is_faster_and_the_more_so_the_higher_the_target(trained, tmp_path) -> None:
    result = result_of(trained, tmp_path, parallel, parallel)
    targets = [result["figures"]["targets"][str(target)] for target in TARGETS]
    assert all(one["tables"] == 16 and one["swarm"] == targets[0]["swarm"] for one in targets)
    faster = [one["faster"] for one in targets]
    assert faster == sorted(faster) and faster[-1] > 2
    said = " ".join(result["sentences"])
    assert "item-F1 100.0 and 100.0 %" in said and "constant time for the swarm: shown" in said
    assert "The speed-up grows with the table" in said and "sooner (the report: 3x to 4.5x): shown" in said
    assert "on the 16 tables that both bring to either" in said
    assert [row[-2:] for row in result["tables"][0]["rows"]] == [["100 %", "100 %"]] * len(TARGETS)
    assert document(figure_experiment.picture(result)).count("critical steps") == 1
    assert json.loads(json.dumps(result)) == result


def test_a_swarm_that_works_alone_is_not_faster(trained, tmp_path) -> None:
    said = " ".join(result_of(trained, tmp_path, serial, serial)["sentences"])
    assert "1.0x to 1.0x sooner (the report: 3x to 4.5x): not shown" in said
    assert "constant time for the swarm: not shown" in said


def test_one_trained_run_says_nothing_about_noise(trained, tmp_path) -> None:
    result = result_of(trained, tmp_path, parallel, tasks=4)
    told = [one for one in result["sentences"] if "sooner" in one or "constant time" in one]
    assert len(told) == 2 and all("one seed only" in one for one in told)


def test_growth_is_of_the_tables_that_reach_both_targets() -> None:
    def told(*reached: int | None) -> Told:
        return Told(4, 20, 0.7, dict(zip(TARGETS, reached, strict=True)), [])

    easy = Pair(0, told(2, 3, 4, 5, 6), told(1, 1, 1, 1, 2))
    hard = Pair(0, told(20, None, None, None, None), told(9, 9, 9, 9, 9))
    assert growth([easy, hard]) == {"tables": 1, SINGLE: 3.0, SWARM: 2.0}
    assert to_target([easy, hard], TARGETS[0])[SINGLE] == 11 and to_target([easy, hard], TARGETS[-1])[SINGLE] == 6
    assert growth([hard]) == {"tables": 0}


def test_one_agent_is_the_model_that_the_run_began_from(trained: Path, tmp_path: Path) -> None:
    plan = fig8_trained.plan_of([trained], Scale(trained, seeds=1))
    single, swarm = (plan[arm, 0] for arm in (SINGLE, SWARM))
    assert single.start == single.frozen == swarm.frozen == tmp_path / "sft" and swarm.start == trained / "model"
    asked = [one.work.measured[0] for one in (single, swarm)]  # pyright: ignore
    assert [one.place.world.get("mode") for one in asked] == ["alone", None]
    assert asked[0].temperature == recipe("tiny.parl").places[0].world["sub_temperature"]  # pyright: ignore


def test_a_run_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = RunFolder.create(tmp_path / "other", {"name": "tiny"}).path
    with pytest.raises(ConfigError, match="expected a finished run of tiny.parl"):
        fig8_trained.plan_of([other], Scale(other, seeds=1))
    with pytest.raises(ConfigError, match="a trained run for each seed, got 1 runs and 3 seeds"):
        fig8_trained.plan_of([other], Scale(other))
