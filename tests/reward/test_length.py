import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.reward.length import Budget, budgeted, k15_length_rewards

groups = st.lists(st.tuples(st.integers(0, 5000), st.booleans()), min_size=1, max_size=9)


@given(groups)
def test_k15_as_printed(group):
    lengths, correct = map(list, zip(*group, strict=True))
    short, long = min(lengths), max(lengths)
    terms = k15_length_rewards(lengths, correct)
    for term, length, right in zip(terms, lengths, correct, strict=True):
        printed = 0.0 if short == long else 0.5 - (length - short) / (long - short)
        assert math.isclose(term, printed if right else min(0.0, printed), abs_tol=1e-12)
        assert -0.5 <= term <= 0.5


@given(groups)
def test_without_negatives_the_order_of_right_answers_stays(group):
    lengths, correct = map(list, zip(*group, strict=True))
    plain = k15_length_rewards(lengths, correct)
    shifted = k15_length_rewards(lengths, correct, non_negative=True)
    assert all(0 <= term <= 1 for term in shifted)
    right = [at for at, one in enumerate(correct) if one]
    assert all(math.isclose(shifted[at] - plain[at], 0.5) for at in right)
    assert all(shifted[at] == 0 for at in range(len(group)) if at not in right)


def test_lengths_and_answers_belong_together():
    assert k15_length_rewards([], []) == []
    for lengths, correct in (([1], [True, False]), ([-1, 2], [True, True])):
        with pytest.raises(ConfigError, match="one length"):
            k15_length_rewards(lengths, correct)


@given(st.integers(1, 1000), st.floats(0, 1), st.integers(0, 100), st.integers(0, 1200))
def test_a_budget_costs_nothing_within_all_beyond_and_grows_between(tokens, penalty, ramp, length):
    budget = Budget(tokens, penalty, ramp)
    taken = budget.penalty_of(length)
    assert 0 <= taken <= penalty and taken <= budget.penalty_of(length + 1)
    assert (length <= tokens - ramp) <= (taken == 0) and (length > tokens) <= (taken == penalty)
    assert budget.penalty_of(0, cut=True) == penalty


@given(st.floats(-1, 1), st.integers(0, 200), st.booleans())
def test_penalties_that_toggle_can_multiply_are_no_prizes(reward, length, cut):
    budget = Budget(100, 0.7)
    worth, kept = (budgeted(reward, length, budget, cut=cut, non_negative=flag) for flag in (False, True))
    assert worth <= kept <= reward and (reward < 0 or kept >= 0)
