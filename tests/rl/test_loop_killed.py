"""`kill -9` at random moments: no group counts twice, and the synchronous loop ends bit for bit alike.

With a plain forward pass as sampler, and with the embedded engine, whose batches are others each time.
"""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from manyeyes.core.runlog import RunFolder

CHILD = Path(__file__).with_name("loop_child.py")
ROOT = CHILD.parents[2]
STEPS = 24


def start(folder: Path, kind: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(CHILD), str(folder), kind]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


def to_the_end(folder: Path, kind: str) -> None:
    said, _ = start(folder, kind).communicate(timeout=300)
    assert said.splitlines()[-1] == "over"


def figures(folder: Path) -> list[dict[str, Any]]:
    return [row.values | {"step": row.step} for row in RunFolder.open(folder).metrics("rl")]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "checkpoints" / f"step_{STEPS:08d}" / "weights.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sync", "async", "engine"])
def test_killed_at_random_moments_a_run_goes_on(kind: str, tmp_path: Path) -> None:
    draw, kills = random.Random(kind), 0
    for _ in range(2):
        child = start(tmp_path / "killed", kind)
        assert child.stdout is not None
        for _ in range(draw.randint(3, 8)):  # after so many steps, whatever the machine's speed
            child.stdout.readline()
        kills += child.poll() is None
        child.kill()
        child.wait()
    assert kills >= 1  # a machine that stands still may let one come to its end
    to_the_end(tmp_path / "killed", kind)
    found = figures(tmp_path / "killed")
    assert [row["step"] for row in found] == list(range(1, STEPS + 1))
    groups = [group.partition(".")[0] for row in found for group in row["groups"]]
    assert len(groups) == len(set(groups)) == STEPS * 3
    assert max(row["staleness/most"] for row in found) <= (kind == "async")
    if kind != "async":
        to_the_end(tmp_path / "whole", kind)
        assert found == figures(tmp_path / "whole")
        one, other = weights(tmp_path / "killed"), weights(tmp_path / "whole")
        assert all(torch.equal(one[name], other[name]) for name in other)
