"""Which model a post-training run starts from."""

import shutil
from pathlib import Path

import pytest

from manyeyes.cli.main import main
from manyeyes.cli.run import wanted
from manyeyes.cli.run_options import Options
from manyeyes.cli.run_place import find_place
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes import recipe


def a_finished_run(runs: Path, name: str, model: Path) -> Path:
    folder = RunFolder.create(runs / name, recipe("tiny").to_json())
    folder.log("finished", 1, seconds=1.0)
    shutil.copytree(model, folder.path / "model")
    return folder.path


def test_the_newest_finished_run_of_the_recipe_before_is_taken(runs, random_model) -> None:
    old, new = (a_finished_run(runs, name, random_model) for name in ("tiny-20260101-000000", "tiny-20260201-000000"))
    RunFolder.create(runs / "tiny-20260301-000000", recipe("tiny").to_json())
    a_finished_run(runs, "tiny.sft-20260401-000000", random_model)
    assert wanted(Options("tiny.sft")).start_model == str(new / "model")
    assert wanted(Options("tiny.sft", ("start_model=tiny-20260101-000000",))).start_model == str(old / "model")
    assert wanted(Options("tiny.sft", (f"start_model={random_model}",))).start_model == str(random_model)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "tiny.sft goes on from a finished run of tiny, and there is none under"),
        (["start_model=gone"], "no run 'gone'"),
        (["model.text.hidden_size=64"], "leave model.* out"),
    ],
)
def test_a_start_that_is_not_there_is_one_line_and_leaves_no_folder(arguments, says, runs, capsys) -> None:
    assert main(["run", "tiny.sft", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line and not runs.exists()


def test_an_unfinished_run_is_no_start(runs, capsys) -> None:
    RunFolder.create(runs / "tiny-20260101-000000", recipe("tiny").to_json()).log("train", 1, loss=1.0)
    assert main(["run", "tiny.sft", "start_model=tiny-20260101-000000"]) == 2
    assert "has no model yet, its training is unfinished" in capsys.readouterr().err


def test_the_same_command_finds_its_run_again_even_without_the_start(runs, random_model, tmp_path) -> None:
    start = tmp_path / "start"
    shutil.copytree(random_model, start)
    asked = Options("tiny.sft", (f"start_model={start}",))
    run = wanted(asked)
    folder = RunFolder.create(runs / "tiny.sft-20260101-000000", run.to_json())
    assert find_place(run, asked).path == folder.path
    shutil.rmtree(start)
    assert wanted(asked) == run and find_place(wanted(asked), asked).known


def test_a_users_folder_goes_on_from_the_start_that_it_began_with(runs, random_model, tmp_path) -> None:
    a_finished_run(runs, "tiny-20260101-000000", random_model)
    asked = Options("tiny.sft", folder=tmp_path / "mine")
    run = wanted(asked)
    RunFolder.create(tmp_path / "mine", run.to_json())
    a_finished_run(runs, "tiny-20260201-000000", random_model)
    assert wanted(asked) == run and find_place(run, asked).known
