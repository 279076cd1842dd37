import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from io import FileIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.runlog import RunFolder, RunFolderError, latest_run, new_run_path, write_atomic

words = st.text().filter(lambda text: text not in ("NaN", "Infinity", "-Infinity"))  # these come back as numbers
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "runs" / "tiny", {"seed": 1, "model": {"layers": 2}})


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_a_new_run_has_its_layout(run):
    assert RunFolder.open(run.path).config() == {"seed": 1, "model": {"layers": 2}}
    assert run.checkpoints.is_dir() and run.name == "tiny"
    assert run.metrics() == [] and run.position == 0
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoints", "config.json"]


def test_a_folder_holds_one_run(run):
    with pytest.raises(RunFolderError, match="already holds a run"):
        RunFolder.create(run.path, {})


def test_rows_come_back_in_order_and_by_kind(run):
    for step in range(5):
        run.log("train", step, loss=np.float32(0.5) * step, load=np.arange(3), stage="joint")
        run.log("evaluation", step, accuracy={"colour": 0.25})
    rows = RunFolder.open(run.path).metrics("train")
    assert [row.step for row in rows] == [0, 1, 2, 3, 4]
    assert rows[3].values == {"loss": 1.5, "load": [0, 1, 2], "stage": "joint"}
    assert run.metrics()[1].values == {"accuracy": {"colour": 0.25}}
    assert abs(rows[0].time - time.time()) < 60


@given(values=st.dictionaries(st.text(min_size=1), plain, max_size=4))
def test_any_value_survives_as_strict_json(tmp_path_factory, values):
    values = {f"v_{name}": value for name, value in values.items()}
    run = RunFolder.create(tmp_path_factory.mktemp("run"), {})
    run.log("train", 1, **values)
    (line,) = run.metrics_path.read_bytes().splitlines()
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert same(run.metrics()[0].values, values)


def test_lone_surrogates_survive(run):
    run.log("evaluation", 1, answer="caf\u00e9 \ud83d")
    assert run.metrics()[0].values == {"answer": "caf\u00e9 \ud83d"}


def test_a_diverged_loss_stays_visible(run):
    run.log("train", 1, loss=float("nan"), norm=np.float32("inf"))
    values = run.metrics()[0].values
    assert math.isnan(values["loss"]) and values["norm"] == math.inf


def test_a_cut_last_line_is_dropped_when_reading_and_when_appending(run):
    for step in range(3):
        run.log("train", step, text="x" * 5000)
    run.close()
    whole = run.metrics_path.read_bytes()
    for cut in (1, 2, 60, 4097, 5000):
        run.metrics_path.write_bytes(whole[:-cut])
        assert [row.step for row in run.metrics()] == [0, 1]
        with RunFolder.open(run.path) as again:
            again.log("train", 7)
        assert [row.step for row in run.metrics()] == [0, 1, 7]
    run.metrics_path.write_bytes(b'{"kind": "tra')
    assert run.metrics() == []
    run.log("train", 0)
    assert [row.step for row in run.metrics()] == [0]


def test_tail_follows_a_live_run(run):
    run.log("train", 0)
    rows, position = run.tail(0)
    assert [row.step for row in rows] == [0] and run.tail(position).rows == []
    with run.metrics_path.open("ab") as file:
        file.write(b'{"kind": "train", "step": 1')
        file.flush()
        assert run.tail(position) == ([], position)
        file.write(b', "time": 0}\n')
    assert [row.step for row in run.tail(position).rows] == [1]


def test_a_rewound_log_reads_like_an_uninterrupted_one(run):
    run.log("train", 0)
    saved = run.position
    run.log("train", 1)
    run.close()
    resumed = RunFolder.open(run.path)
    assert resumed.position > saved
    resumed.rewind(saved)
    assert resumed.position == saved
    resumed.log("train", 1)
    assert [row.step for row in run.metrics()] == [0, 1]
    resumed.rewind(10_000)  # the log lost rows that the checkpoint has seen: nothing to forget
    resumed.rewind(saved + 5)  # never leaves half a row
    assert [row.step for row in run.metrics()] == [0]


def test_a_killed_process_loses_no_row(run):
    code = (
        "import sys; from manyeyes.core.runlog import RunFolder\n"
        "run = RunFolder.open(sys.argv[1])\n"
        "for step in range(10**6):\n    run.log('train', step); print(step, flush=True)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", code, run.path], stdout=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    for _ in range(50):
        said = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    steps = [row.step for row in run.metrics()]
    assert steps == list(range(len(steps))) and len(steps) > said


def test_disk_full_says_what_to_do_and_keeps_what_was_written(run):
    run.log("train", 0, loss=1.0)
    run.close()
    kept = run.metrics_path.rename(run.path / "kept")
    os.symlink("/dev/full", run.metrics_path)
    with pytest.raises(RunFolderError, match="the disk is full; free some space and resume"):
        run.log("train", 1, loss=0.5)
    run.close()
    run.metrics_path.unlink()
    kept.rename(run.metrics_path)
    run.log("train", 1, loss=0.5)
    assert [row.step for row in run.metrics()] == [0, 1]


def test_a_half_written_row_is_taken_back(run):
    run.log("train", 0)
    before = run.metrics_path.read_bytes()

    class FullAfter(FileIO):
        def write(self, data):
            if len(data) < 20:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data[:-10])

    run.close()
    run.log_file._file = FullAfter(run.metrics_path, "a+")
    with pytest.raises(RunFolderError, match="disk is full"):
        run.log("train", 1, loss=2.0)
    assert run.metrics_path.read_bytes() == before


def test_atomic_write_replaces_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    write_atomic(path, "old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFolderError, match="disk is full"):
        write_atomic(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    write_atomic(path, b"new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_latest_run_is_the_one_written_to_last(tmp_path):
    with pytest.raises(RunFolderError, match="manyeyes run tiny"):
        latest_run(tmp_path / "runs")
    runs = {name: RunFolder.create(tmp_path / "runs" / name, {}) for name in ("a", "b", "c")}
    (tmp_path / "runs" / "notes").mkdir()
    for age, name in enumerate(["b", "c", "a"]):
        runs[name].log("train", 0)
        for path in (runs[name].config_path, runs[name].metrics_path):
            os.utime(path, (1000 - age, 1000 - age))
    assert latest_run(tmp_path / "runs").name == "b"
    (runs["a"].checkpoints / "step-5").mkdir()
    assert latest_run(tmp_path / "runs", having="checkpoints/*").name == "a"
    with pytest.raises(RunFolderError, match="no run with report.html"):
        latest_run(tmp_path / "runs", having="report.html")


def test_new_run_paths_do_not_collide(tmp_path):
    moment = datetime(2026, 11, 24, 9, 5, 7)
    first = new_run_path(tmp_path, "tiny", now=moment)
    assert first.name == "tiny-20261124-090507"
    first.mkdir()
    assert new_run_path(tmp_path, "tiny", now=moment).name == "tiny-20261124-090507-2"


def test_bad_folders_give_one_line(tmp_path, run):
    with pytest.raises(RunFolderError, match="no such run folder"):
        RunFolder.open(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match="holds no config.json"):
        RunFolder.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="Not a directory"):
        RunFolder.create(tmp_path / "file" / "run", {})
    run.config_path.write_text("{'seed': 1}")
    with pytest.raises(RunFolderError, match="not valid JSON, line 1"):
        run.config()
    run.config_path.write_text("[]")
    with pytest.raises(RunFolderError, match="expected a JSON object"):
        run.config()
    run.metrics_path.write_text('{"kind": "train", "step": 0, "time": 0}\n{"loss": 1}\n')
    with pytest.raises(RunFolderError, match="line 2"):
        run.metrics()


def test_tensorboard_reads_what_was_logged(run, tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from manyeyes.core.tensorboard_export import export_tensorboard

    for step in (1, 2, 3):
        run.log("train", step, loss=1 / step, stage="joint", done=True, parts={"vision": 2.0 * step})
    run.log("evaluation", 3, accuracy=0.75)
    assert export_tensorboard(run, tmp_path / "events") == 7
    events = loader.EventAccumulator(str(tmp_path / "events")).Reload()
    assert sorted(events.Tags()["scalars"]) == ["evaluation/accuracy", "train/loss", "train/parts/vision"]
    losses = events.Scalars("train/loss")
    assert [event.step for event in losses] == [1, 2, 3]
    assert np.allclose([event.value for event in losses], [1, 1 / 2, 1 / 3])
    assert [event.wall_time for event in losses] == [row.time for row in run.metrics("train")]


def test_without_tensorboard_the_extra_is_named(run, tmp_path, monkeypatch):
    from manyeyes.core import tensorboard_export

    monkeypatch.setattr(tensorboard_export, "EventFileWriter", None)
    with pytest.raises(RunFolderError, match=r"pip install 'manyeyes\[tensorboard\]'"):
        tensorboard_export.export_tensorboard(run, tmp_path)
