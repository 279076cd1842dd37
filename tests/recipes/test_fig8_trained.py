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
from manyeyes.recipes.reproduce.fig8_findings import BEGAN, WORKER, better, who
from manyeyes.recipes.reproduce.fig8_pairs import SWARM, TARGETS, Pair, Told, growth, to_target
from manyeyes.recipes.reproduce.post_runs import Finished
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.reproduce.post_swarm import COMPARED
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
    config = recipe("tiny.parl").to_json() | {
        "start_model": str(tmp_path / "toggled"), "frozen_model": str(tmp_path / "sft"),
    }  # fmt: skip
    path = RunFolder.create(tmp_path / name, config).path
    for model in (tmp_path / "sft", tmp_path / "toggled", path / "model"):
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
        script, mode = (swarms[seed], "swarm") if arm == SWARM else (serial, "alone")
        store(made.path(root), played(script, mode=mode, tasks=tasks))
    return fig8_trained.results(Finished(plan, root), scale)


def test_a_swarm_of_one_agent_a_row_is_faster_and_the_more_so_the_higher_the_target(trained, tmp_path) -> None:
    result = result_of(trained, tmp_path, parallel, parallel)
    targets = [result["figures"]["targets"][str(target)] for target in TARGETS]
    assert all(one["tables"] == 16 and one["swarm"] == targets[0]["swarm"] for one in targets)
    faster = [one["faster"] for one in targets]
    assert faster == sorted(faster) and faster[-1] > 2
    said = " ".join(result["sentences"])
    assert "item-F1 100.0 and 100.0 %" in said and "in each seed): reached" in said
    assert "The speed-up grows with the table" in said and "in each seed: reached" in said
    assert "On the 16 tables that both ended and the swarm fills as well" in said
    assert "on the 16 tables that both bring to either" in said
    assert [row[-2:] for row in result["tables"][0]["rows"]] == [["100 %", "100 %"]] * len(TARGETS)
    assert document(figure_experiment.picture(result)).count("critical steps") == 1
    assert json.loads(json.dumps(result)) == result


def test_a_swarm_that_works_alone_is_not_faster(trained, tmp_path) -> None:
    said = " ".join(result_of(trained, tmp_path, serial, serial)["sentences"])
    assert "1.0x to 1.0x sooner" in said and "at each target and in each seed: not reached" in said
    assert "in each seed): not reached" in said


def giving_up(prompt: str):
    """A swarm that answers at once."""
    yield from ()
    return "Done."


def test_a_seed_that_reaches_nothing_is_none_that_is_sooner(trained, tmp_path) -> None:
    result = result_of(trained, tmp_path, parallel, giving_up, tasks=6)
    said = " ".join(result["sentences"])
    assert "at each target and in each seed: not reached" in said and "in each seed): not reached" in said


def test_who_gives_up_at_once_is_not_fast(trained, tmp_path) -> None:
    result = result_of(trained, tmp_path, giving_up, giving_up, tasks=6)
    assert all(one == {"tables": 0} for one in result["figures"]["rows"].values())
    assert all(row[1:] == ["0", "-", "-", "-"] for row in result["tables"][1]["rows"])
    assert "steps to the end are not compared" in result["sentences"][0]
    assert document(figure_experiment.picture(result)).startswith("<?xml")


def test_the_better_of_both_is_the_one_agent(trained, tmp_path) -> None:
    told = Told(4, 20, 0.7, {}, [])
    some, more = {(0, "t"): told}, {(0, "t"): told._replace(f1=0.9)}
    assert better({WORKER: some, BEGAN: more}) == BEGAN and better({WORKER: some, BEGAN: some}) == WORKER
    assert who(BEGAN, {WORKER: some, BEGAN: more}).startswith(
        "the model that PARL began from, which fills tables better"
    )
    assert who(WORKER, {WORKER: some}).endswith("which is the model that PARL began from as well")
    result = result_of(trained, tmp_path, parallel, tasks=4)
    assert result["figures"]["one_agent"] == WORKER and "frozen checkpoint of the sub-agents" in result["about"][1]


def test_a_run_that_is_named_twice_is_no_second_seed(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="parl has the same model as parl"):
        fig8_trained.plan_of([trained, trained], Scale(trained, seeds=2))
    copy = run_of_parl(tmp_path, "copy")
    (copy / "model" / "config.json").write_bytes((trained / "model" / "config.json").read_bytes())
    with pytest.raises(ConfigError, match="copy has the same model as parl"):
        fig8_trained.plan_of([trained, copy], Scale(trained, seeds=2))


def test_one_trained_run_says_nothing_about_noise(trained, tmp_path) -> None:
    result = result_of(trained, tmp_path, parallel, tasks=4)
    told = [one for one in result["sentences"] if "sooner" in one or "constant time" in one]
    assert len(told) == 2 and all("one seed only" in one for one in told)


def test_growth_is_of_the_tables_that_reach_both_targets() -> None:
    def told(*reached: int | None) -> Told:
        return Told(4, 20, 0.7, dict(zip(TARGETS, reached, strict=True)), [])

    easy = Pair(0, told(2, 3, 4, 5, 6), told(1, 1, 1, 1, 2))
    hard = Pair(0, told(20, None, None, None, None), told(9, 9, 9, 9, 9))
    assert growth([easy, hard]) == {"tables": 1, "single": 3.0, SWARM: 2.0}
    assert to_target([easy, hard], TARGETS[0])["single"] == 11 and to_target([easy, hard], TARGETS[-1])["single"] == 6
    assert growth([hard]) == {"tables": 0}


def test_one_agent_is_the_sub_agents_checkpoint_or_the_model_that_the_run_began_from(trained, tmp_path) -> None:
    plan = fig8_trained.plan_of([trained], Scale(trained, seeds=1))
    worker, began, swarm = (plan[arm, 0] for arm in (WORKER, BEGAN, SWARM))
    assert worker.start == worker.frozen == swarm.frozen == tmp_path / "sft" and swarm.start == trained / "model"
    assert began.start == tmp_path / "toggled"
    asked = [one.work.measured[0] for one in (worker, swarm, began)]  # pyright: ignore
    assert [one.place.world.get("mode") for one in asked] == ["alone", None, "alone"]
    assert {one.temperature for one in asked} == {COMPARED}


def test_a_run_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = RunFolder.create(tmp_path / "other", {"name": "tiny"}).path
    with pytest.raises(ConfigError, match="expected a finished run of tiny.parl"):
        fig8_trained.plan_of([other], Scale(other, seeds=1))
    with pytest.raises(ConfigError, match="a trained run for each seed, got 1 runs and 3 seeds"):
        fig8_trained.plan_of([other], Scale(other))
