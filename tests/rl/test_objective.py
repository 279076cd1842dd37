"""Eq. 1's gradient is (M rho A - 2 tau l) / N at every token, wherever it lies and however the tokens are ordered."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.rl.band import EQ_1, Band
from manyeyes.rl.learned_tokens import LearnedTokens
from manyeyes.rl.objective import Eq1
from manyeyes.rl.token_count import TokenCount

from .rollout_samples import tokens_of

RATIOS = st.lists(st.floats(-40, 40) | st.floats(-1, 1), min_size=3, max_size=30)
COUNT = TokenCount(tokens=50, sequences=3, groups=2)


def slope(objective: Eq1, tokens: LearnedTokens, count: TokenCount = COUNT) -> np.ndarray:
    """d J / d log pi of each token."""
    (found,) = torch.autograd.grad(-objective(tokens, count).value, tokens.logprobs_N)
    return found.numpy()


def closed_form(tokens: LearnedTokens, n: float, *, band: Band = EQ_1, tau: float = 1e-3) -> np.ndarray:
    l_N, a_N = tokens.log_ratio_N.detach().numpy(), tokens.advantages_N.numpy()
    inside_N = (l_N >= band.low) & (l_N <= band.high)
    return (inside_N * np.exp(np.where(inside_N, l_N, 0)) * a_N - 2 * tau * l_N) / n


@given(values=RATIOS, seed=st.integers(0, 99))
def test_the_gradient_is_the_closed_form(values: list[float], seed: int) -> None:
    tokens = tokens_of(values, seed=seed)
    np.testing.assert_allclose(slope(Eq1(), tokens), closed_form(tokens, 50), rtol=1e-9, atol=1e-12)
    other = Eq1(Band(0.2, 0.4, measures="log_ratio", outside="clip"), tau=0.05)
    expected = closed_form(tokens, 50, band=other.band, tau=0.05)
    np.testing.assert_allclose(slope(other, tokens), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("log_ratio", [0.7, -0.7, 5.0, -5.0, 800.0, -800.0])
def test_outside_the_band_the_square_alone_acts_whatever_the_advantage(advantage: float, log_ratio: float) -> None:
    tokens = tokens_of([log_ratio] * 3)._replace(advantages_N=torch.full((3,), advantage, dtype=torch.float64))
    assert not slope(Eq1(tau=0.0), tokens).any()
    np.testing.assert_allclose(slope(Eq1(tau=0.01), tokens), -0.02 * log_ratio / 50, rtol=1e-12)
    assert not slope(Eq1(tau=0.01, squared_on="inside"), tokens).any()


def test_the_value_is_the_sum_of_its_figures_and_masks_are_a_share_of_all_tokens() -> None:
    loss = Eq1(tau=0.1)(tokens_of([0.0, 0.1, 3.0, -3.0]), TokenCount(tokens=8))
    assert float(loss.figures["policy"] + loss.figures["squared"]) == pytest.approx(
        float(loss.value.detach()), rel=1e-12
    )
    assert float(loss.figures["masked"]) == 0.25
    assert float(loss.figures["squared"]) == pytest.approx(0.1 * (0.01 + 9 + 9) / 8)


def test_masked_tokens_do_not_change_the_step_of_the_others() -> None:
    """N is of the batch: what one token is pushed by does not depend on whether others are inside the band."""
    near, far = slope(Eq1(), tokens_of([0.1, 0.2, 0.1])), slope(Eq1(), tokens_of([0.1, 0.2, 9.0]))
    np.testing.assert_array_equal(near[:2], far[:2])


@given(values=RATIOS, cut=st.integers(0, 30), seed=st.integers(0, 9))
def test_parts_and_orders_are_the_whole(values: list[float], cut: int, seed: int) -> None:
    whole = tokens_of(values, seed=seed)
    shuffled = np.random.default_rng(seed).permutation(len(values))
    parts = [_some(whole, index) for index in (shuffled[:cut], shuffled[cut:])]
    total = sum(float(Eq1()(part, COUNT).value.detach()) for part in parts)
    assert total == pytest.approx(float(Eq1()(whole, COUNT).value.detach()), rel=1e-9, abs=1e-12)


def test_per_group_each_group_counts_the_same() -> None:
    weights = np.array([1 / 2, 1 / 2, 1 / 30, 1 / 30])
    tokens = tokens_of([0.1, -0.1, 0.3, 0.2], weights=weights)
    count = dataclasses.replace(COUNT, per="groups")
    np.testing.assert_allclose(slope(Eq1(), tokens, count), closed_form(tokens, 2) * weights, rtol=1e-12)


def test_a_square_that_repels_is_refused() -> None:
    with pytest.raises(ConfigError, match="tau"):
        Eq1(tau=-1.0)


def _some(tokens: LearnedTokens, index: np.ndarray) -> LearnedTokens:
    at = torch.from_numpy(index)
    moved = {name: getattr(tokens, name)[at] for name in tokens._fields if name.endswith("_N")}
    return tokens._replace(**moved)
