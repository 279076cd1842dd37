"""Weights fall with success, tasks that never differ rest, and a state is the whole of it."""

import json
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.rl.curriculum import Curriculum, CurriculumRule


def seen(curriculum: Curriculum, task: str, rewards: Sequence[float | None], *, step: int) -> None:
    """Groups whose judge says no more than the reward."""
    curriculum.observe(task, rewards, [reward == 1.0 for reward in rewards], step=step)


def test_a_group_that_is_all_right_and_differs_is_a_success_and_does_not_rest() -> None:
    """Rewards that also say how near an answer comes: below 1, and right all the same."""
    curriculum = Curriculum(CurriculumRule(patience=1, rest=3))
    curriculum.observe("x", [0.95, 0.98, 0.96], [True, True, True], step=0)
    assert curriculum.success("x") == 1.0 and curriculum.resting(step=1) == 0
    curriculum.observe("x", [0.95, 0.95], [True, True], step=1)
    assert curriculum.resting(step=2) == 1


def test_success_is_a_running_mean() -> None:
    curriculum = Curriculum(CurriculumRule(memory=0.25))
    assert math.isnan(curriculum.success("x"))
    seen(curriculum, "x", [1.0, 0.0, 0.0, 0.0], step=0)
    seen(curriculum, "x", [1.0, 1.0, 1.0, 0.0], step=1)
    assert curriculum.success("x") == pytest.approx(0.75 * 0.25 + 0.25 * 0.75) and len(curriculum) == 1
    assert curriculum.weight("x", step=2) == pytest.approx(1 - 0.375)


@pytest.mark.parametrize("rewards", [[1.0, 1.0], [0.0, 0.0]])
def test_always_right_or_wrong_rests_and_comes_back(rewards: list[float]) -> None:
    curriculum = Curriculum(CurriculumRule(patience=2, rest=3))
    seen(curriculum, "x", rewards, step=4)
    assert curriculum.weight("x", step=5) > 0
    seen(curriculum, "x", rewards, step=5)
    assert [curriculum.weight("x", step=step) > 0 for step in (6, 8, 9)] == [False, False, True]
    assert curriculum.resting(step=6) == 1 and curriculum.resting(step=9) == 0


def test_a_group_that_differs_ends_a_streak() -> None:
    curriculum = Curriculum(CurriculumRule(patience=2))
    for rewards in ([1.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]):
        seen(curriculum, "x", rewards, step=0)
    assert curriculum.resting(step=0) == 0


def test_a_group_that_is_all_wrong_and_differs_teaches_and_does_not_rest() -> None:
    """Shares of an overlap: none reaches 1, and all have advantages."""
    curriculum = Curriculum(CurriculumRule(patience=1, rest=3))
    seen(curriculum, "x", [0.2, 0.7, 0.4], step=0)
    assert curriculum.resting(step=1) == 0 and curriculum.weight("x", step=1) == 1.0
    seen(curriculum, "x", [0.4, 0.4, None], step=1)
    assert curriculum.resting(step=2) == 1


def test_no_verdict_says_nothing() -> None:
    curriculum = Curriculum()
    seen(curriculum, "x", [None, math.nan, math.inf], step=0)
    assert len(curriculum) == 0 and curriculum.weight("x", step=0) == 1.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.sampled_from([0.0, 1.0, None]), max_size=4))))
def test_a_state_is_the_whole_of_it(told: list[tuple[str, list[float | None]]]) -> None:
    one, other, rule = Curriculum(), Curriculum(), CurriculumRule()
    for step, (task, rewards) in enumerate(told):
        seen(one, task, rewards, step=step)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert other.state_dict() == one.state_dict()
    for task in "abcd":
        weight = one.weight(task, step=len(told))
        assert weight == other.weight(task, step=len(told)) and (weight == 0 or rule.floor <= weight <= 1)


@pytest.mark.parametrize("settings", [{"floor": 0.0}, {"memory": 2.0}, {"patience": 0}, {"rest": -1}])
def test_rules_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match="curriculum"):
        CurriculumRule(**settings)
