"""Rewards of attempts beside each other: comparisons, brevity, and judges that fail."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from manyeyes.agent.fakes import Scripted
from manyeyes.agent.grm_judge import grader
from manyeyes.agent.grm_ranking import GrmRanking
from manyeyes.agent.group_judge import ALONE, FAILED, GroupJudge, counted, judged_together
from manyeyes.agent.group_length import BriefInGroup
from manyeyes.agent.judge import JudgeFailed, Verdict
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import assistant
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import AgentSpan, Node, Trajectory
from manyeyes.reward.grm.config import GrmConfig
from manyeyes.reward.grm.fakes import RuleGrader
from manyeyes.reward.grm.generative_reward import GenerativeReward

TOKENIZER = Tokenizer.tiny()
LONGER = RuleGrader(lambda criterion, work: min(1.0, len(work) / 400))


def attempt(
    number: int, reward: float | None, *, text: str = "x", tokens: int = 1, masked: str = "", **parts: float
) -> Trajectory:
    said = np.asarray(TOKENIZER.encode(text) if tokens == 1 else [7] * tokens, np.int32)
    node = Node(
        np.concatenate([np.array([1], np.int32), said]),
        1,
        np.zeros(len(said), np.float32),
        np.zeros(len(said), np.int32),
    )
    main = AgentSpan(text=text, stop="done")
    return Trajectory(
        f"t/0/{number}",
        "t",
        agents=[main],
        nodes=[node],
        rewards=dict(parts),
        reward=reward,
        masked=masked,
        stop="done",
    )


def group(*attempts: Trajectory, complete: bool = True) -> Group:
    request = GroupRequest("0", Task("t", "Tell me about it"), None, len(attempts))
    return Group(request, list(attempts), complete=complete)


def together(judge: GroupJudge, *attempts: Trajectory, complete: bool = True) -> Group:
    return asyncio.run(judged_together(group(*attempts, complete=complete), judge))


class Says:
    """Whatever it is told to."""

    def __init__(self, said: Sequence[Verdict | None] | Exception) -> None:
        self.said, self.asked = said, 0

    async def __call__(self, group: Group) -> Sequence[Verdict | None]:
        self.asked += 1
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


# --- the contract ---


def test_a_group_judge_gives_the_rewards_and_an_attempts_own_word_stays_a_part() -> None:
    one, other = attempt(0, 1.0, near=0.5), attempt(1, 0.0)
    found = together(Says([Verdict(0.2, {"style": 0.4}, {"why": "dull"}), None]), one, other)
    assert found.rewards == [0.2, None]
    assert found.trajectories[0].rewards == {"near": 0.5, "style": 0.4, ALONE: 1.0}
    assert found.trajectories[0].events[-1].data["notes"] == {"why": "dull"}
    assert (one.reward, one.rewards, one.events) == (1.0, {"near": 0.5}, [])  # what the store keeps is as it was


def test_nobody_is_asked_about_a_group_that_is_not_complete() -> None:
    judge = Says([])
    assert together(judge, attempt(0, 1.0), complete=False).rewards == [1.0]
    assert not judge.asked


@pytest.mark.parametrize(
    "said",
    [
        JudgeFailed("the grader\nis gone"),
        [Verdict(math.nan, {}), Verdict(1.0, {})],
        [Verdict(1.0, {"a": math.inf})] * 2,
    ],
)
def test_a_group_judge_that_failed_leaves_no_verdict_and_is_counted(said: Any) -> None:
    found = together(Says(said), attempt(0, 1.0), attempt(1, 0.0))
    assert found.rewards == [None, None] and found.failures == {FAILED: 1}
    assert found.trajectories[0].events[-1].data["why"]


def test_one_verdict_for_each_attempt_is_expected() -> None:
    with pytest.raises(ConfigError, match="expected 2, got 1"):
        together(Says([None]), attempt(0, 1.0), attempt(1, 0.0))


def test_attempts_without_a_verdict_or_masked_are_not_counted() -> None:
    assert counted(group(attempt(0, None), attempt(1, 0.0), attempt(2, 1.0, masked="hole"))) == [1]


# --- comparisons ---


def ranking(judge: Any = LONGER, **more: Any) -> GrmRanking:
    return GrmRanking(GenerativeReward({"rules": judge}, GrmConfig(quorum=1)), "chat", TOKENIZER, **more)


def test_the_better_one_wins_in_every_pairing() -> None:
    lengths = [1, 300, 100]
    attempts = [attempt(n, 1.0, text="a" * length) for n, length in enumerate(lengths)]
    for pairing in ("circular", "all"):
        first, second, third = together(ranking(pairing=pairing), *attempts).rewards
        assert first is not None and second is not None and third is not None
        assert first < third < second


def test_what_rules_found_decides_before_any_grader() -> None:
    right, wrong = attempt(0, 1.0, text="a"), attempt(1, 0.0, text="a" * 300)
    found = together(ranking(), right, wrong)
    assert found.rewards[0] == 1.0 and found.rewards[1] == 0.0
    assert [one.rewards["right"] for one in found.trajectories] == [1.0, 0.0]
    unverified = together(ranking(verified=False), right, wrong)
    assert unverified.rewards == [0.0, 1.0]
    assert "right" not in unverified.trajectories[0].rewards


def test_only_counted_attempts_are_compared_and_one_alone_has_no_verdict() -> None:
    found = together(ranking(), attempt(0, None), attempt(1, 1.0, text="a"), attempt(2, 1.0, text="a" * 300))
    assert found.rewards[0] is None and None not in found.rewards[1:]
    assert together(ranking(), attempt(0, None), attempt(1, 1.0)).rewards == [None, None]
    assert together(ranking(), attempt(0, None)).rewards == [None]


def test_graders_that_babble_are_a_failure_with_their_words() -> None:
    babbler = grader(Scripted(lambda messages: assistant("Both are lovely.")))
    found = together(ranking(babbler), attempt(0, 1.0), attempt(1, 1.0), attempt(2, 1.0))
    assert found.rewards == [None] * 3 and found.failures == {FAILED: 1}
    why = found.trajectories[0].events[-1].data["why"]
    assert "votes are missing" in why and "Both are lovely." in why


def test_a_reward_that_cannot_be_a_share_is_refused() -> None:
    with pytest.raises(ConfigError, match="verified must be from 0 to 1"):
        together(ranking(), attempt(0, 7.0), attempt(1, 7.0))


# --- brevity ---


def test_brevity_is_k15s_term_on_top_of_the_own_reward() -> None:
    attempts = [
        attempt(0, 1.0, tokens=10),
        attempt(1, 1.0, tokens=20),
        attempt(2, 0.0, tokens=30),
        attempt(3, 0.9, tokens=10, right=1.0),
    ]
    assert together(BriefInGroup(0.2, non_negative=False), *attempts).rewards == pytest.approx([1.1, 1.0, -0.1, 1.0])
    found = together(BriefInGroup(0.2), *attempts)
    assert found.rewards == pytest.approx([1.2, 1.1, 0.0, 1.1])
    assert [one.rewards["right"] for one in found.trajectories] == [1.0, 1.0, 0.0, 1.0]
    assert [one.rewards["length/tokens"] for one in found.trajectories] == [10, 20, 30, 10]


def test_a_weight_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        BriefInGroup(-1.0)
