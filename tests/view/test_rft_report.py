"""A run of rejection sampling on a page and in the terminal: while it attempts, while it learns, and at its end."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from manyeyes.core.runlog import Row, RunFolder
from manyeyes.view.report import write_report
from manyeyes.view.rl_report import RENEWED
from manyeyes.view.watch import Follower, snapshot

from .test_rl_report import folder_of, row

ATTEMPTS = [row("attempts", n, tasks=64, attempts=4 * n, right=2 * n, sampled=40 * n, seconds=1.0) for n in (16, 32)]
TOLD = {"attempts": 256, "right": 131, "kept": 60, "samples": 61, "tokens": 4321}
FATES = {"kept": 60, "wrong": 120, "masked": 5, "more": 70, "cut": 1}
PLACES = {"vision/count": {"attempts": 128, "right": 31}, "reasoning/sum": {"attempts": 128, "right": 100}}
LEARNING = [
    row("start", 0, device="cpu"), row("rft", 0, **TOLD, tally=FATES, places=PLACES),
    row("evaluation", 0, stage="tiny.rft", final=True, **{"count/reward": 0.25, "count/questions": 64.0}),
    *(row("train", n, stage="rft", stage_step=n, loss=2.0 / n, tokens=100, seconds=1.0) for n in (1, 2, 3)),
]  # fmt: skip
END = [
    row("train", 4, stage="rft", stage_step=4, loss=0.5, tokens=100, seconds=1.0),
    row("evaluation", 4, stage="tiny.rft", final=True, **{"count/reward": 0.5, "count/questions": 64.0}),
    row("finished", 4, seconds=4.0),
]  # fmt: skip


def run_of(path: Path, rows: list[Row], **config: Any) -> RunFolder:
    folder = folder_of(path, rows, kind="rft", name="tiny.rft", steps=4)
    folder.write_config(folder.config() | {"rows": 2, "row_length": 64} | config)
    return folder


def page_of(path: Path, rows: list[Row], **config: Any) -> str:
    return write_report(run_of(path, rows, **config)).read_text()


def shown(path: Path, rows: list[Row]) -> str:
    follower = Follower(run_of(path, rows))
    follower.poll()
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(snapshot(follower, 1100.0))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_attempts_under_way(tmp_path: Path) -> None:
    page = page_of(tmp_path / "a", ATTEMPTS)
    assert "attempting: task 32 of 64" in page and f'content="{RENEWED}"' in page and "64 of them" in page
    text = shown(tmp_path / "b", ATTEMPTS)
    assert "32/64" in text and "64 of 128 attempts are right" in text and "no step yet" not in text


def test_learning_under_way(tmp_path: Path) -> None:
    page = page_of(tmp_path / "a", LEARNING)
    assert "learning: step 3 of 4" in page and "24.2%" in page and "78.1%" in page and "right, but" in page
    text = shown(tmp_path / "b", LEARNING)
    assert "256 attempts, 131 of them right; 60 are examples" in text and "3/4" in text and "loss" in text
    assert "count" in text and "0.250" in text and "about" in text and "left" in text


def test_a_finished_run(tmp_path: Path) -> None:
    page = page_of(tmp_path / "a", LEARNING + END)
    assert "+0.250" in page and "finished" in page and "refresh" not in page
    text = shown(tmp_path / "b", LEARNING + END)
    assert "4/4" in text and "finished" in text and "0.500" in text


def test_nothing_yet_and_odd_rows_break_no_page(tmp_path: Path) -> None:
    assert "No attempt yet" in page_of(tmp_path / "a", [])
    assert "no step yet" in shown(tmp_path / "b", [])
    odd = [row("attempts", 1, tasks="many"), row("rft", 0, tally=[1], places={"<b>": 3, "x": {"attempts": "y"}})]
    page = page_of(tmp_path / "c", odd, about="<script>alert(1)</script>")
    assert "<script>alert" not in page and page.count("<script>") == 1
    assert "? attempts" in shown(tmp_path / "d", odd)


def test_attempts_that_are_told_again_replace_the_earlier_ones(tmp_path: Path) -> None:
    assert "attempting: task 16 of 64" in page_of(tmp_path, [*ATTEMPTS, ATTEMPTS[0]])
