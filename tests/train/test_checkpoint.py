"""Checkpoints survive kills, damage and full disks: the last good one is always there."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from manyeyes.core.errors import CheckpointError
from manyeyes.train import checkpoint

STATE = {"stage": 0, "step": 3, "planner": {"packs": 7}, "fingerprint": "one"}


def write(folder: Path, step: int, *, fingerprint: str = "one", value: float | None = None) -> Path:
    fill = float(step) if value is None else value
    weights = {"w": torch.full((4, 3), fill), "half": torch.ones(2, dtype=torch.bfloat16), "turned": torch.rand(3, 2).T}
    state = STATE | {"step": step, "fingerprint": fingerprint}
    return checkpoint.save(folder, step, state=state, weights=weights, optimizer={"w.step": torch.tensor(fill)})


def newest(folder: Path) -> checkpoint.TrainingCheckpoint:
    saved = checkpoint.load_newest(folder, fingerprint="one")
    assert saved is not None
    return saved


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    write(tmp_path, 3, value=0.1)
    saved = newest(tmp_path)
    assert saved.state == STATE
    assert saved.weights["w"].equal(torch.full((4, 3), 0.1)) and saved.weights["half"].dtype == torch.bfloat16
    assert saved.weights["turned"].shape == (2, 3)
    assert saved.optimizer["w.step"].equal(torch.tensor(0.1))


def test_nothing_saved_is_none(tmp_path: Path) -> None:
    assert checkpoint.load_newest(tmp_path, fingerprint="one") is None
    assert checkpoint.load_newest(tmp_path / "absent", fingerprint="one") is None


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (2, 4, 6, 100_000_000):
        write(tmp_path, step)
    assert names(tmp_path) == ["step_00000006", "step_100000000"]
    assert newest(tmp_path).state["step"] == 100_000_000


def test_an_unfinished_one_is_passed_over_and_cleared_away(tmp_path: Path) -> None:
    write(tmp_path, 2)
    shutil.copytree(tmp_path / "step_00000002", tmp_path / "step_00000004.incomplete")
    (tmp_path / "step_00000003.incomplete").mkdir()
    (tmp_path / "step_00000003.incomplete" / "weights.safetensors").write_bytes(b"half a fi")
    assert newest(tmp_path).state["step"] == 2
    write(tmp_path, 5)
    assert names(tmp_path) == ["step_00000002", "step_00000005"]


@pytest.mark.parametrize("part", ["weights.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["cut", "empty", "noise"])
def test_a_damaged_one_falls_back_to_the_one_before(tmp_path: Path, part: str, how: str) -> None:
    write(tmp_path, 2)
    path = write(tmp_path, 4) / part
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-7], "empty": b"", "noise": b"[1, 2]" + bytes(range(256))}[how])
    assert newest(tmp_path).state["step"] == 2


def test_a_missing_part_falls_back_to_the_one_before(tmp_path: Path) -> None:
    write(tmp_path, 2)
    (write(tmp_path, 4) / "optimizer.safetensors").unlink()
    assert newest(tmp_path).state["step"] == 2


def test_a_run_that_went_back_past_a_damaged_one_does_not_keep_it(tmp_path: Path) -> None:
    write(tmp_path, 6)
    (write(tmp_path, 8) / "weights.safetensors").write_bytes(b"")
    assert newest(tmp_path).state["step"] == 6
    write(tmp_path, 7)
    assert names(tmp_path) == ["step_00000006", "step_00000007"]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    write(tmp_path, 2)
    write(tmp_path, 4, value=1.0)
    write(tmp_path, 4, value=2.0)
    assert newest(tmp_path).weights["w"].equal(torch.full((4, 3), 2.0))


def test_when_none_can_be_read_it_says_so_in_one_line(tmp_path: Path) -> None:
    (write(tmp_path, 2) / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="no checkpoint .* can be read .*--fresh") as caught:
        newest(tmp_path)
    assert "\n" not in str(caught.value)


def test_another_configuration_is_refused_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, 2)
    write(tmp_path, 4, fingerprint="other")
    with pytest.raises(CheckpointError, match="another configuration") as caught:
        newest(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="could not write a checkpoint"):
        write(tmp_path / "file", 2)


FULL = """
import resource, sys, torch
from pathlib import Path
from manyeyes.core.errors import CheckpointError
from manyeyes.train import checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
big = {"big": torch.ones(10_000)}
weights, optimizer = (big, {}) if sys.argv[2] == "weights" else ({}, big)
try:
    checkpoint.save(Path(sys.argv[1]), 9, state={}, weights=weights, optimizer=optimizer)
except CheckpointError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file size limit here")
@pytest.mark.parametrize("what", ["weights", "optimizer"])
def test_a_full_disk_leaves_the_last_good_one(tmp_path: Path, what: str) -> None:
    write(tmp_path, 2)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), what], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert "the file is larger than" in line and "last good checkpoint is untouched" in line
    assert names(tmp_path) == ["step_00000002"]
    assert newest(tmp_path).state["step"] == 2


@pytest.mark.parametrize("text", ["I/O error: No space left on device (os error 28)", "Disk quota exceeded"])
def test_a_full_disk_is_known_by_the_words_of_safetensors(tmp_path: Path, text: str, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise checkpoint.safetensors.SafetensorError(f"Error while serializing: {text}")

    write(tmp_path, 2)
    monkeypatch.setattr(checkpoint.safetensors.torch, "save_file", full)
    with pytest.raises(CheckpointError, match="the disk is full|the disk quota is used up"):
        write(tmp_path, 4)
    assert names(tmp_path) == ["step_00000002"]
