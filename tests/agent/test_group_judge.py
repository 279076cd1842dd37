"""What holds for every group judge: whom it is asked about, what becomes of its word, and what its failures are."""

import asyncio
import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from manyeyes.agent.environment import Environment
from manyeyes.agent.group_judge import (
    FAILED,
    NO_VERDICT,
    GroupJudge,
    case_of,
    counted,
    ended,
    judged_together,
    own_verdict,
    said_of,
)
from manyeyes.agent.judge import JudgeFailed, Verdict
from manyeyes.agent.prompting.instructions import Instructions
from manyeyes.agent.right_part import ALONE, GIVEN
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.toolset import Together
from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.trajectory import Trajectory
from manyeyes.rl.right import is_right

from .judged_groups import attempt, group


def together(judge: GroupJudge, *attempts: Trajectory, complete: bool = True, **more: Any) -> Group:
    return asyncio.run(judged_together(group(*attempts, complete=complete), judge, pause=0.0, **more))


class Says:
    """Whatever it is told to, one after the other."""

    def __init__(self, *said: Any) -> None:
        self.said, self.asked = said, 0

    async def __call__(self, group: Group) -> Sequence[Verdict | None]:
        self.asked += 1
        said = self.said[min(self.asked, len(self.said)) - 1]
        if isinstance(said, Exception):
            raise said
        return said


# --- what becomes of its word ---


def test_a_group_judge_gives_the_rewards_and_an_attempts_own_word_stays() -> None:
    one, other = attempt(0, 1.0, near=0.5), attempt(1, 0.0)
    beside = Verdict(0.2, {"near": 0.4, "alone": 9.0}, {"why": "dull"})
    found = together(Says([beside, None]), one, other)
    first, second = found.trajectories
    assert first.reward == 0.2 and first.rewards == {"near": 0.5, "together/near": 0.4, ALONE: 1.0, GIVEN: 0.2}
    assert said_of(found)[first.name].data["notes"] == {"why": "dull"}
    assert second.reward is None and second.rewards == {ALONE: 0.0} and second.masked == NO_VERDICT
    assert (one.reward, one.rewards, one.events) == (1.0, {"near": 0.5}, [])  # what the store keeps is as it was
    assert not found.failures


def test_who_was_right_the_own_judge_says_whatever_reward_it_gets_beside_others() -> None:
    found = together(Says([Verdict(0.3, {}), Verdict(1.0, {}), Verdict(0.3, {})]),
                     attempt(0, 1.0), attempt(1, 0.4), attempt(2, 0.4, right=1.0))  # fmt: skip
    assert [is_right(one, least=1.0) for one in found.trajectories] == [True, False, True]
    assert [is_right(one, least=0.4) for one in found.trajectories] == [True, True, True]


def test_where_nobody_judged_before_nobody_is_right_unless_somebody_says_so() -> None:
    said = [Verdict(1.0, {}), Verdict(1.0, {})]
    found = together(Says(said), attempt(0, None), attempt(1, None, right=1.0))
    assert [is_right(one, least=0.5) for one in found.trajectories] == [False, True]


def test_a_reason_in_words_is_kept() -> None:
    found = together(Says(["no picture of it", Verdict(1.0, {})]), attempt(0, 1.0), attempt(1, 1.0))
    assert found.rewards == [None, 1.0] and said_of(found)["t/0/0"].data == {"why": "no picture of it"}
    assert not found.failures


def test_nobody_is_asked_about_a_group_that_is_not_complete() -> None:
    judge = Says([])
    assert together(judge, attempt(0, 1.0), complete=False).rewards == [1.0]
    assert together(judge, attempt(0, 1.0, masked="hole")).rewards == [1.0]
    assert not judge.asked


def test_who_is_asked_about() -> None:
    whole = group(
        attempt(0, None), attempt(1, 0.0), attempt(2, 1.0, masked="hole"), attempt(3, math.nan),
        attempt(4, None, stop="failed", masked="failed"),
    )  # fmt: skip
    assert ended(whole) == [0, 1, 3] and counted(whole) == [1]
    with pytest.raises(ConfigError, match="no verdict of its own"):
        own_verdict(whole.trajectories[0])


def test_what_is_no_number_and_what_is_masked_stay_for_the_loops_checks_to_tell() -> None:
    found = together(Says([None, None]), attempt(0, math.inf), attempt(1, 1.0, masked="hole"))
    assert found.rewards == [math.inf, 1.0] and [one.masked for one in found.trajectories] == ["", "hole"]


# --- failures ---


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (JudgeFailed("the grader\nis gone"), "the grader\nis gone"),
        (ManyeyesError("no such model"), "ManyeyesError: no such model"),
        (RuntimeError("a bug"), "RuntimeError: a bug"),
        (TimeoutError("a socket"), "TimeoutError: a socket"),
        ([Verdict(math.nan, {}), Verdict(1.0, {})], "finite"),
        ([Verdict(1.0, {"a": math.inf})] * 2, "finite"),
        ([Verdict("ten", {})] * 2, "ValueError"),
        ([Verdict(1.0, {}, {"who": object()})] * 2, "plain JSON"),
        ([0.5, 0.5], "expected a verdict"),
        (7, "TypeError"),
    ],
)
def test_a_group_judge_that_failed_leaves_no_verdict_and_is_counted(said: Any, why: str) -> None:
    attempts = [attempt(0, 1.0), attempt(1, 0.0)]
    found = together(Says(said), *attempts)
    assert found.rewards == [None] * len(attempts) and found.failures == {FAILED: 1}
    assert all(one.masked and ALONE in one.rewards for one in found.trajectories)
    assert why in said_of(found)["t/0/0"].data["why"]


def test_a_judge_that_failed_is_asked_again_and_one_that_sleeps_is_a_failure() -> None:
    judge = Says(JudgeFailed("busy"), [Verdict(0.5, {})])
    assert together(judge, attempt(0, 1.0), tries=1).rewards == [0.5] and judge.asked == 2

    async def sleeps(group: Group) -> Sequence[Verdict | None]:
        await asyncio.sleep(60)
        return []

    found = together(sleeps, attempt(0, 1.0), seconds=0.05)
    assert said_of(found)["t/0/0"].data["why"] == "no verdict within 0.05 s"


def test_a_judge_that_will_not_end_is_left_behind_and_one_that_cancels_itself_is_a_failure() -> None:
    free = asyncio.Event()

    async def clings(group: Group) -> Sequence[Verdict | None]:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        return []

    async def both() -> list[Group]:
        found = [await judged_together(group(attempt(0, 1.0)), judge, seconds=0.05) for judge in (clings, cancels)]
        free.set()
        return found

    async def cancels(group: Group) -> Sequence[Verdict | None]:
        raise asyncio.CancelledError

    clung, cancelled = asyncio.run(asyncio.wait_for(both(), 20))
    assert said_of(clung)["t/0/0"].data["why"] == "no verdict within 0.05 s"
    assert said_of(cancelled)["t/0/0"].data["why"] == "it was cancelled from within"


def test_notes_are_kept_as_a_log_can_hold_them() -> None:
    notes = {"at": datetime(2026, 1, 2), "who": {"me"}}
    found = together(Says([Verdict(1.0, {}, notes)]), attempt(0, 1.0))
    assert json.loads(json.dumps(said_of(found)["t/0/0"].data["notes"])) == {"at": "2026-01-02T00:00:00", "who": ["me"]}


def test_one_verdict_for_each_attempt_is_expected_and_settings_that_are_wrong_end_the_run() -> None:
    with pytest.raises(ConfigError, match="expected 2, got 1"):
        together(Says([None]), attempt(0, 1.0), attempt(1, 0.0))
    with pytest.raises(ConfigError, match="no rubrics"):
        together(Says(ConfigError("no rubrics")), attempt(0, 1.0))


# --- what it is shown ---


def test_a_case_is_the_task_as_the_attempt_saw_it() -> None:
    environment = Environment(lambda ctx: Together(), modules=(Instructions(),))
    whole = group(attempt(0, 1.0), episode=environment)
    _, task, variant = environment.drawn(whole.request.task, seed=0, name="t/0/0")
    whole.trajectories[0].variant = variant
    case = case_of(whole, 0)
    assert case.task.prompt == task.prompt != whole.request.task.prompt
    assert (case.outcome.stop, case.outcome.text) == ("done", "x")
