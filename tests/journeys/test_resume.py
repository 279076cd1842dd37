"""A run that is killed with SIGKILL at any moment ends exactly like one that never was: losses, data and weights."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from manyeyes.core.runlog import RunFolder

MINIATURE = Path(__file__).with_name("miniature.py")
TIMING = ("time", "seconds", "mfu", "peak")


def start(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(
        [sys.executable, str(MINIATURE), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(folder: Path) -> None:
    process = start(folder)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def killed_after(folder: Path, steps: int) -> None:
    """Start, read `steps` step numbers from its output, kill it at once, wherever it is."""
    process = start(folder)
    assert process.stdout is not None
    for _ in range(steps):
        if not process.stdout.readline():
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()


def history(folder: Path) -> list[tuple[str, int, dict]]:
    """The log without what depends on the clock."""
    rows = RunFolder.open(folder).metrics()
    return [(r.kind, r.step, {k: v for k, v in r.values.items() if k not in TIMING}) for r in rows]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "whole"
    finish(folder)
    return folder


def test_three_kills_change_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    for steps in np.random.default_rng(7).integers(1, 7, 3).tolist():
        killed_after(folder, steps)
    finish(folder)
    assert history(folder) == history(uninterrupted)
    for name in ("model-00001-of-00001.safetensors",):
        ours = safetensors.torch.load_file(folder / "model" / name)
        theirs = safetensors.torch.load_file(uninterrupted / "model" / name)
        assert ours.keys() == theirs.keys()
        assert all(ours[key].equal(theirs[key]) for key in ours)


def test_every_stage_was_trained(uninterrupted: Path) -> None:
    rows = RunFolder.open(uninterrupted).metrics("train")
    assert [row.step for row in rows] == list(range(1, 21))
    assert list(dict.fromkeys(row.values["stage"] for row in rows)) == [
        "vit",
        "vit_align",
        "projector",
        "joint",
        "long",
    ]
    assert all(np.isfinite(row.values["loss"]) for row in rows)


def test_damaged_newest_checkpoint_falls_back(uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    killed_after(folder, 9)
    newest = sorted((folder / "checkpoints").glob("step_*"))[-1] / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    finish(folder)
    assert history(folder) == history(uninterrupted)
