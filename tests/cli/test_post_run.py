"""`manyeyes run` for RL and rejection sampling: where a run goes, what it starts from, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from manyeyes.cli.main import main
from manyeyes.core.runlog import RunFolder
from manyeyes.model.checkpoint_folder import CONFIG
from manyeyes.model.checkpoint_staging import config_layout, write_json
from manyeyes.model.config import tiny
from manyeyes.recipes import RECIPES
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


def a_finished(runs: Path, name: str) -> Path:
    folder = RunFolder.create(runs / f"{name}-20260101-000000", {})
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
        (["tiny.sft", "--full"], "nothing goes on from tiny.sft"),
        (["tiny", "--full", "seed=3"], "--full runs several recipes"),
    ],
)
def test_what_makes_no_sense_is_refused(
    runs: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture
) -> None:
    a_finished(runs, "tiny.sft")
    assert main(["run", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_full_runs_all_that_goes_on_from_a_recipe(runs: Path, trained: list, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", "tiny", "--full", "--threads", "1"]) == 0
    names = [run.name for run, _ in trained]
    assert names == [name for name in RECIPES if name.split(".")[0] == "tiny"]
    for (_, before), (run, _) in zip(trained, trained[1:], strict=False):
        assert Path(run.start_model) == (before.path / "model").resolve()
    assert main(["run", "tiny", "--full"]) == 0 and len(trained) == len(names)


def test_a_dry_run_makes_nothing(runs: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", "k25.parl", "--dry-run"]) == 0
    assert "1,026,879,353,328 parameters" in capsys.readouterr().out and not runs.exists()
