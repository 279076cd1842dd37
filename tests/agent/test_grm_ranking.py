"""A group ranked by comparisons: who wins, what rules decide, and graders that fail."""

import asyncio
from typing import Any

import pytest

from manyeyes.agent.fakes import Scripted
from manyeyes.agent.grm_judge import grader
from manyeyes.agent.grm_ranking import GrmRanking
from manyeyes.agent.group_judge import FAILED, judged_together, said_of
from manyeyes.agent.judge import Case, JudgeFailed
from manyeyes.agent.rollouts.group import Group
from manyeyes.core.messages import Part, TextPart, assistant
from manyeyes.core.trajectory import Trajectory
from manyeyes.reward.grm.config import GrmConfig
from manyeyes.reward.grm.fakes import RuleGrader
from manyeyes.reward.grm.generative_reward import GenerativeReward

from .judged_groups import TOKENIZER, attempt, group

LONGER = RuleGrader(lambda criterion, work: min(1.0, len(work) / 400))
SAME = RuleGrader(lambda criterion, work: 0.5)


def ranked(judge: GrmRanking, *attempts: Trajectory) -> Group:
    return asyncio.run(judged_together(group(*attempts), judge))


def ranking(grade: Any = LONGER, *, verified: bool = True, **more: Any) -> GrmRanking:
    return GrmRanking(GenerativeReward({"rules": grade}, GrmConfig(quorum=1)), "chat", TOKENIZER, verified, **more)


def long(number: int, length: int, reward: float | None = 1.0, **more: Any) -> Trajectory:
    return attempt(number, reward, text="a" * length, **more)


# --- who wins ---


@pytest.mark.parametrize("pairing", ["circular", "all"])
def test_the_better_one_wins(pairing: Any) -> None:
    first, second, third = ranked(ranking(pairing=pairing), long(0, 1), long(1, 300), long(2, 100)).rewards
    assert first is not None and second is not None and third is not None
    assert 0.5 == first < third < second == 1.0  # a right answer is worth a half at least


def test_what_rules_found_decides_before_any_grader() -> None:
    right, wrong = long(0, 1, 1.0), long(1, 300, 0.0)
    assert ranked(ranking(), right, wrong).rewards == [0.75, 0.125]
    assert ranked(ranking(verified=False), right, wrong).rewards == [0.0, 1.0]


def test_equal_attempts_earn_the_same_whomever_they_stand_beside() -> None:
    found = ranked(ranking(SAME), *(attempt(n, own) for n, own in enumerate([1.0, 1.0, 0.0, 1.0]))).rewards
    assert found == [0.75, 0.75, 0.125, 0.75]


def test_an_environment_needs_no_judge_where_nothing_was_verified() -> None:
    assert ranked(ranking(verified=False), long(0, 1, None), long(1, 300, None)).rewards == [0.0, 1.0]
    assert ranked(ranking(), long(0, 1, None), long(1, 300, None)).rewards == [None, None]


def test_who_is_not_counted_is_not_compared_and_one_alone_has_no_verdict() -> None:
    found = ranked(ranking(), long(0, 400, masked="hole"), long(1, 1), long(2, 300), long(3, 9, None))
    assert found.rewards == [1.0, 0.5, 1.0, None]  # what is masked stays as it is
    assert ranked(ranking(), long(0, 1)).rewards == [None]


def test_votes_are_kept_with_what_was_asked() -> None:
    found = ranked(ranking(), long(0, 1), long(1, 300))
    told = [transcript for event in said_of(found).values() for transcript in event.data["notes"]["transcripts"]]
    assert len(told) == 2 * 2 and {one["order"] for one in told} == {"AB", "BA"}  # two rubrics, both orders


# --- what fails ---


def test_graders_that_babble_are_a_failure_with_their_words() -> None:
    babbler = grader(Scripted(lambda messages: assistant("Both are lovely.")))
    found = ranked(ranking(babbler), *(attempt(n, 1.0) for n in range(3)))
    assert found.rewards == [None] * 3 and found.failures == {FAILED: 1}
    why = said_of(found)["t/0/0"].data["why"]
    assert "votes are missing" in why and "Both are lovely." in why


def test_an_outage_is_seen_where_rules_tell_some_attempts_apart() -> None:
    async def gone(parts: tuple[Part, ...]) -> str:
        raise ConnectionError("nobody listens")

    found = ranked(ranking(gone), *(attempt(n, own) for n, own in enumerate([1.0, 1.0, 0.0, 1.0])))
    assert found.rewards == [None] * 4 and found.failures == {FAILED: 1}
    assert "nobody listens" in said_of(found)["t/0/2"].data["why"]


def test_a_comparison_without_a_verdict_costs_its_two_attempts_alone() -> None:
    class Forgetful:
        """Says nothing of a work of nines."""

        async def __call__(self, parts: tuple[Part, ...]) -> str:
            if any(isinstance(part, TextPart) and "999" in part.text for part in parts):
                raise ConnectionError("no such work")
            return await LONGER(parts)

    attempts = [long(0, 1), long(1, 300), attempt(2, 1.0, text="999"), long(3, 200), long(4, 100)]
    found = ranked(ranking(Forgetful()), *attempts)
    assert found.rewards[2] is None and found.trajectories[2].masked and not found.failures
    assert "no such work" in said_of(found)["t/0/2"].data["why"]
    assert None not in [reward for at, reward in enumerate(found.rewards) if at != 2]


@pytest.mark.parametrize("pairing", ["circular", "all"])
def test_a_quorum_that_is_never_there_is_a_failure_with_its_reason(pairing: Any) -> None:
    async def gone(parts: tuple[Part, ...]) -> str:
        raise ConnectionError("nobody listens")

    grm = GenerativeReward({"here": LONGER, "gone": gone}, GrmConfig(quorum=3, drawn=2))
    found = ranked(GrmRanking(grm, "chat", TOKENIZER, True, pairing), *(long(n, 1 + n) for n in range(3)))
    assert found.rewards == [None] * 3 and found.failures == {FAILED: 1}
    why = said_of(found)["t/0/2"].data["why"]
    assert "nobody listens" in why and '"gone"' in why and '"here"' not in why


@pytest.mark.parametrize("own", [1.05, -0.5, 7.0])
def test_a_reward_that_is_no_share_is_a_failure_that_says_what_to_do(own: float) -> None:
    found = ranked(ranking(), attempt(0, own), attempt(1, 1.0))
    assert found.failures == {FAILED: 1} and "verified=False" in said_of(found)["t/0/0"].data["why"]


def test_an_artefact_that_cannot_be_had_costs_one_attempt() -> None:
    async def shows(case: Case) -> tuple[Part, ...]:
        if case.outcome.text == "a":
            raise JudgeFailed("no browser")
        return (TextPart(" and a picture"),)

    found = ranked(ranking(artefacts=shows), long(0, 1), long(1, 300), long(2, 100))
    assert found.rewards == [None, 1.0, 0.5] and said_of(found)["t/0/0"].data == {"why": "no browser"}


def test_artefacts_that_nobody_can_have_are_a_failure() -> None:
    async def none(case: Case) -> tuple[Part, ...]:
        raise JudgeFailed("no browser")

    found = ranked(ranking(artefacts=none), long(0, 1), long(1, 300))
    assert found.failures == {FAILED: 1} and said_of(found)["t/0/1"].data == {"why": "no browser"}
