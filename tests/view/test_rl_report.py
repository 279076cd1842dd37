"""The page of a run of reinforcement learning shows what a real run logs, in any state, and trusts nothing."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from manyeyes.core.runlog import Row, RunFolder
from manyeyes.rl.sync_loop import sync_loop
from manyeyes.view.report import write_report
from manyeyes.view.rl_history import RlHistory
from manyeyes.view.rl_report import RENEWED, rl_page

from ..rl.loop_worlds import make_run
from ..rl.rollout_samples import one_thread as one_thread


def row(kind: str, step: int, **values: Any) -> Row:
    return Row(kind, step, 1000.0 + 10 * step, values)


def rl_rows(steps: int, *, first: int = 1, reward: float = 0.2) -> list[Row]:
    """Of two places, with figures that rise."""
    rows = []
    for step in range(first, first + steps):
        figures = {"reward": reward + step / 100, "reward/a/x": 0.1, "reward/a": 0.1, "entropy": 1.0, "masked": 0.001}
        tally = {"groups/told": 3, "groups/equal": 1}
        rows.append(row("rl", step, **figures, updated=True, tally=tally, failures={"judge": 1}))
        rows.append(row("rl_time", step, seconds=2.0, **{"share/rollout": 0.7, "tokens_per_second/rollout": 900.0}))
    return rows


def folder_of(path: Path, rows: list[Row], **config: Any) -> RunFolder:
    folder = RunFolder.create(path, {"kind": "rl", "name": "tiny.rl", "steps": 40} | config)
    lines = [json.dumps({"kind": one.kind, "step": one.step, "time": one.time} | one.values) for one in rows]
    folder.metrics_path.write_text("".join(line + "\n" for line in lines))
    return folder


def test_a_real_run_has_all_its_charts(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=3)
    run.folder.write_config({"kind": "rl", "name": "bandit", "steps": 3})
    run.folder.log("evaluation", 0, stage="rl", final=True, **{"held/reward": 0.25, "held/tokens": 5.0})
    assert asyncio.run(sync_loop(run))
    run.folder.log("evaluation", 3, stage="rl", final=True, **{"held/reward": 0.5, "held/tokens": 4.0})
    run.folder.log("finished", 3, seconds=1.0)
    text = write_report(run.folder).read_text()
    titles = (
        "Held-out reward", "Tokens of a held-out answer", "Reward of rollouts", "Reward by place", "Success",
        "Parts of the reward", "Tokens of an attempt", "Turns of an attempt", "Attempts with an answer that is",
        "Entropy", "KL from the sampler", "Trainer and sampler", "Masked tokens", "Gradient norm",
        "Learning rate", "Temperature of rollouts", "Groups of a step", "Share of a step", "Tokens a second",
    )  # fmt: skip
    assert [title for title in titles if f"<b>{title}</b>" not in text] == []
    assert "reasoning/pictures" in text and "+0.250" in text and "finished" in text
    assert "nan" not in text.partition("config.json")[0].lower() and "refresh" not in text


@pytest.mark.parametrize("rows", [[], rl_rows(3)], ids=["nothing", "under way"])
def test_a_run_that_goes_on_is_loaded_again(rows: list[Row], tmp_path: Path) -> None:
    folder = folder_of(tmp_path, rows)
    page = rl_page(folder, RlHistory.read(folder))
    assert f'http-equiv="refresh" content="{RENEWED}"' in page
    assert ("No step yet" in page) == (not rows) and f"step {3 * bool(rows)} of 40" in page


def test_a_resumed_run_replaces_what_its_checkpoint_had_not_seen() -> None:
    history = RlHistory({"steps": 20})
    before = [*rl_rows(6), row("evaluation", 5, **{"held/reward": 0.1}), row("rl_finding", 5, words="was left out")]
    history.extend(before + rl_rows(2, first=4, reward=0.5))
    assert [one.step for one in history.steps] == [one.step for one in history.times] == [1, 2, 3, 4, 5]
    assert history.steps[3].values["reward"] == 0.54 and not history.evaluations and not history.notes
    assert history.left == 10.0 * 15 and history.updates == 5 and history.tally("groups/told").values == [3.0] * 5


def test_foreign_text_and_odd_values_break_no_page(tmp_path: Path) -> None:
    odd = [
        row("rl", 1, reward="high", **{"part/<script>": 0.5, "length": float("nan")}, tally=[1], failures="many"),
        row("rl", 2, reward=float("inf"), **{"part/<script>": 0.5}, tally={"groups/told": "x"}, failures={"x": "y"}),
        row("rl_finding", 2, words="</pre><script>alert(1)</script>"), row("evaluation", 2, **{"<b>/reward": 1.0}),
    ]  # fmt: skip
    folder = folder_of(tmp_path, odd, name="</title><script>", about="<img src=x>", steps="many")
    page = rl_page(folder, RlHistory.read(folder))
    assert "<script>alert" not in page and "<img" not in page and "&lt;b&gt;" in page
    assert page.count("<script>") == 1


def test_what_failed_is_told(tmp_path: Path) -> None:
    rows = [*rl_rows(2), row("source_ended", 2, source="a/x"), row("rl_finding", 2, words="a/0/1: refused")]
    folder = folder_of(tmp_path, rows)
    page = rl_page(folder, RlHistory.read(folder))
    assert "2 × judge" in page and "a/x had no more tasks" in page and "a/0/1: refused" in page


def test_where_it_ran_and_what_it_does_not_ask_are_told(tmp_path: Path) -> None:
    rows = [
        row("start", 0, device="cpu", threads=2, engine="5 compiled loops"),
        row("blind", 0, **{"train/count/tasks": 32, "train/count/dropped": 5, "train/count/failed": 0}),
        *rl_rows(2), row("moved", 2, device="cpu", threads=1, engine="torch"),
    ]  # fmt: skip
    page = rl_page(folder := folder_of(tmp_path, rows), RlHistory.read(folder))
    assert "cpu · 2 threads · engine: 5 compiled loops" in page and "solved without their picture" in page
    assert "train/count" in page and ">5<" in page and "not bit for bit" in page and "threads 1" in page


def test_held_out_sets_have_a_line_each_and_a_mean(tmp_path: Path) -> None:
    first = {"a/reward": 0.2, "a/questions": 200.0, "a/calls": 0.5, "a/part_near": 0.3, "b/reward": 0.4}
    now = {"a/reward": 0.6, "a/questions": 64.0, "a/calls": 0.75, "a/part_near": 0.4, "b/reward": 0.6, "c/failed": 3.0}
    rows = [row("evaluation", 0, **first), *rl_rows(2), row("evaluation", 2, **now)]
    page = rl_page(folder := folder_of(tmp_path, rows), RlHistory.read(folder))
    assert "200, now 64" in page and "50.0% → 75.0%" in page and "+0.400" in page
    assert "mean of 2" in page and "0.300" in page and "+0.300" in page and ">near<" in page
