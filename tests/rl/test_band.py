"""The band's bounds, in the two readings of the report."""

import math

import numpy as np
import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.rl.band import EQ_1, Band


def test_the_default_is_a_half_to_two_of_the_ratio() -> None:
    ratios = np.array([0.49, 0.5, 1.0, 2.0, 2.01, np.inf, 0.0, np.nan])
    with np.errstate(divide="ignore"):
        assert EQ_1.holds(np.log(ratios)).tolist() == [False, True, True, True, False, False, False, False]


def test_bounds_of_the_log_ratio_lie_on_both_sides_of_zero() -> None:
    band = Band(0.3, 0.7, measures="log_ratio")
    assert (band.low, band.high) == (-0.3, 0.7)
    same = Band(math.exp(-0.3), math.exp(0.7))
    assert (same.low, same.high) == pytest.approx((-0.3, 0.7))


@pytest.mark.parametrize(
    "alpha, beta", [(0.0, 2.0), (-0.7, 0.7), (1.2, 2.0), (0.5, 0.9), (0.5, math.inf), (math.nan, 2)]
)
def test_a_band_without_one_in_it_is_refused(alpha: float, beta: float) -> None:
    with pytest.raises(ConfigError, match="alpha"):
        Band(alpha, beta)
