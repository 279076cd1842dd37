"""`kill -9` at random during a run of RL or RFT, and the same command again: it goes on, and counts nothing twice."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from manyeyes.core.runlog import RunFolder
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.model.checkpoint import load_model
from manyeyes.recipes.rft_examples import KEPT
from manyeyes.recipes.rl_kept import UNCONSTRAINED

from .post_worlds import checkpoint_of_less, checkpoint_of_little, plain_rows
from .rl_process import ATTEMPTS, SAID, SMALL, STEPS, TASKS, UPDATES

ROOT = Path(__file__).resolve().parents[2]
KILLS = 4


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("little")
    checkpoint_of_less(folder / SMALL)
    return checkpoint_of_little(folder / "model")


def process(path: Path, start: Path, kind: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.recipes.rl_process", str(path), str(start), kind]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def lines(path: Path) -> int:
    """Of the log; any of them may be the last one that a life writes."""
    log = path / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def done(path: Path) -> int:
    """Of rejection sampling: tasks that were attempted, and updates; a life that finds attempts tells of them again."""
    folder = RunFolder.open(path) if (path / "config.json").exists() else None
    if folder is None:
        return 0
    return max((row.step for row in folder.metrics("attempts")), default=0) + len(folder.metrics("train"))


def killed(path: Path, start: Path, kind: str, *, seed: int, most: int = 7, far: Callable[[Path], int] = lines) -> int:
    """Lives that ended by a kill, each at most so much further: by default so many lines of the log."""
    drawn, ended = random.Random(seed), 0
    for _ in range(KILLS):
        wanted, running = far(path) + drawn.randint(1, most), process(path, start, kind)
        while far(path) < wanted and running.poll() is None:
            time.sleep(0.002)
        time.sleep(drawn.random() * 0.2)
        running.kill()
        ended += running.wait() != 0
    assert process(path, start, kind).wait() == 0
    return ended


def rows(path: Path, kind: str) -> list[dict]:
    return plain_rows(RunFolder.open(path), kind)


def groups(path: Path) -> Iterator[str]:
    return (group for row in rows(path, "rl") for group in row["groups"])


def same(root: Path, name: str = "model") -> bool:
    """Whether the run that was killed has the weights of the whole one."""
    one, other = (load_model(root / run / name).state_dict() for run in ("whole", "killed"))
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_a_synchronous_run_that_was_killed_is_the_same_run_to_the_last_bit(start: Path, tmp_path: Path) -> None:
    assert process(tmp_path / "whole", start, "sync").wait() == 0
    assert killed(tmp_path / "killed", start, "sync", seed=5) >= 2
    for kind in ("rl", "evaluation"):
        assert rows(tmp_path / "killed", kind) == rows(tmp_path / "whole", kind)
    assert same(tmp_path) and same(tmp_path, UNCONSTRAINED)
    assert json.loads((tmp_path / "killed" / "dropped.json").read_bytes())


@pytest.mark.slow
def test_an_asynchronous_run_that_was_killed_goes_on_and_counts_every_group_once(start: Path, tmp_path: Path) -> None:
    assert killed(tmp_path / "killed", start, "async", seed=6) >= 2
    assert [row["step"] for row in rows(tmp_path / "killed", "rl")] == list(range(1, STEPS + 1))
    draws = [group.partition(".")[0] for group in groups(tmp_path / "killed")]
    assert len(draws) == len(set(draws)) >= STEPS
    assert [row["step"] for row in rows(tmp_path / "killed", "evaluation")] == list(range(0, STEPS + 1, 2))
    assert rows(tmp_path / "killed", "finished")


@pytest.mark.slow
def test_attempts_under_way_outlive_a_kill(start: Path, tmp_path: Path) -> None:
    """Each step is saved; what was being said then is said to its end by the next life, once."""
    path = tmp_path / "killed"
    assert killed(path, start, "under_way", seed=7, most=5) >= 2
    said = (path / SAID).read_text()
    restored = [int(line.split()[3]) for line in said.splitlines() if "under way at the last checkpoint" in line]
    assert sum(restored) > 0
    assert [row["step"] for row in rows(path, "rl")] == list(range(1, STEPS + 1))
    draws = [group.partition(".")[0] for group in groups(path)]
    assert len(draws) == len(set(draws)) >= STEPS
    assert rows(path, "finished")


@pytest.mark.slow
def test_a_run_with_frozen_sub_agents_that_was_killed_is_the_same_run(start: Path, tmp_path: Path) -> None:
    """It was killed before they change, or after, or both: whoever answers is who answers in the whole run."""
    assert process(tmp_path / "whole", start, "frozen").wait() == 0
    assert killed(tmp_path / "killed", start, "frozen", seed=8, most=5) >= 2
    whole, again = (rows(tmp_path / name, "rl") for name in ("whole", "killed"))
    assert whole == again and [row["step"] for row in whole] == list(range(1, 10))
    assert len(set(groups(tmp_path / "killed"))) == len(list(groups(tmp_path / "killed")))
    assert same(tmp_path)


@pytest.mark.slow
def test_rejection_sampling_that_was_killed_keeps_the_same_attempts_once(start: Path, tmp_path: Path) -> None:
    assert process(tmp_path / "whole", start, "rft").wait() == 0
    assert killed(tmp_path / "killed", start, "rft", seed=9, most=14, far=done) >= 2
    told = [json.loads((tmp_path / name / KEPT).read_bytes()) for name in ("whole", "killed")]
    assert told[0] == told[1] and len(set(told[1]["names"])) == len(told[1]["names"]) > 0
    for name in ("whole", "killed"):
        with TrajectoryStore(tmp_path / name / "trajectories", mode="read") as store:
            assert len(store) == TASKS * ATTEMPTS == told[1]["attempts"] and "failed" not in {
                one.stop for one in store.find()
            }
    assert [row["step"] for row in rows(tmp_path / "killed", "evaluation")] == [0, UPDATES]
    assert [row["step"] for row in rows(tmp_path / "killed", "train")] == list(range(1, UPDATES + 1))
    assert len(rows(tmp_path / "killed", "rft")) == len(rows(tmp_path / "killed", "finished")) == 1
    assert same(tmp_path)
