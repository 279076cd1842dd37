"""Toggle's laws: phase 1 is the identity; phase 0 zeroes what is too long, of tasks that mostly succeed, no other."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.rl.advantage import advantages_of
from manyeyes.rl.toggle import Toggle, ToggleRule

ATTEMPTS = st.lists(
    st.tuples(st.none() | st.just(math.nan) | st.floats(0, 1) | st.just(1.0), st.integers(0, 500)),
    min_size=1,
    max_size=8,
)
RULE = ToggleRule(every=3, threshold=0.5, percentile=50)


def split(attempts: list) -> tuple[list, list[int]]:
    return [reward for reward, _ in attempts], [length for _, length in attempts]


def knowing(budget: float, rule: ToggleRule = RULE) -> Toggle:
    toggle = Toggle(rule)
    toggle.load_state_dict(toggle.state_dict() | {"budgets": {"x": budget}})
    return toggle


@given(attempts=ATTEMPTS, step=st.integers(0, 50), budget=st.integers(0, 500))
def test_the_gate_is_the_formula(attempts: list, step: int, budget: int) -> None:
    rewards, lengths = split(attempts)
    numbers = [r for r in rewards if r is not None and not math.isnan(r)]
    found = knowing(budget).gate("x", rewards, lengths, step=step)
    indicator_holds = step // 3 % 2 == 1 or not numbers or math.fsum(numbers) / len(numbers) < 0.5
    for before, after, length in zip(rewards, found.rewards, lengths, strict=True):
        if before is None:
            assert after is None
        elif math.isnan(before):
            assert after is not None and math.isnan(after)
        else:
            assert after == before * (indicator_holds or length <= budget)


@given(attempts=ATTEMPTS, step=st.integers(0, 50))
def test_phase_1_is_the_identity(attempts: list, step: int) -> None:
    rewards, lengths = split(attempts)
    found = knowing(0).gate("x", rewards, lengths, step=step)
    if found.phase == 1:
        assert found.rewards == rewards and not found.gated and not found.enforced  # NaN is the same object


@given(attempts=ATTEMPTS)
def test_an_unknown_budget_is_unlimited(attempts: list) -> None:
    rewards, lengths = split(attempts)
    found = Toggle(RULE).gate("x", rewards, lengths, step=0)
    assert found.rewards == rewards and found.budget == math.inf


def test_phases_change_with_every_m_steps() -> None:
    assert [RULE.phase(step) for step in range(9)] == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert [ToggleRule(every=1).phase(step) for step in range(4)] == [0, 1, 0, 1]


@given(lengths=st.lists(st.integers(1, 900), min_size=1, max_size=8), percentile=st.floats(0, 100))
def test_the_budget_is_the_percentile_of_correct_lengths_estimated_once(lengths: list[int], percentile: float) -> None:
    toggle = Toggle(ToggleRule(percentile=percentile))
    correct = [True] * len(lengths)
    toggle.observe("x", [*correct, False], [*lengths, 10_000])
    assert toggle.budget("x") == np.percentile(lengths, percentile)
    toggle.observe("x", correct, [1] * len(lengths))
    assert toggle.budget("x") == np.percentile(lengths, percentile)


def test_the_estimate_is_tried_again_until_something_is_correct() -> None:
    toggle = Toggle(RULE)
    toggle.observe("x", [False, False], [10, 20])
    assert toggle.budget("x") == math.inf and len(toggle) == 0
    toggle.observe("x", [False, True], [10, 70])
    assert toggle.budget("x") == 70 and toggle.budget("y") == math.inf


def test_the_gate_comes_before_the_baseline() -> None:
    """All right, half of them too long: the short ones are pushed up, the long ones down; gating after would not."""
    gated = knowing(50).gate("x", [1.0] * 4, [10, 20, 90, 99], step=0)
    assert advantages_of(gated.rewards).values == [0.5, 0.5, -0.5, -0.5]
    assert gated.gated == 2 and gated.enforced
    assert advantages_of([1.0] * 4).values == [0.0] * 4


def test_exactly_at_the_budget_and_exactly_at_lambda() -> None:
    found = knowing(50).gate("x", [1.0, 0.0], [51, 50], step=0)  # mean 0.5 is not below lambda
    assert found.rewards == [0.0, 0.0]
    assert knowing(51).gate("x", [1.0, 0.0], [51, 50], step=0).rewards == [1.0, 0.0]


@pytest.mark.parametrize("step", [0, 3])
def test_a_negative_reward_is_refused_in_either_phase(step: int) -> None:
    with pytest.raises(ConfigError, match=r"x has a reward of -1, .* a prize of a penalty"):
        Toggle(RULE).gate("x", [1.0, -1.0, None], [1, 2, 3], step=step)


def test_budgets_live_in_the_checkpoint() -> None:
    toggle, other = Toggle(RULE), Toggle(RULE)
    toggle.observe("x", [True, True], [10, 21])
    other.load_state_dict(json.loads(json.dumps(toggle.state_dict())))
    assert other.budget("x") == 15.5 and other.state_dict() == toggle.state_dict()
    other.observe("x", [True], [1])
    assert other.budget("x") == 15.5
    with pytest.raises(CheckpointError, match="percentile=50"):
        Toggle(ToggleRule(percentile=30)).load_state_dict(toggle.state_dict())


@pytest.mark.parametrize("settings", [{"every": 0}, {"percentile": 101.0}, {"threshold": math.nan}, {"correct": 0.0}])
def test_rules_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match="Toggle"):
        ToggleRule(**settings)


def test_rewards_and_lengths_are_of_the_same_attempts() -> None:
    with pytest.raises(ConfigError, match="1 rewards and 2 lengths"):
        Toggle(RULE).gate("x", [1.0], [1, 2], step=0)
