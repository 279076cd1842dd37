import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from manyeyes.recipes.reproduce.verdict import Dip, dip, dip_outcome, interval, not_hurt, ordering, paired

scores = st.lists(st.integers(0, 400).map(lambda right: right / 4), min_size=3, max_size=5)


@given(scores)
def test_the_interval_is_students(values: list[float]) -> None:
    found = interval(values)
    if max(values) > min(values):
        low, high = ttest_1samp(values, 0.0).confidence_interval(0.95)
        np.testing.assert_allclose((found.low, found.high), (low, high), rtol=1e-9, atol=1e-9)
    else:
        assert found.low == found.high == pytest.approx(values[0])


def test_seeds_that_shift_all_arms_alike_do_not_blur_the_difference() -> None:
    found = paired([10.0, 50.0, 90.0], [9.0, 49.0, 89.0])
    assert found.mean == 1.0 and found.low == pytest.approx(1.0) and found.leaves_out_zero


@pytest.mark.parametrize(
    ("early", "mid", "late", "outcome"),
    [
        ([60, 61, 62], [55, 56, 57.5], [50, 51, 52], "shown"),
        ([60, 50, 62], [58, 52, 58], [57, 53, 56], "consistent, within noise"),
        ([50, 51, 52], [55, 56, 57], [60, 61, 62], "not shown"),
        ([60, 61, 62], [50, 51, 52], [55, 56, 57], "not shown"),
        ([60], [55], [50], "one seed only"),
    ],
)
def test_ordering(early, mid, late, outcome) -> None:
    assert ordering(early, mid, late).outcome == outcome


def test_equal_arms_show_nothing() -> None:
    assert ordering([50, 51, 52], [50, 51, 52], [50, 51, 52]).outcome == "not shown"


def test_text_is_hurt_only_beyond_noise() -> None:
    assert not_hurt([50, 51, 52], [60, 61, 62.5]) == "not shown"
    assert not_hurt([50, 61, 55], [52, 58, 56]) == "consistent, within noise"
    assert not_hurt([50], [60]) == "one seed only"


def losses(*, rise: float, fall: float = 0.01, steps: int = 20, at: int = 10) -> list[float]:
    """A loss that falls evenly, jumps by `rise` at probe `at`, and comes back within four probes."""
    jump = [rise * max(0.0, 1 - (i - at) / 4) if i >= at else 0.0 for i in range(steps)]
    return [4.0 - fall * i + up for i, up in enumerate(jump)]


def test_a_dip_and_its_recovery_are_measured() -> None:
    vision = [0.0] * 10 + [100.0 * i for i in range(1, 11)]
    found = dip(losses(rise=0.5), losses(rise=0.0), vision)
    assert found is not None
    assert found.before == pytest.approx(4.0 - 0.09)
    assert found.rise == pytest.approx(0.5 - 0.01)
    assert found.gap_before == pytest.approx(0) and found.gap_worst == pytest.approx(0.5)
    assert found.relative_rise == pytest.approx(0.5) and found.gap_end == pytest.approx(0)
    assert found.control == pytest.approx(-0.01)
    assert found.recovered


def test_no_dip_is_read_where_vision_was_always_there_or_never_came() -> None:
    curve = losses(rise=0.0)
    assert dip(curve, curve, [1.0] * 20) is None
    assert dip(curve, curve, [0.0] * 20) is None


def test_a_rise_after_the_window_does_not_count() -> None:
    late_rise = losses(rise=0.5, at=17)
    found = dip(late_rise, losses(rise=0.0), [0.0] * 10 + [1.0] * 10, window=0.2)
    assert found is not None and found.rise < 0


def test_dip_outcomes() -> None:
    def seeds(*rises: float, end: float = 3.8, control: float = -0.01) -> list[Dip]:
        return [Dip(4.0, 4.0 + rise, end, 0.0, rise, 0.0, control) for rise in rises]

    assert dip_outcome(seeds(0.3, 0.31, 0.29)) == "shown"
    assert dip_outcome(seeds(0.3, 0.01, -0.1)) == "consistent, within noise"
    assert dip_outcome(seeds(-0.3, -0.2, -0.25)) == "not shown"
    assert dip_outcome(seeds(0.3, 0.31, 0.29, end=4.2)) == "not shown"
    assert dip_outcome(seeds(0.3, 0.31, 0.29, control=0.3)) != "shown"
    assert dip_outcome(seeds(0.3)) == "one seed only"


def test_one_seed_has_an_interval_without_bounds() -> None:
    assert interval([3.0]).low == -math.inf
