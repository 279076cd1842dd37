"""`manyeyes run` for RL and rejection sampling: where a run goes, what it starts from, what is refused."""

import dataclasses
import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from manyeyes.cli import run_training
from manyeyes.cli.main import main
from manyeyes.cli.starting_model import is_as_shipped
from manyeyes.core.runlog import RunFolder
from manyeyes.model.checkpoint_folder import CONFIG
from manyeyes.model.checkpoint_staging import config_layout, write_json
from manyeyes.model.config import tiny
from manyeyes.recipes import RECIPES, recipe
from manyeyes.recipes.rl_parts import Frozen
from manyeyes.recipes.rl_run import RlRun


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, RunFolder]]:
    """Training is replaced by a model folder and a log that says it is finished."""
    import manyeyes.recipes.execute
    import manyeyes.recipes.rft_execute
    import manyeyes.recipes.rl_execute

    calls: list[tuple[Any, RunFolder]] = []

    def stand_in(run: Any, folder: RunFolder, **given: Any) -> bool:
        calls.append((run, folder))
        given["announce"]("step 1/1")
        if given["stop"]():
            folder.log("rl", 1, reward=0.5)
            return False
        a_model(folder.path)
        folder.log("finished", 1, seconds=1.0)
        return True

    monkeypatch.setattr(manyeyes.recipes.execute, "execute", stand_in)
    monkeypatch.setattr(manyeyes.recipes.rl_execute, "execute_rl", stand_in)
    monkeypatch.setattr(manyeyes.recipes.rft_execute, "execute_rft", stand_in)
    return calls


def a_model(run: Path) -> Path:
    """What a finished run leaves, as far as names go."""
    (run / "model").mkdir(parents=True, exist_ok=True)
    write_json(run / "model" / CONFIG, config_layout(tiny()))
    return run / "model"


def a_finished(runs: Path, name: str, *, when: str = "20260101", **changes: Any) -> Path:
    """A finished run of a recipe; with changes, another run than the recipe's."""
    made = dataclasses.replace(recipe(name), **changes)
    folder = RunFolder.create(runs / f"{name}-{when}-000000", made.to_json())
    folder.log("finished", 1, seconds=1.0)
    folder.close()
    return a_model(folder.path)


def test_it_goes_on_from_the_newest_finished_run(runs: Path, trained: list, capsys: pytest.CaptureFixture) -> None:
    start = a_finished(runs, "tiny.sft")
    assert main(["run", "tiny.vision_rl", "steps=3", "--threads", "1"]) == 0
    ((run, folder),) = trained
    assert isinstance(run, RlRun) and run.steps == 3 and Path(run.start_model) == start.resolve()
    assert folder.path.parent == runs and folder.report_path.exists()
    assert RlRun.from_json(json.loads(folder.config_path.read_text())) == run
    assert main(["run", "tiny.vision_rl", "steps=3"]) == 0
    assert "finished already" in capsys.readouterr().out and len(trained) == 1


def test_without_one_the_command_that_makes_it_is_named(runs: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", "tiny.vision_rl"]) == 2
    assert "manyeyes run tiny.sft" in capsys.readouterr().err


def a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Ctrl-C had been pressed."""
    monkeypatch.setattr(run_training, "stop_requests", contextmanager(lambda notice: iter([lambda: True])))


def test_what_was_stopped_goes_on_though_a_newer_start_is_there(
    runs: Path, trained: list, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["run", "tiny.vision_rl", "--threads", "1"]
    old = a_finished(runs, "tiny.sft")
    with monkeypatch.context() as patched:
        a_stop(patched)
        assert main(asked) == 130
    out = capsys.readouterr().out
    assert f"starts from: {old}" in out and "the same command goes on from here" in out
    new = a_finished(runs, "tiny.sft", when="20260201")
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "(goes on)" in out and f"starts from: {old} (--fresh starts from the newer {new})" in out
    (first, folder), (again, same) = trained
    assert first == again and folder.path == same.path and Path(again.start_model) == old.resolve()
    assert main(asked) == 0  # that one is finished, and there is a newer start: another run
    assert Path(trained[2][0].start_model) == new.resolve() and trained[2][1].path != folder.path
    assert main(asked) == 0 and len(trained) == 3
    assert "finished already" in capsys.readouterr().out


def test_fresh_starts_anew_and_the_newest_of_two_goes_on(
    runs: Path, trained: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_finished(runs, "tiny.sft")
    asked = ["run", "tiny.vision_rl", "--threads", "1"]
    with monkeypatch.context() as patched:
        a_stop(patched)
        assert main(asked) == main([*asked, "--fresh"]) == 130
    (_, first), (_, second) = trained
    assert first.path != second.path
    assert main(asked) == 0 and trained[2][1].path == second.path
    assert main([*asked, "--fresh"]) == 0 and trained[3][1].path not in (first.path, second.path)


def test_a_changed_run_an_unfinished_one_and_an_experiments_run_are_no_start(
    runs: Path, trained: list, capsys: pytest.CaptureFixture
) -> None:
    plain = a_finished(runs, "tiny.joint_rl", seed=5)
    ablation = a_finished(runs, "tiny.joint_rl", when="20260201", curriculum=None)
    unfinished = RunFolder.create(runs / "tiny.joint_rl-20260301-000000", recipe("tiny.joint_rl").to_json())
    a_model(unfinished.path)
    experiment = RunFolder.create(
        runs / "post-training" / "tiny.joint_rl-0-01234567", recipe("tiny.joint_rl").to_json()
    )
    experiment.log("finished", 1)
    a_model(experiment.path)
    assert main(["run", "tiny.toggle", "--threads", "1"]) == 0
    assert Path(trained[0][0].start_model) == plain.resolve()
    shutil.rmtree(plain.parent)
    capsys.readouterr()
    assert main(["run", "tiny.toggle", "seed=3"]) == 2
    assert f"start_model={ablation.parent} names it" in capsys.readouterr().err and len(trained) == 1


def test_rejection_sampling_shows_its_steps(runs: Path, trained: list, capsys: pytest.CaptureFixture) -> None:
    start = a_finished(runs, "tiny.vision_rl")
    assert main(["run", "tiny.rft", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    ((run, folder),) = trained
    assert run.name == "tiny.rft" and Path(run.start_model) == start.resolve()
    assert "step 1/1" in out and "report:" in out and folder.report_path.exists()


def test_a_folder_of_another_configuration_is_left_alone(runs: Path, trained: list, capsys: Any) -> None:
    a_finished(runs, "tiny.sft")
    folder = str(runs / "mine")
    assert main(["run", "tiny.vision_rl", "steps=3", "--folder", folder, "--threads", "1"]) == 0
    assert main(["run", "tiny.vision_rl", "steps=4", "--folder", folder]) == 2
    assert "another configuration" in capsys.readouterr().err and len(trained) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tiny.vision_rl", "--change-mixture"], "has no mixtures"),
        (["tiny.vision_rl", "stps=3"], "did you mean steps"),
        (["tiny.vision_rl", "--steps-scale", "0"], "must be above 0"),
        (["tiny.vision_rl", "start_model=nowhere"], "no run 'nowhere'"),
        (["tiny.vision_rl", "after="], "name one as start_model=FOLDER"),
        (["tiny.joint_rl", 'ptx={"sources": {"small_tlk": 1}}'], "did you mean small_talk"),
        (["tiny.rft", 'beside={"sft/zero_visoin": 1}'], "did you mean sft/zero_vision"),
        (["tiny.vision_rl", "places.0.environment=sihgts"], "sights"),
        (["tiny.vision_rl", "measured.0.place.environment=sihgts"], "sights"),
        (["tiny.vision_rl", "objective_options.taus=1"], "has no taus"),
        (["tiny.vision_rl", "places.measure_count.tasks.sed=1"], "place measure_count"),
        (["tiny.vision_rl", "places.measure_count.tasks.size=-3"], "place measure_count"),
        (["tiny.vision_rl", "places.measure_count.tasks.seed=1"], "is the run's to give"),
        (["tiny.vision_rl", "domains.perception=0"], "must be above 0"),
        (["tiny.vision_rl", "cache_tokens=1"], "must hold a conversation"),
        (["tiny.sft", "--full"], "nothing goes on from tiny.sft"),
        (["tiny", "--full", "seed=3"], "--full runs several recipes"),
    ],
)
def test_what_makes_no_sense_is_refused(
    runs: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture
) -> None:
    for name in ("tiny.sft", "tiny.vision_rl", "tiny.rft"):
        a_finished(runs, name)
    before = len(list(runs.iterdir()))
    assert main(["run", *arguments]) == 2
    assert len(list(runs.iterdir())) == before
    assert words in capsys.readouterr().err


def test_full_runs_all_that_goes_on_from_a_recipe(runs: Path, trained: list, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", "tiny", "--full", "--threads", "1"]) == 0
    names = [run.name for run, _ in trained]
    assert names == [name for name in RECIPES if name.split(".")[0] == "tiny"]
    for (_, before), (run, _) in zip(trained, trained[1:], strict=False):
        assert Path(run.start_model) == (before.path / "model").resolve()
    [watched] = [line for line in capsys.readouterr().out.splitlines() if "swarm demo --model" in line]
    assert watched.endswith(trained[-1][1].path.name) and "tiny.parl" in watched
    assert main(["run", "tiny", "--full"]) == 0 and len(trained) == len(names)


def test_full_gives_each_run_the_model_before_it_and_not_the_newest(
    runs: Path, trained: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def with_another_sft(run: Any) -> None:
        calls.append(run.name)
        if run.name == "tiny.sft":
            a_finished(runs, "tiny.sft", when="20991231")

    monkeypatch.setattr(run_training, "write_report", lambda folder: with_another_sft(trained[-1][0]))
    assert main(["run", "tiny", "--full", "--threads", "1"]) == 0 and len(calls) == len(trained)
    by_name = {run.name: (run, folder) for run, folder in trained}
    assert Path(by_name["tiny.vision_rl"][0].start_model) == (by_name["tiny.sft"][1].path / "model").resolve()


def frozen_of(trained: list) -> list[Path]:
    """The sub-agents of the runs so far."""
    return [Path(run.frozen_model) for run, _ in trained if isinstance(run, RlRun)]


def test_a_run_whose_start_is_named_goes_on_with_the_sub_agents_that_it_began_with(
    runs: Path, trained: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, start = a_finished(runs, "tiny.sft"), a_finished(runs, "tiny.toggle")
    asked = ["run", "tiny.parl", f"start_model={start}", "--threads", "1"]
    with monkeypatch.context() as patched:
        a_stop(patched)
        assert main(asked) == 130
    new = a_finished(runs, "tiny.sft", when="20260201")
    assert main(asked) == 0
    (_, first), (_, again) = trained
    assert first.path == again.path and frozen_of(trained) == [old.resolve()] * 2
    other = a_finished(runs, "tiny.toggle", when="20260201", seed=4)
    assert main(["run", "tiny.parl", f"start_model={other}", "--threads", "1"]) == 0
    assert trained[2][1].path != first.path and frozen_of(trained)[2] == new.resolve()


def test_full_gives_sub_agents_of_its_own_chain(runs: Path, trained: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_another_sft(folder: RunFolder) -> None:
        if trained[-1][0].name == "tiny.toggle":
            a_finished(runs, "tiny.sft", when="20991231")

    monkeypatch.setattr(run_training, "write_report", with_another_sft)
    assert main(["run", "tiny", "--full", "--threads", "1"]) == 0
    by_name = {run.name: (run, folder) for run, folder in trained}
    assert Path(by_name["tiny.parl"][0].frozen_model) == (by_name["tiny.sft"][1].path / "model").resolve()
    assert main(["run", "tiny", "--full"]) == 0 and len(trained) == len(by_name)


def test_an_old_run_whose_sub_agents_are_gone_blocks_nothing(
    runs: Path, trained: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = a_finished(runs, "tiny.sft")
    a_finished(runs, "tiny.toggle")
    with monkeypatch.context() as patched:
        a_stop(patched)
        assert main(["run", "tiny.parl", "--threads", "1"]) == 130
    shutil.rmtree(old.parent)
    new = a_finished(runs, "tiny.sft", when="20260201")
    assert main(["run", "tiny.parl", "--threads", "1"]) == 0
    assert frozen_of(trained) == [old.resolve(), new.resolve()] and trained[0][1].path != trained[1][1].path


def test_a_run_that_began_with_models_of_other_recipes_is_an_ablation(
    runs: Path, trained: list, capsys: pytest.CaptureFixture
) -> None:
    sft, joint = a_finished(runs, "tiny.sft"), a_finished(runs, "tiny.joint_rl")
    usual = a_finished(runs, "tiny.toggle", start_model=str(joint.resolve()))
    a_finished(runs, "tiny.toggle", when="20260201", start_model=str(sft.resolve()))
    a_finished(runs, "tiny.toggle", when="20260301", start_model=str((joint.parent / "model_unconstrained").resolve()))
    assert main(["run", "tiny.parl", "--threads", "1"]) == 0
    assert Path(trained[0][0].start_model) == usual.resolve()
    shutil.rmtree(joint.parent)  # its name says what it was
    assert main(["run", "tiny.parl", "seed=1", "--threads", "1"]) == 0
    assert Path(trained[1][0].start_model) == usual.resolve()
    shutil.rmtree(usual.parent)
    assert main(["run", "tiny.parl", "seed=2"]) == 2
    assert "with other settings than the recipe has" in capsys.readouterr().err


def test_a_parl_run_with_other_sub_agents_is_not_as_shipped(runs: Path) -> None:
    sft, toggle = a_finished(runs, "tiny.sft").resolve(), a_finished(runs, "tiny.toggle").resolve()
    made = {"start_model": str(toggle)}
    usual = a_finished(runs, "tiny.parl", when="20260101", frozen_model=str(sft), **made)
    itself = a_finished(runs, "tiny.parl", when="20260201", frozen_model=str(toggle), **made)
    swapped = a_finished(
        runs, "tiny.parl", when="20260301", frozen_model=str(sft), frozen=(Frozen(3, str(toggle)),), **made
    )
    told = [is_as_shipped(one.parent, "tiny.parl") for one in (usual, itself, swapped)]
    assert told == [True, False, False]


def test_a_dry_run_of_rejection_sampling_is_checked_and_as_short_as_asked(
    runs: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["run", "tiny.rft", "--dry-run", "rows=3"]) == 2
    assert "rows=3 is not a multiple of micro_rows=2" in capsys.readouterr().err
    assert main(["run", "tiny.rft", "--dry-run", "--steps-scale", "0.1"]) == 0
    assert " 8 steps" in capsys.readouterr().out
    assert main(["run", "tiny.rft", "--dry-run", "--steps-scale", "0"]) == 2


def test_a_dry_run_makes_nothing(runs: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", "k25.parl", "--dry-run"]) == 0
    assert "1,026,879,353,328 parameters" in capsys.readouterr().out and not runs.exists()
