"""Advantages of a group add up to 0, do not depend on order, and never fail."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import AgentSpan, Trajectory
from manyeyes.rl.advantage import AdvantageRule, advantages_of, to_all, to_main

REWARDS = st.lists(st.floats(0, 1), min_size=2, max_size=12)
ANYTHING = st.lists(st.none() | st.floats() | st.sampled_from([0.0, 1.0]), max_size=8)


@given(rewards=REWARDS)
def test_reward_less_mean_own_included(rewards: list[float]) -> None:
    found = advantages_of(rewards)
    np.testing.assert_allclose(np.array(found.values), np.array(rewards) - np.mean(rewards), atol=1e-12)
    assert found.kind == ("equal" if len(set(rewards)) == 1 else "told")


@given(rewards=REWARDS)
def test_leaving_oneself_out_is_the_mean_of_the_others(rewards: list[float]) -> None:
    values = advantages_of(rewards, AdvantageRule("leave_one_out")).values
    for place, value in enumerate(values):
        others = [reward for at, reward in enumerate(rewards) if at != place]
        assert value == pytest.approx(rewards[place] - np.mean(others), abs=1e-12)


@given(rewards=REWARDS)
def test_scaled_by_the_standard_deviation_of_the_group(rewards: list[float]) -> None:
    values = np.array(advantages_of(rewards, AdvantageRule(scale="std", epsilon=1e-3)).values)
    expected = (np.array(rewards) - np.mean(rewards)) / (np.std(rewards) + 1e-3)
    np.testing.assert_allclose(values, expected, atol=1e-9)


def test_without_a_baseline_the_reward_itself() -> None:
    assert advantages_of([1.0, 0.25], AdvantageRule("none")).values == [1.0, 0.25]
    with pytest.raises(ConfigError, match="baseline"):
        AdvantageRule("none", scale="std")


@pytest.mark.parametrize("rewards, kind", [([1.0, 1.0], "told"), ([1.0], "told"), ([0.0, 0.0], "equal")])
def test_without_a_baseline_equal_rewards_say_which_way_unless_they_are_0(rewards: list[float], kind: str) -> None:
    assert advantages_of(rewards, AdvantageRule("none", quorum=1)).kind == kind


@given(rewards=ANYTHING, order=st.randoms(use_true_random=False), baseline=st.sampled_from(["mean", "leave_one_out"]))
def test_order_does_not_matter_and_what_is_no_number_is_counted(rewards: list, order, baseline) -> None:
    rule = AdvantageRule(baseline)
    found = advantages_of(rewards, rule)
    places = list(range(len(rewards)))
    order.shuffle(places)
    again = advantages_of([rewards[place] for place in places], rule)
    assert [again.values[at] for at in range(len(places))] == [found.values[place] for place in places]
    numbers = [reward for reward in rewards if reward is not None and math.isfinite(reward)]
    assert found.missing + found.not_finite + len(numbers) == len(rewards)
    teaches = found.kind in ("told", "equal")
    assert [value is not None for value in found.values] == [
        teaches and reward is not None and math.isfinite(reward) for reward in rewards
    ]


@pytest.mark.parametrize(
    "rewards, kind",
    [([], "empty"), ([None, math.nan], "empty"), ([1.0, None], "quorum"), ([0.1] * 3, "equal"), ([0.0, 1.0], "told")],
)
def test_groups_are_named(rewards: list, kind: str) -> None:
    assert advantages_of(rewards).kind == kind


def test_rewards_of_any_size_do_not_fail() -> None:
    for rule in (AdvantageRule(), AdvantageRule("leave_one_out"), AdvantageRule(scale="std")):
        assert advantages_of([1.7e308, 1.7e308, 1.0], rule).kind == "told"


@given(value=st.floats(0, 1), count=st.integers(2, 12))
def test_equal_rewards_give_exactly_nothing_whatever_rounding_says(value: float, count: int) -> None:
    for rule in (AdvantageRule(), AdvantageRule("leave_one_out"), AdvantageRule(scale="std")):
        assert advantages_of([value] * count, rule).values == [0.0] * count


def test_a_quorum_counts_members_only() -> None:
    assert advantages_of([1.0, 0.0, None, None], AdvantageRule(quorum=3)).kind == "quorum"
    assert advantages_of([1.0, 0.0, None, 0.5], AdvantageRule(quorum=3)).values == [0.5, -0.5, None, 0.0]


def test_the_orchestrator_alone_is_rewarded() -> None:
    trajectory = Trajectory("t/0/0", "t", agents=[AgentSpan(), AgentSpan("main/0", parent=0)])
    assert to_main(trajectory, 0.5) == [0.5, 0.0] and to_all(trajectory, 0.5) == [0.5, 0.5]


@pytest.mark.parametrize("settings", [{"quorum": 0}, {"baseline": "leave_one_out", "quorum": 1}, {"epsilon": 0.0}])
def test_rules_that_contradict_themselves_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError):
        AdvantageRule(**settings)
