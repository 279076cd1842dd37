"""Sums of sums are sums, whatever the order and the split."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.rl.exact_sum import UNIT, exact_sum


@given(values=st.lists(st.floats(-5e8, 5e8), max_size=40), cut=st.integers(0, 40))
def test_order_and_split_change_nothing(values: list[float], cut: int) -> None:
    array = np.array(values, np.float64)
    whole = exact_sum(array)
    assert whole == exact_sum(array[::-1]) == exact_sum(array[:cut]) + exact_sum(array[cut:])
    assert abs(whole / UNIT - math.fsum(values)) <= 1e-14 * len(values) + 1e-15 * abs(whole / UNIT)


def test_many_large_terms_do_not_overflow() -> None:
    assert exact_sum(np.full(50_001, 4.5e8 + 0.75)) / UNIT == 50_001 * (4.5e8 + 0.75)
