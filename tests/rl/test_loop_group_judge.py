"""The loop learns from rewards that attempts have beside each other, and outlives a group judge that fails."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.group_judge import ALONE, FAILED
from manyeyes.agent.judge import JudgeFailed, Verdict
from manyeyes.agent.rollouts.group import Group
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.loop import RlLoop
from manyeyes.rl.sync_loop import sync_loop

from .loop_worlds import make_run, one_place, plain, rows, same, sampler_of, weights
from .rollout_samples import one_thread as one_thread


class Contrary:
    """Rewards what the attempts' own judge does not; every `failing`th group has no verdict."""

    def __init__(self, *, failing: int = 0) -> None:
        self.failing = failing

    async def __call__(self, group: Group) -> Sequence[Verdict | None]:
        await asyncio.sleep(0)
        if self.failing and int(group.request.id) % self.failing == 0:
            raise JudgeFailed("no grader answers")
        return [
            None if one.reward is None else Verdict(1 - one.reward, {"odd": 1 - one.reward})
            for one in group.trajectories
        ]


@pytest.mark.parametrize("loop", [sync_loop, async_loop])
def test_the_group_judges_word_is_what_is_learned(
    loop: Callable[[RlLoop], Coroutine[Any, Any, bool]], tmp_path: Path
) -> None:
    run = make_run(tmp_path, domains=one_place(size=1), steps=12, groups=2, attempts=24, together=Contrary())
    assert asyncio.run(asyncio.wait_for(loop(run), 120))
    found = rows(run)
    early, late = (sum(row[f"part/{ALONE}"] for row in part) / 3 for part in (found[:3], found[-3:]))
    assert late < early - 0.15
    assert all(row["reward"] == pytest.approx(1 - row[f"part/{ALONE}"]) for row in found)
    told = [json.loads(line) for line in (tmp_path / "together.jsonl").read_text().splitlines()]
    assert len(told) == 12 * 2 * 24 and {line["step"] for line in told} == set(range(1, 13))
    assert all(line["reward"] == line["parts"]["odd"] for line in told)


def test_a_killed_run_with_a_group_judge_goes_on_bit_for_bit(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path / "one" / "trajectories") as store:
        straight = make_run(tmp_path / "one", store=store, together=Contrary())
        assert asyncio.run(sync_loop(straight))

    async def killed() -> None:
        working = asyncio.ensure_future(sync_loop(run))
        while run.step < 3:
            await asyncio.sleep(0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    with TrajectoryStore(tmp_path / "two" / "trajectories") as store:
        run = make_run(tmp_path / "two", store=store, together=Contrary())
        asyncio.run(killed())
        again = make_run(tmp_path / "two", store=store, together=Contrary())
        assert again.resume() and again.step == 2
        assert asyncio.run(sync_loop(again))
    assert sampler_of(again).asked < sampler_of(straight).asked
    assert same(weights(straight), weights(again))
    assert [plain(row) for row in rows(straight)] == [plain(row) for row in rows(again)]


def test_groups_whose_judge_failed_are_counted_and_the_run_goes_on(tmp_path: Path) -> None:
    run = make_run(tmp_path, domains=one_place(), steps=4, together=Contrary(failing=3))
    assert asyncio.run(sync_loop(run)) and run.step == 4 and run.updates >= 1
    assert sum(row["failures"].get(FAILED, 0) for row in rows(run)) == 4  # 12 groups, every third
    run = make_run(tmp_path / "all", domains=one_place(), steps=2, together=Contrary(failing=1))
    before = weights(run)
    assert asyncio.run(sync_loop(run)) and run.updates == 0 and same(before, weights(run))
