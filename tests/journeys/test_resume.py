"""A run that is killed with SIGKILL at any moment ends exactly like one that never was: losses, data and weights."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from manyeyes.core.runlog import RunFolder

from .miniature import run as miniature

STEPS = miniature().steps
MINIATURE = Path(__file__).with_name("miniature.py")
TIMING = ("time", "seconds", "mfu", "peak")
SEED = int(os.environ.get("MANYEYES_KILL_SEED", "7"))
"""Of the moments at which processes are killed; another one searches further."""


def start(folder: Path, threads: int) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(
        [sys.executable, str(MINIATURE), str(folder), str(threads)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(folder: Path, *, threads: int = 1) -> list[int]:
    """Train to the end; the steps that were made."""
    process = start(folder, threads)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return [int(step) for step in said.split()]


def killed_after(folder: Path, steps: int, *, wait: float = 0.0, threads: int = 1) -> list[int]:
    """Start, read `steps` step numbers from its output, kill it `wait` seconds later; the steps that were made."""
    process = start(folder, threads)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(steps)]
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    rest, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    return [int(step) for step in "".join([*said, rest]).split()]


def saved_steps(folder: Path) -> list[int]:
    """Steps of the complete checkpoints, in order."""
    states = folder.glob("checkpoints/step_????????/state.json")
    return sorted(int(path.parent.name.removeprefix("step_")) for path in states)


def history(folder: Path) -> list[tuple[str, int, dict]]:
    """The log without what depends on the clock."""
    rows = RunFolder.open(folder).metrics()
    return [(r.kind, r.step, {k: v for k, v in r.values.items() if k not in TIMING}) for r in rows]


def same_weights(folder: Path, other: Path) -> bool:
    name = "model/model-00001-of-00001.safetensors"
    ours, theirs = (safetensors.torch.load_file(place / name) for place in (folder, other))
    return ours.keys() == theirs.keys() and all(ours[key].equal(theirs[key]) for key in ours)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "whole"
    assert finish(folder) == list(range(1, STEPS + 1))
    return folder


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_three_kills_change_nothing(uninterrupted: Path, tmp_path: Path, threads: int) -> None:
    whole = uninterrupted
    if threads > 1:  # sums are rounded otherwise
        whole = tmp_path / "whole"
        finish(whole, threads=threads)
    folder = tmp_path / "killed"
    moments = random.Random(SEED)
    began = [1]
    for _ in range(3):
        # Every second step saves: three steps on there is a checkpoint that the process before had not made.
        steps, wait = moments.randint(3, 5), moments.uniform(0, 0.05)
        print(f"MANYEYES_KILL_SEED={SEED}: killed {wait:.3f} s after {steps} steps from step {began[-1]}")
        made = killed_after(folder, steps, wait=wait, threads=threads)
        assert made == list(range(began[-1], began[-1] + len(made)))
        began.append(saved_steps(folder)[-1] + 1)
    assert began == sorted(set(began))  # every process went on from what the one before had saved
    assert finish(folder, threads=threads) == list(range(began[-1], STEPS + 1))
    assert history(folder) == history(whole)
    assert same_weights(folder, whole)


def test_every_stage_was_trained(uninterrupted: Path) -> None:
    rows = RunFolder.open(uninterrupted).metrics("train")
    assert [row.step for row in rows] == list(range(1, STEPS + 1))
    assert list(dict.fromkeys(row.values["stage"] for row in rows)) == [
        "align_lm",
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
    before, newest = saved_steps(folder)
    weights = folder / "checkpoints" / f"step_{newest:08d}" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert finish(folder)[0] == before + 1 > 1
    assert history(folder) == history(uninterrupted)
