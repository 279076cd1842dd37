"""Sums that do not depend on their order: whole numbers of a fixed unit, so sums of sums are sums.

Floats added in another order give other last bits; what several micro-batches, ranks or days measured would then depend
on how it was split. Each term is rounded once, to a multiple of 2^-50 (9e-16), and everything after that is exact.

Report: none.
"""

import numpy as np
from numpy.typing import NDArray

UNIT = 2**50
"""A sum of `UNIT` is 1."""
_TERMS = 4096
"""At once: so many fractions, each below `UNIT`, stay below 2^63."""


def exact_sum(values_N: NDArray[np.float64]) -> int:
    """Their sum in units of 2^-50. Finite values, each below 2^50.

    Example:
        >>> exact_sum(np.array([0.5, -3.25])) / UNIT
        -2.75
    """
    return sum(_sum(values_N[start : start + _TERMS]) for start in range(0, len(values_N), _TERMS))


def _sum(values_N: NDArray[np.float64]) -> int:
    whole_N = np.trunc(values_N)
    parts_N = np.rint((values_N - whole_N) * UNIT)
    return int(whole_N.astype(np.int64).sum()) * UNIT + int(parts_N.astype(np.int64).sum())
