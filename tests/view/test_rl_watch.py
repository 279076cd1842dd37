"""A run of reinforcement learning in the terminal: followed through restarts, whole or hardly begun."""

import io
from pathlib import Path

from rich.console import Console

from manyeyes.core.runlog import Row, RunFolder
from manyeyes.view.rl_history import RlHistory
from manyeyes.view.rl_watch import RlFollower, follow_rl, rl_snapshot

from .test_rl_report import folder_of, rl_rows, row


def shown(follower: RlFollower, now: float = 1100.0) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(rl_snapshot(follower, now))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def write(folder: RunFolder, rows: list[Row]) -> None:
    """As a run does."""
    for one in rows:
        folder.log(one.kind, one.step, **one.values)


def test_figures_of_a_run_under_way(tmp_path: Path) -> None:
    rows = [row("evaluation", 0, **{"held/reward": 0.25}), *rl_rows(8), row("rl_finding", 8, words="left \x1b[2Jout")]
    follower = RlFollower(folder_of(tmp_path, rows))
    assert follower.poll() and not follower.poll()
    text = shown(follower)
    assert "tiny.rl" in text and "8/40" in text and "a/x" in text and "0.210 → 0.245" in text
    assert "held" in text and "0.250" in text and "rollout 70.0%" in text and "900 tokens/s" in text
    assert "\x1b" not in text and r"left \x1b[2Jout" in text and "5 min 20 s left" in text
    assert "no news" in shown(follower, now=2000.0)


def test_nothing_yet(tmp_path: Path) -> None:
    follower = RlFollower(folder_of(tmp_path, []))
    follower.poll()
    assert "no step yet" in shown(follower)


def test_a_log_that_was_rewound_is_read_again(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [])
    follower = RlFollower(folder)
    write(folder, rl_rows(3))
    kept = folder.position
    write(folder, rl_rows(3, first=4))
    assert follower.poll() and follower.history.step == 6
    folder.rewind(kept)
    write(folder, rl_rows(2, first=4, reward=0.7))
    assert follower.poll() and [one.step for one in follower.history.steps] == [1, 2, 3, 4, 5]
    assert follower.history.steps[3].values["reward"] == 0.74


def test_following_ends_with_the_run(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, rl_rows(2))
    pieces = [rl_rows(2, first=3), [row("finished", 4, seconds=1.0)]]
    news: list[int] = []

    def heard(history: RlHistory) -> None:
        news.append(history.step)

    console = Console(file=io.StringIO(), width=100)
    history = follow_rl(folder, console, on_news=heard, sleep=lambda seconds: write(folder, pieces.pop(0)))
    assert history.finished is not None and news == [4, 4] and not pieces
