"""Rollouts in real sandboxes: nothing is left of them, and a run that was killed does not do anything twice."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.sandbox_probe import Probe
from manyeyes.core.trajectory_store import TrajectoryStore

from ..tools.browser_site import descendants, left
from .sandboxed_child import rollouts

pytestmark = pytest.mark.slow
CHILD = Path(__file__).parent / "sandboxed_child.py"
GONE = 10.0
"""Seconds in which every process of a sandbox has to be gone."""


@pytest.fixture(autouse=True)
def installed(probed: Probe) -> None:
    if os.environ.get("CI") != "true":
        pytest.importorskip("ipykernel", reason="needs the extra `code`")


def gone_in_time(processes: dict[int, str]) -> bool:
    until = time.monotonic() + GONE
    while left(processes) and time.monotonic() < until:
        time.sleep(0.05)
    return not left(processes)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_300_rollouts_with_a_shell_and_a_kernel_each_leave_nothing(tmp_path: Path) -> None:
    groups: list[Group] = []

    async def go() -> tuple[dict[str, Any], int]:
        open_before = descriptors()
        stats = await rollouts(tmp_path, 300, 8, groups.append)
        await asyncio.sleep(0.1)
        return stats, descriptors() - open_before

    before, began = descendants(os.getpid()), time.monotonic()
    stats, opened = asyncio.run(go())
    print(f"300 rollouts in {time.monotonic() - began:.0f} s: {stats}")
    assert len({group.request.id for group in groups}) == len(groups) == 300
    assert [group.rewards for group in groups] == [[1.0]] * 300
    assert all(group.trajectories[0].rewards == {"alone": 1.0} for group in groups)
    pool = stats["pool"]
    assert pool["created"] == pool["closed"] <= 8 and pool["leases"] == 300 and not pool["stuck"]
    assert stats["left"] == {"kernels": 0, "rooms": 0, "sandbox": 0}
    assert gone_in_time({one: at for one, at in descendants(os.getpid()).items() if one not in before})
    assert opened <= 0


def test_a_killed_run_leaves_no_process_and_what_was_finished_is_not_run_again(tmp_path: Path) -> None:
    count, asked = 40, [sys.executable, str(CHILD), str(tmp_path), "40", "6"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [json.loads(child.stdout.readline()) for _ in range(12)]
        processes = descendants(child.pid)
        assert len(processes) >= 4, "no sandbox was at work"
        child.send_signal(signal.SIGKILL)
    assert gone_in_time(processes)
    assert all(reward == 1.0 for _, reward in told)
    with TrajectoryStore(tmp_path / "trajectories", mode="read") as store:
        kept = {name: store.get(name) for name in store.names()}
    assert {f"double/{number}/{number}/0" for number, _ in told} <= set(kept)

    again = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True, timeout=600).stdout.splitlines()
    stats = json.loads(again[-1])
    assert sorted(int(json.loads(line)[0]) for line in again[:-1]) == list(range(count))
    assert all(json.loads(line)[1] == 1.0 for line in again[:-1])
    assert stats["resumed"] == len(kept) and stats["pool"]["leases"] == count - len(kept)
    assert stats["left"] == {"kernels": 0, "rooms": 0, "sandbox": 0}
    with TrajectoryStore(tmp_path / "trajectories", mode="read") as store:
        names = list(store.names())
    assert len(names) == len(set(names)) == count
