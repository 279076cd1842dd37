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
    """A run of PARL, as far as its configuration goes."""
    config = recipe("tiny.parl").to_json() | {"start_model": str(tmp_path / "sft")}
    return RunFolder.create(tmp_path / "parl", config).path


def played(script: Any, *, mode: Any, tasks: int) -> list[Trajectory]:
    source, found = task_source(seed=0, split="test", budget=0), []
    for number in range(tasks):
        task = source.next()
        assert task is not None
        whole = attempt(Parl(mode=mode, budget=0), task, script)
        whole.name = f"{task.id}/0/wide/{number}/0"
        found.append(whole)
    return found


def result_of(trained: Path, tmp_path: Path, swarm: Any) -> dict[str, Any]:
    scale = Scale(trained, seeds=1)
    plan, root = fig8_trained.plan_of(trained, scale), tmp_path / "runs"
    scripts = {fig8_trained.SINGLE: (serial, "alone"), fig8_trained.SWARM: (swarm, "swarm")}
    for (arm, _), made in plan.items():
        with made.folder(root) as folder:
            folder.log("finished", 1)
        script, mode = scripts[arm]
        store(made.path(root), played(script, mode=mode, tasks=8))
    return fig8_trained.results(Finished(plan, root), scale)


def test_a_swarm_of_one_agent_a_row_is_faster_and_the_more_so_the_higher_the_target(trained, tmp_path) -> None:
    result = result_of(trained, tmp_path, parallel)
    targets = [result["figures"]["targets"][str(target)] for target in fig8_trained.TARGETS]
    assert all(one["tables"] == 8 and one["swarm"] == targets[0]["swarm"] for one in targets)
    faster = [one["faster"] for one in targets]
    assert faster == sorted(faster) and faster[-1] > 2
    said = " ".join(result["sentences"])
    assert "item-F1 100.0 and 100.0 %" in said and "nearly constant time for the swarm is shown" in said
    assert "The speed-up grows with the table" in said
    assert document(figure_experiment.picture(result)).count("critical steps") == 1
    assert json.loads(json.dumps(result)) == result


def test_a_swarm_that_works_alone_is_not_faster(trained, tmp_path) -> None:
    said = " ".join(result_of(trained, tmp_path, serial)["sentences"])
    assert "1.0x to 1.0x sooner (the report: 3x to 4.5x): not shown" in said
    assert "nearly constant time for the swarm is not shown" in said


def test_one_agent_is_the_model_that_the_run_began_from(trained: Path, tmp_path: Path) -> None:
    plan = fig8_trained.plan_of(trained, Scale(trained, seeds=1))
    single, swarm = (plan[arm, 0] for arm in (fig8_trained.SINGLE, fig8_trained.SWARM))
    assert single.start == tmp_path / "sft" and swarm.start == trained / "model"
    assert swarm.work.frozen_model == str(tmp_path / "sft")  # pyright: ignore
    assert [one.work.measured[0].place.world.get("mode") for one in (single, swarm)] == ["alone", None]  # pyright: ignore


def test_a_run_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = RunFolder.create(tmp_path / "other", {"name": "tiny"}).path
    with pytest.raises(ConfigError, match="expected a finished run of tiny.parl"):
        fig8_trained.plan_of(other, Scale(other))
