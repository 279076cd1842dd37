"""`Calibration`: from what graders say to what people meant, learned from a small set of works with known worth.

    isotonic(raw, true)      the best non-decreasing step from raw scores to true ones, straight between its knots
    linear(raw, true)        the least-squares line, cut off at 0 and 1: for sets of fewer than some thirty works

Both never turn an order around. A grader that ranks the set upside down has no line: better none than that one. Without
a set the mapping is the identity: level i of n is i / (n - 1), a preference is 1, 1/2 or 0.

Report: §4.4.2 (fine-grained scores); the method is an open choice here.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from manyeyes.core.coordinates import Floats
from manyeyes.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Calibration:
    """Straight between knots, constant beyond them; non-decreasing, from 0..1 to 0..1.

    Attributes:
        raw: of the knots, increasing.
        true: of the knots, not decreasing.

    Example:
        >>> Calibration((0.0, 0.5, 1.0), (0.0, 0.25, 1.0))(0.75)
        0.625
    """

    raw: tuple[float, ...] = (0.0, 1.0)
    true: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self) -> None:
        rises = all(a < b for a, b in pairwise(self.raw)) and all(a <= b for a, b in pairwise(self.true))
        inside = all(0 <= value <= 1 for value in (*self.raw, *self.true))
        if not self.raw or len(self.raw) != len(self.true) or not rises or not inside:
            raise DataError(f"expected increasing knots from 0 to 1, got {self.raw} and {self.true}; fit them anew")

    def __call__(self, score: float) -> float:
        """The calibrated score."""
        return float(np.interp(score, self.raw, self.true))

    def error(self, raw: ArrayLike, true: ArrayLike) -> float:
        """Root of the mean squared difference to the truth."""
        raw_N, true_N = _pairs(raw, true)
        return float(np.sqrt(np.mean((np.interp(raw_N, self.raw, self.true) - true_N) ** 2)))


def isotonic(raw: ArrayLike, true: ArrayLike) -> Calibration:
    """Fit by isotonic regression.

    Args:
        raw: scores of works, 0 to 1.
        true: what they were worth, 0 to 1.

    Raises:
        DataError: not two numbers from 0 to 1 for each of at least two works.

    Example:
        >>> isotonic([0.2, 0.4, 0.6, 0.8], [0.0, 0.5, 0.3, 1.0]).true
        (0.0, 0.4, 0.4, 1.0)
    """
    raw_N, true_N = _pairs(raw, true)
    raw_K, which_N, count_K = np.unique(raw_N, return_inverse=True, return_counts=True)
    mean_K = np.bincount(which_N, true_N) / count_K
    true_K = isotonic_regression(mean_K, weights=count_K.astype(float)).x
    return Calibration(tuple(raw_K.tolist()), tuple(np.clip(true_K, 0, 1).round(12).tolist()))


def linear(raw: ArrayLike, true: ArrayLike) -> Calibration:
    """Fit by a straight line, cut off at 0 and 1.

    Raises:
        DataError: as `isotonic`; all raw scores are alike, or the line falls.
    """
    raw_N, true_N = _pairs(raw, true)
    if np.ptp(raw_N) == 0:
        raise DataError(f"all {len(raw_N)} raw scores are {raw_N[0]:g}, no line goes through them; use other works")
    slope, base = np.polyfit(raw_N, true_N, 1)
    if slope < 0:
        raise DataError(f"the grader ranks these works upside down (slope {slope:.2f}); use another grader or rubric")
    bends = [(level - base) / slope for level in (0, 1)] if slope > 0 else []
    raw_K = np.unique([0.0, 1.0, *(bend for bend in bends if 0 < bend < 1)])
    return Calibration(tuple(raw_K.tolist()), tuple(np.clip(base + slope * raw_K, 0, 1).tolist()))


def _pairs(raw: ArrayLike, true: ArrayLike) -> tuple[Floats, Floats]:
    raw_N, true_N = np.asarray(raw, float), np.asarray(true, float)
    whole = raw_N.ndim == 1 and raw_N.shape == true_N.shape and len(raw_N) >= 2
    if not whole or not all(np.all((one >= 0) & (one <= 1)) for one in (raw_N, true_N)):
        raise DataError(
            f"calibration needs two numbers from 0 to 1 for each of two works or more, got {raw_N} and {true_N}"
        )
    return raw_N, true_N
