"""The loops learn from rewards that attempts have beside each other, and outlive a group judge that fails."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.brief_in_group import BriefInGroup
from manyeyes.agent.group_judge import FAILED, Said
from manyeyes.agent.judge import JudgeFailed, Verdict
from manyeyes.agent.right_part import ALONE
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group
from manyeyes.core.errors import CheckpointError, ConfigError, ManyeyesError
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.curriculum import Curriculum, CurriculumRule
from manyeyes.rl.loop import RlLoop
from manyeyes.rl.sync_loop import sync_loop
from manyeyes.rl.toggle import Toggle, ToggleRule

from .loop_worlds import make_run, one_place, plain, rows, same, sampler_of, two_domains, weights
from .rollout_samples import one_thread as one_thread

Loop = Callable[..., Coroutine[Any, Any, bool]]
LOOPS = pytest.mark.parametrize("loop", [sync_loop, async_loop])


def finished(work: Coroutine[Any, Any, bool]) -> bool:
    return asyncio.run(asyncio.wait_for(work, 120))


class Contrary:
    """Rewards what the attempts' own judge does not; says nothing of every `failing`th group."""

    def __init__(self, *, failing: int = 0, seconds: float = 0.0) -> None:
        self.failing, self.seconds, self.asked = failing, seconds, 0

    async def __call__(self, group: Group) -> Sequence[Verdict | None]:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.failing and int(group.request.id) % self.failing == 0:
            raise JudgeFailed("no grader answers")
        return [None if own is None else Verdict(1 - own, {"odd": 1 - own}) for own in group.rewards]


def told(run: RlLoop) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder.path / "together.jsonl").read_text().splitlines()]


@LOOPS
def test_the_group_judges_word_is_what_is_learned(loop: Loop, tmp_path: Path) -> None:
    run = make_run(tmp_path, domains=one_place(size=1), steps=12, groups=2, attempts=24, together=Contrary())
    assert finished(loop(run))
    found = rows(run)
    early, late = (sum(row[f"part/{ALONE}"] for row in part) / 3 for part in (found[:3], found[-3:]))
    assert late < early - 0.15
    assert all(row["reward"] == pytest.approx(1 - row[f"part/{ALONE}"]) for row in found)
    assert all(row["success"] == pytest.approx(row[f"part/{ALONE}"]) for row in found)  # right by its own judge
    assert len(told(run)) == 12 * 2 and {line["step"] for line in told(run)} == set(range(1, 13))
    assert all(one["reward"] == one["parts"]["odd"] for line in told(run) for one in line["attempts"].values())


def with_everything(path: Path, store: TrajectoryStore, **more: Any) -> RlLoop:
    curriculum = Curriculum(CurriculumRule(patience=1, rest=1, most_skips=3))
    toggle = Toggle(ToggleRule(every=1, correct=0.5, threshold=0.1))
    settings = {"domains": two_domains(curriculum), "toggle": toggle, "together": BriefInGroup(0.3)} | more
    return make_run(path, store=store, **settings)


@pytest.mark.parametrize("where", ["before a checkpoint", "between steps", "while a group is judged"])
def test_a_killed_run_with_a_group_judge_goes_on_bit_for_bit(where: str, tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path / "one" / "trajectories") as store:
        straight = with_everything(tmp_path / "one", store)
        assert finished(sync_loop(straight))

    class Stuck:
        """Judges eight groups and then never again."""

        asked = 0

        async def __call__(self, group: Group) -> Sequence[Said]:
            self.asked += 1
            if self.asked > 8:
                await asyncio.sleep(60)
            return await BriefInGroup(0.3)(group)

    stuck, until = Stuck(), 1 if where == "before a checkpoint" else 3

    async def killed(run: RlLoop) -> bool:
        working = asyncio.ensure_future(sync_loop(run))
        while stuck.asked < 9 if where == "while a group is judged" else run.step < until:
            await asyncio.sleep(0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return working.cancelled()

    with TrajectoryStore(tmp_path / "two" / "trajectories") as store:
        judge = {"together": stuck} if where == "while a group is judged" else {}
        assert finished(killed(with_everything(tmp_path / "two", store, **judge)))
        again = with_everything(tmp_path / "two", store)
        assert again.resume() == (until == 3) and again.step == (2 if until == 3 else 0)
        assert finished(sync_loop(again))
    assert sampler_of(again).asked < sampler_of(straight).asked
    assert same(weights(straight), weights(again))
    assert [plain(row) for row in rows(straight)] == [plain(row) for row in rows(again)]
    assert [line | {"time": 0} for line in told(straight)] == [line | {"time": 0} for line in told(again)]


def test_a_run_without_its_group_judge_is_refused(tmp_path: Path) -> None:
    assert finished(sync_loop(make_run(tmp_path, domains=one_place(), steps=1, together=Contrary())))
    with pytest.raises(CheckpointError, match="another group judge"):
        make_run(tmp_path, domains=one_place(), steps=1).resume()


def test_rewards_that_are_made_of_parts_have_no_group_judge(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reward_of"):
        make_run(tmp_path, together=Contrary(), reward_of=lambda one, step: one.reward)


@LOOPS
def test_groups_whose_judge_failed_are_counted_and_the_run_goes_on(loop: Loop, tmp_path: Path) -> None:
    lines: list[str] = []
    run = make_run(tmp_path / "some", domains=one_place(), steps=4, together=Contrary(failing=3), announce=lines.append)
    assert finished(loop(run)) and run.step == 4 and run.updates >= 1
    failed = sum(row["failures"].get(FAILED, 0) for row in rows(run))
    assert failed == sum(int(group) % 3 == 0 for row in rows(run) for group in row["groups"]) > 0
    assert sum(row["tally"].get("attempts/masked", 0) for row in rows(run)) == 4 * failed
    assert any("no verdicts of its group judge: no grader answers" in line for line in lines)
    findings = [row["words"] for row in rows(run, "rl_finding")]
    assert all("no grader answers" in words for words in findings) and len(findings) == failed


@LOOPS
def test_a_group_judge_that_says_nothing_any_more_ends_the_run_with_its_reason(loop: Loop, tmp_path: Path) -> None:
    run = make_run(tmp_path, domains=one_place(), steps=99, together=Contrary(failing=1))
    before = weights(run)
    with pytest.raises(ManyeyesError, match="(16|17|18) groups in a row.*no grader answers"):
        finished(loop(run))
    assert 5 <= run.step <= 6 and run.updates == 0 and same(before, weights(run))


def test_where_no_group_judge_is_asked_nothing_is_told_of_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, domains=one_place(), steps=2)
    assert finished(sync_loop(run))
    assert not any("share/judge" in row for row in rows(run, "rl_time")) and not (tmp_path / "together.jsonl").exists()
    run = make_run(tmp_path / "other", domains=one_place(), steps=2, together=Contrary(seconds=0.02))
    assert finished(sync_loop(run))
    for row in rows(run, "rl_time"):
        assert row["share/judge"] > 0 and sum(v for k, v in row.items() if k.startswith("share/")) == pytest.approx(1)


@LOOPS
def test_a_stop_does_not_wait_for_a_slow_judge_and_loses_nothing(loop: Loop, tmp_path: Path) -> None:
    judge = Contrary(seconds=1000.0)
    run = make_run(tmp_path, domains=one_place(), together=judge, rollouts=RolloutConfig(judge_seconds=2000.0))
    assert not finished(loop(run, stop=lambda: judge.asked >= 3))
    assert run.step == 0
    again = make_run(tmp_path, domains=one_place(), together=Contrary())
    assert again.resume() and len(again.pending) >= 3
    assert finished(loop(again)) and again.step == 4
