"""What answers to sights are worth."""

import asyncio

import pytest

from manyeyes.agent.environments.sight_judge import SightJudge
from manyeyes.agent.judge import Case, Verdict
from manyeyes.agent.task import Outcome, Stop, Task
from manyeyes.data.synthesis.zero_vision_sights import KINDS, sight


def verdict(kind: str, text: str, *, number: int = 0, stop: Stop = "done", steps: int = 0) -> Verdict:
    judge = SightJudge(sight(kind, number))
    return asyncio.run(judge(Case(Task("t", "?"), Outcome(stop, text, steps=steps))))


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_answer_is_worth_1_and_none_is_worth_0(kind: str) -> None:
    for number in range(5):
        right = sight(kind, number).answer
        assert verdict(kind, right, number=number).reward == pytest.approx(1.0)
        assert verdict(kind, f"I measured it.\nAnswer: {right}", number=number).reward == pytest.approx(1.0)
        for nothing in ("", "no idea", "nan", "-1", "9" * 12, "[0, 0, 0, 0]", "1 2 3"):
            assert 0.0 <= verdict(kind, nothing, number=number).reward < 0.7


def test_an_answer_that_was_cut_off_is_none() -> None:
    assert verdict("count", sight("count", 0).answer, stop="cut_off").reward == 0.0


def test_near_misses_count_half_at_most() -> None:
    count = int(sight("count", 0).answer)
    off_by_one = verdict("count", str(count + 1))
    assert off_by_one.parts["right"] == 0.0 and off_by_one.reward == pytest.approx((1 - 1 / count) / 2)


def test_all_numbers_at_once_are_no_answer() -> None:
    assert verdict("count", " ".join(map(str, range(10)))).reward == 0.0
    boxes = " ".join(f"[{x / 10}, {y / 10}, {x / 10 + 0.2}, {y / 10 + 0.2}]" for x in range(8) for y in range(8))
    assert verdict("locate", boxes).reward < 0.05


def test_calls_are_measured_and_not_rewarded() -> None:
    right = sight("share", 0).answer
    with_code, without = verdict("share", right, steps=2), verdict("share", right)
    assert (with_code.parts["called"], without.parts["called"]) == (1.0, 0.0) and with_code.reward == without.reward
