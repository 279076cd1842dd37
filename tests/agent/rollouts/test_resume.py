"""Killed at any moment and started again: what had ended is not run again, and every group comes out whole."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore

from ..virtual_time import run_virtually
from .worlds import Quick, Turns, request

CHILD = Path(__file__).with_name("rollouts_child.py")
GROUPS, SIZE = 32, 4


def start(folder: Path, groups: int) -> "subprocess.Popen[str]":
    command = [sys.executable, str(CHILD), str(folder), str(groups), str(SIZE)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_goes_on(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    kills = 0
    for kill in range(3):  # each time after so many more attempts have begun, whatever the machine's speed
        child = start(tmp_path, GROUPS)
        begun = len(lines(tmp_path / "begun"))
        wanted = begun + draw.randint(10, 40)
        while child.poll() is None and len(lines(tmp_path / "begun")) < wanted:
            pass
        kills += child.poll() is None
        child.kill()
        child.wait()
        ended = set(TrajectoryStore(tmp_path / "trajectories", mode="read").names()) if kill or kills else set()
        (tmp_path / f"ended{kill}").write_text("\n".join(ended))
        (tmp_path / f"at{kill}").write_text(str(len(lines(tmp_path / "begun"))))
    last = start(tmp_path, GROUPS)
    said, _ = last.communicate(timeout=120)
    assert last.returncode == 0 and kills == 3
    begun = lines(tmp_path / "begun")
    for kill in range(3):
        ended = set(lines(tmp_path / f"ended{kill}"))
        afterwards = begun[int((tmp_path / f"at{kill}").read_text()) :]
        assert ended and not ended & set(afterwards)  # what lies in the store is not begun again
    assert said.split() == ["over", str(len(set(lines(tmp_path / "ended2"))))]
    names = [f"task/{group}/{attempt}" for group in range(GROUPS) for attempt in range(SIZE)]
    with TrajectoryStore(tmp_path / "trajectories", mode="read") as store:
        assert Counter(store.names()) == Counter(names)
    whole = {line.partition(" ")[0]: line for line in lines(tmp_path / "groups")}
    assert all(whole[str(group)].count("task/") == SIZE for group in range(GROUPS))


def test_groups_are_completed_from_the_store_with_what_was_sampled_then(tmp_path: Path) -> None:
    async def some(numbers: list[int], sampler: Quick) -> list[Group]:
        with TrajectoryStore(tmp_path) as store:
            async with RolloutManager({"live": sampler}, store=store) as manager:
                for number in numbers:
                    manager.submit(request(number, Turns(2), 3))
                return [group async for group in manager.results()]

    first, _ = run_virtually(some([0, 1], Quick((7, 8))))
    sampler = Quick((9,))
    again, _ = run_virtually(some([0, 1, 2], sampler))
    assert len(sampler.requests) == 3 * 2  # group 2 alone
    known = {group.request.id: group for group in first}
    for group in again:
        assert group.complete
        if group.request.id in known:
            for one, other in zip(group.trajectories, known[group.request.id].trajectories, strict=True):
                _same(one, other)


def _same(one: Trajectory, other: Trajectory) -> None:
    assert (one.name, one.reward, one.stop) == (other.name, other.reward, other.stop)
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(one.nodes, other.nodes, strict=True))
