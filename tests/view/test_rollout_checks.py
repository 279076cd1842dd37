"""Checks over a run's folder name what is wrong in it, whatever it is."""

from pathlib import Path

import msgspec
import numpy as np

from manyeyes.agent.rollouts.snapshot import GROUPS, TRAJECTORIES, GroupLine
from manyeyes.core.trajectory import Node, Trajectory
from manyeyes.core.trajectory_segments import segment_path
from manyeyes.core.trajectory_store import TrajectoryStore, Wanted
from manyeyes.view.rollout_checks import check_run
from manyeyes.view.rollout_page_fake import write_rollouts
from manyeyes.view.rollout_run import ShownRollouts


def findings(folder: Path) -> list[str]:
    run = ShownRollouts(folder)
    assert run.store is not None
    try:
        return [str(found) for found in check_run(run, run.store, Wanted())]
    finally:
        run.close()


def test_a_sound_run_has_no_errors_and_a_broken_one_is_named(tmp_path: Path) -> None:
    folder = write_rollouts(tmp_path / "run", groups=3, seconds=2)
    assert [words for words in findings(folder) if words.startswith("error")] == []
    broken = Trajectory("bad/0/0", "bad/0", stop="done", reward=float("inf"))
    broken.add(Node(np.array([1, 99_999], np.int32), 1, np.array([0.5], np.float32), np.zeros(1, np.int32)))
    with TrajectoryStore(folder / TRAJECTORIES) as store:
        store.append(broken)
    with (folder / GROUPS).open("ab") as file:
        file.write(
            msgspec.json.encode(GroupLine(0.0, "lost", "bad/0", ["bad/0/0", "bad/0/1"], [1.0, None], False)) + b"\n"
        )
    found = findings(folder)
    for words in (
        "id 99999",
        "above 0",
        "'reward' is inf",
        "lost: 1 of its 2",
        "lost: it was delivered without a quorum",
    ):
        assert any(words in one for one in found), (words, found)
    assert all("bad/0/0" in one or "lost" in one for one in found if one.startswith("error"))


def test_groups_are_attempts_at_one_task_from_which_one_can_learn(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with TrajectoryStore(folder / TRAJECTORIES) as store:
        for name, task in (("a/0", "a"), ("a/1", "a"), ("b/0", "b")):
            store.append(Trajectory(name, task, stop="done", reward=1.0))
    lines = [["a/0", "a/1"], ["a/0", "b/0"], ["a/1", "a/1"], ["a/0", "gone"]]
    (folder / GROUPS).write_bytes(b"".join(
        msgspec.json.encode(GroupLine(0.0, f"g{n}", "a", names, [1.0, 1.0], True)) + b"\n"
        for n, names in enumerate(lines)
    ))  # fmt: skip
    found = [words for words in findings(folder) if "(group)" in words]
    assert [words for words in found if words.startswith("error")] == [
        "error: g1: attempts at 2 tasks: a, b (group)", "error: g2: a/1 is in it 2 times (group)",
        "error: g3: 1 of its 2 trajectories are not in the store, the first is gone (group)",
    ]  # fmt: skip
    assert "warning: g0: all 2 rewards are 1: nothing is learned from them (group)" in found


def test_a_trajectory_that_was_damaged_is_a_finding_and_ends_nothing(tmp_path: Path) -> None:
    folder = write_rollouts(tmp_path / "run", groups=2, seconds=2)
    path = segment_path(folder / TRAJECTORIES, 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = findings(folder)
    assert sum("(store)" in one for one in found) == 1
