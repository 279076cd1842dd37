"""`manyeyes run`: where a run goes, what stops it, what is refused. Training itself is a stand-in here."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from manyeyes.cli import run_training
from manyeyes.cli.main import main
from manyeyes.cli.run import wanted
from manyeyes.cli.run_lock import claimed
from manyeyes.cli.run_options import Options
from manyeyes.cli.run_place import find_place
from manyeyes.cli.run_training import stop_requests
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.run import Run


@pytest.fixture
def trained(monkeypatch) -> list[RunFolder]:
    """Training is replaced by a note of its folder and a log that says it is finished."""
    import manyeyes.recipes.execute as execute

    folders: list[RunFolder] = []

    def stand_in(run: Run, folder: RunFolder, *, announce, stop, **_) -> bool:
        folders.append(folder)
        announce("a stage has ended")
        if stop():
            return False
        folder.log("finished", run.steps, seconds=1.0)
        return True

    monkeypatch.setattr(execute, "execute", stand_in)
    return folders


def recipe_of(options: Options) -> Run:
    """As wanted; a run of stages."""
    run = wanted(options)
    assert isinstance(run, Run)
    return run


def test_a_run_is_started_and_then_known_as_finished(runs, trained, capsys) -> None:
    assert main(["run", "tiny", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "run folder:" in out and "a stage has ended" in out and "manyeyes see" in out
    (folder,) = trained
    assert folder.path.parent == runs and folder.report_path.exists()
    assert Run.from_json(folder.config()) == wanted(Options("tiny"))
    assert main(["run", "tiny"]) == 0
    assert "finished already" in capsys.readouterr().out and len(trained) == 1
    assert main(["run", "tiny", "--fresh", "--threads", "1"]) == 0
    assert len({folder.path for folder in trained}) == 2


def test_another_configuration_is_another_run(runs, trained) -> None:
    assert main(["run", "tiny", "--threads", "1"]) == 0
    assert main(["run", "tiny", "seed=1", "--threads", "1"]) == 0
    assert main(["run", "tiny", "--steps-scale", "0.1", "--threads", "1"]) == 0
    assert len({folder.path for folder in trained}) == 3
    assert trained[1].config()["seed"] == 1
    assert trained[2].config()["stages"][0]["steps"] * 10 == trained[0].config()["stages"][0]["steps"]


def test_an_unfinished_run_is_found_and_damaged_neighbours_are_passed_over(runs) -> None:
    run = wanted(Options("tiny"))
    RunFolder.create(runs / "tiny-20260101-000000", run.to_json())
    for name, text in (("tiny-20270101-000000", "{"), ("tiny-20270102-000000", json.dumps({"name": "tiny"}))):
        (runs / name).mkdir()
        (runs / name / "config.json").write_text(text)
    (runs / "tiny-20270103-000000").mkdir()
    place = find_place(run, Options("tiny"))
    assert place.known and place.path == runs / "tiny-20260101-000000"
    assert not find_place(run, Options("tiny", fresh=True)).known


def test_a_stopped_run_says_so(runs, trained, capsys, monkeypatch) -> None:
    from contextlib import contextmanager

    monkeypatch.setattr(run_training, "stop_requests", contextmanager(lambda notice: iter([lambda: True])))
    assert main(["run", "tiny", "--threads", "1"]) == 130
    assert "stopped and saved; the same command goes on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tny"], "did you mean tiny?"),
        (["tiny", "sed=1"], "did you mean seed?"),
        (["tiny", "stages.joint.stepps=1"], "steps"),
        (["tiny", "stages.join.steps=1"], "joint"),
        (["tiny", "seed"], "PATH=VALUE"),
        (["tiny", "seed=many"], "Expected `int`"),
        (["tiny", "stages.joint.steps=0"], "at least 1"),
        (["tiny", "stages.joint.rows=0"], "stage joint: rows must be at least 1, got 0"),
        (["tiny", "stages.joint.micro_rows=0"], "stage joint: micro_rows must be at least 1, got 0"),
        (["tiny", "loop.checkpoint_every=0"], "loop: checkpoint_every must be at least 1, got 0"),
        (["tiny", "held_out.vqa.records=-1"], "held-out set vqa: records must be at least 0, got -1"),
        (["tiny", "stages.long_4096.mixture.segments.0.weights.easy_vqaa=1"], "did you mean easy_vqa?"),
        (["tiny", "held_out.vqa.source=easy_vq"], "did you mean easy_vqa"),
        (["tiny", "stages.joint.mixture.segments.0.weights.easy_vqaa=1", "--change-mixture"], "did you mean easy_vqa"),
        (["tiny", "start_text=absent"], "start_text=absent: there is no such checkpoint folder"),
        (["k25"], "vocabulary=tiktoken.model: there is no such file"),
        (["k25", "vocabulary=tiny"], "give its checkpoint as start_align=FOLDER"),
        (["tiny", "--steps-scale", "0"], "--steps-scale must be above 0"),
        (["tiny", "--steps-scale", "nan"], "--steps-scale must be above 0"),
        (["tiny", "--threads", "-2"], "--threads must be 1 or more"),
        (["tiny", "--device", "tpu"], "expected auto, cpu, cuda or cuda:N"),
        (["tiny", "--device", "meta"], "expected auto, cpu, cuda or cuda:N"),
        (["tiny", "--device", "cuda:99"], "use --device cpu"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_no_folder(arguments, says, runs, trained, capsys) -> None:
    assert main(["run", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not runs.exists() and not trained


def test_all_missing_files_are_named_before_a_folder_is_made(runs, trained, capsys) -> None:
    assert main(["run", "small", "--threads", "1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("manyeyes: small needs files") and "npm pack openmoji" in said and "debian-handbook" in said
    assert not runs.exists() and not trained


@pytest.mark.parametrize("field", ["start_vision", "vocabulary"])
def test_what_a_run_began_with_is_not_needed_to_go_on(field, runs, trained, tmp_path, capsys) -> None:
    ask = ["run", "tiny", f"{field}={tmp_path / 'gone'}", "--threads", "1"]
    folder = RunFolder.create(runs / "tiny-20261124-101500", recipe_of(Options("tiny", (ask[2],))).started().to_json())
    assert main(ask) == 2 and "there is no such" in capsys.readouterr().err
    (folder.checkpoints / "step_00000001.incomplete").mkdir(parents=True)
    (folder.checkpoints / "step_00000001.incomplete" / "state.json").write_text("{}")
    assert main(ask) == 2 and trained == [], "a checkpoint cut short does not count"
    (folder.checkpoints / "step_00000001.incomplete").rename(folder.checkpoints / "step_00000001")
    assert main(ask) == 0 and len(trained) == 1
    shutil.rmtree(folder.checkpoints)
    assert main(ask) == 0 and "finished already" in capsys.readouterr().out


def test_a_stage_that_a_checkpoint_replaces_is_skipped_and_said(runs, trained, capsys) -> None:
    (runs.parent / "here" / "K2").mkdir()
    for _ in range(2):  # the second time it is known as finished
        assert main(["run", "tiny", "start_text=K2", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "skipped, a checkpoint takes its place: stage text\n" in out and "finished already" in out
    (folder,) = trained
    assert [stage["name"] for stage in folder.config()["stages"]][:2] == ["align_lm", "vit"]


def test_the_users_folder_is_used_only_for_this_run(runs, trained, tmp_path, capsys) -> None:
    folder = tmp_path / "mine"
    assert main(["run", "tiny", "--folder", str(folder), "--threads", "1"]) == 0
    assert main(["run", "tiny", "seed=2", "--folder", str(folder)]) == 2
    assert main(["run", "tiny", "--fresh", "--folder", str(folder)]) == 2
    (tmp_path / "file").write_text("text")
    assert main(["run", "tiny", "--folder", str(tmp_path / "file"), "--threads", "1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "another configuration" in lines[0] and "holds a run already" in lines[1] and str(tmp_path) in lines[2]


def test_two_processes_do_not_train_in_one_folder(runs, trained, capsys) -> None:
    path = runs / "tiny-20260101-000000"
    RunFolder.create(path, wanted(Options("tiny")).to_json())
    code = (
        "import sys, pathlib; from manyeyes.cli.run_lock import claimed\n"
        "with claimed(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        assert main(["run", "tiny", "--threads", "1"]) == 2
        assert "another process is training this run" in capsys.readouterr().err
        other.communicate("")
    with claimed(path):  # free again
        pass


def test_the_first_signal_asks_and_the_second_stops_at_once() -> None:
    said: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with stop_requests(said.append) as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop() and len(said) == 1 and "Ctrl-C again" in said[0]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_paths_are_shown_from_where_the_user_is(runs, trained, capsys) -> None:
    assert main(["run", "tiny", "--folder", "mine", "--threads", "1"]) == 0
    assert "run folder:  mine\n" in capsys.readouterr().out
    assert Path("mine/report.html").exists()
