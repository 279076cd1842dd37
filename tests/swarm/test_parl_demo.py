"""The demo for models of few tokens: both modes in journals of their own, on real pages, scored."""

import asyncio
from pathlib import Path

from manyeyes.swarm.demo import Ran
from manyeyes.swarm.parl_demo import Cast, run_parl_demo
from manyeyes.swarm.parl_scripts import parallel, worker

from .parl_play import Player, model


def demo(folder: Path) -> list[Ran]:
    return asyncio.run(run_parl_demo(folder, Player(), tasks=2))


def test_a_swarm_is_as_right_as_one_agent_in_fewer_critical_steps(tmp_path: Path) -> None:
    ran = demo(tmp_path)
    assert [(one.mode, len(one.task.gold), one.figures.agents) for one in ran] == [
        ("single", 4, 0), ("swarm", 4, 4), ("single", 12, 0), ("swarm", 12, 12),
    ]  # fmt: skip
    assert all(one.score.item.f1 == 1.0 and one.stop == "done" for one in ran)
    assert [one.figures.critical_steps for one in ran] == [17, 7, 49, 7]


def test_a_demo_that_is_over_is_not_played_again(tmp_path: Path) -> None:
    first = demo(tmp_path)
    journals = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("events.jsonl")}
    assert [one.score for one in demo(tmp_path)] == [one.score for one in first]
    assert journals == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("events.jsonl")}


def test_a_cast_plays_orchestrators_and_workers_with_their_own_weights(tmp_path: Path) -> None:
    ran = asyncio.run(run_parl_demo(tmp_path, Cast(model(parallel), model(worker)), tasks=1))
    assert [(one.score.item.f1, one.figures.critical_steps) for one in ran] == [(1.0, 49), (1.0, 7)]
