"""`kill -9` at random during a run of RL, and the same command again: it goes on, and no group is counted twice."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from manyeyes.core.runlog import RunFolder
from manyeyes.model.checkpoint import load_model
from manyeyes.recipes.rl_kept import UNCONSTRAINED

from .post_worlds import checkpoint_of_little, plain_rows
from .rl_process import STEPS

ROOT = Path(__file__).resolve().parents[2]
KILLS = 4


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_of_little(tmp_path_factory.mktemp("little") / "model")


def process(path: Path, start: Path, loop: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.recipes.rl_process", str(path), str(start), loop]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def lines(path: Path) -> int:
    """Of the log; any of them may be the last one that a life writes."""
    log = path / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def killed(path: Path, start: Path, loop: str, *, seed: int) -> int:
    """Lives that ended by a kill, each a few lines of the log further."""
    drawn, ended = random.Random(seed), 0
    for _ in range(KILLS):
        wanted, running = lines(path) + drawn.randint(1, 7), process(path, start, loop)
        while lines(path) < wanted and running.poll() is None:
            time.sleep(0.002)
        time.sleep(drawn.random() * 0.2)
        running.kill()
        ended += running.wait() != 0
    assert process(path, start, loop).wait() == 0
    return ended


def rows(path: Path, kind: str) -> list[dict]:
    return plain_rows(RunFolder.open(path), kind)


def groups(path: Path) -> Iterator[str]:
    return (group for row in rows(path, "rl") for group in row["groups"])


@pytest.mark.slow
def test_a_synchronous_run_that_was_killed_is_the_same_run_to_the_last_bit(start: Path, tmp_path: Path) -> None:
    assert process(tmp_path / "whole", start, "sync").wait() == 0
    assert killed(tmp_path / "killed", start, "sync", seed=5) >= 2
    for kind in ("rl", "evaluation"):
        assert rows(tmp_path / "killed", kind) == rows(tmp_path / "whole", kind)
    for name in ("model", UNCONSTRAINED):
        one, other = (load_model(tmp_path / run / name).state_dict() for run in ("whole", "killed"))
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert json.loads((tmp_path / "killed" / "dropped.json").read_bytes())


@pytest.mark.slow
def test_an_asynchronous_run_that_was_killed_goes_on_and_counts_every_group_once(start: Path, tmp_path: Path) -> None:
    assert killed(tmp_path / "killed", start, "async", seed=6) >= 2
    assert [row["step"] for row in rows(tmp_path / "killed", "rl")] == list(range(1, STEPS + 1))
    draws = [group.partition(".")[0] for group in groups(tmp_path / "killed")]
    assert len(draws) == len(set(draws)) >= STEPS
    assert [row["step"] for row in rows(tmp_path / "killed", "evaluation")] == list(range(0, STEPS + 1, 2))
    assert rows(tmp_path / "killed", "finished")
