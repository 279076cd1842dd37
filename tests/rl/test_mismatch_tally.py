"""Estimators of one tally: their formulas, their bounds, and what they estimate."""

import math

import numpy as np
import pytest

from manyeyes.rl.band import Band
from manyeyes.rl.mismatch_tally import FARTHEST, Tally, tally


def test_estimators_are_their_formulas() -> None:
    log_ratio_T = np.random.default_rng(0).normal(0, 0.5, 1000)
    found = tally(log_ratio_T)
    ratio_T = np.exp(log_ratio_T)
    assert found.kl_k1 == pytest.approx(-log_ratio_T.mean())
    assert found.kl_k2 == pytest.approx((log_ratio_T**2).mean() / 2)
    assert found.kl_k3 == pytest.approx((ratio_T - 1 - log_ratio_T).mean())
    assert found.mean_ratio == pytest.approx(ratio_T.mean())
    assert found.masked_share == pytest.approx(((ratio_T < 0.5) | (ratio_T > 2)).mean())
    assert found.figures["mean_absolute"] == pytest.approx(np.abs(log_ratio_T).mean())


def test_they_estimate_the_divergence_of_the_sampler_from_the_trainer() -> None:
    rng = np.random.default_rng(1)
    sampler, trainer = rng.dirichlet(np.ones(20)), rng.dirichlet(np.full(20, 5.0))
    trainer = 0.8 * sampler + 0.2 * trainer
    drawn = rng.choice(20, 200_000, p=sampler)
    found = tally(np.log(trainer / sampler)[drawn])
    truth = float((sampler * np.log(sampler / trainer)).sum())
    assert found.kl_k3 == pytest.approx(truth, rel=0.03) and found.kl_k1 == pytest.approx(truth, rel=0.05)
    assert found.mean_ratio == pytest.approx(1.0, abs=0.01)


def test_a_mismatch_as_small_as_rounding_is_not_lost() -> None:
    found = tally(np.full(100, 1e-6))
    assert found.kl_k3 == pytest.approx(5e-13, rel=1e-2) and found.kl_k2 == pytest.approx(5e-13, rel=1e-2)


def test_what_lies_too_far_is_counted_and_bounded() -> None:
    found = tally(np.array([math.inf, -math.inf, 25.0, 0.0]))
    assert (found.tokens, found.beyond, found.masked) == (4, 3, 3)
    assert found.mean_absolute == pytest.approx(3 * FARTHEST / 4)


def test_nothing_has_no_means() -> None:
    assert Tally().figures == {} and math.isnan(Tally().kl_k3) and tally(np.array([])) == Tally()


def test_the_band_decides_what_is_masked() -> None:
    log_ratio_T = np.log([0.85, 1.0, 1.15])
    assert tally(log_ratio_T).masked == 0
    assert tally(log_ratio_T, Band(0.9, 1.1)).masked == 2
