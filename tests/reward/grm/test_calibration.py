import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from manyeyes.core.errors import DataError
from manyeyes.reward.grm.calibrate import calibrated
from manyeyes.reward.grm.calibration import Calibration, isotonic, linear
from manyeyes.reward.grm.config import GrmConfig
from manyeyes.reward.grm.fakes import RuleGrader
from manyeyes.reward.grm.generative_reward import GenerativeReward
from manyeyes.reward.grm.question import Work

shares = st.integers(0, 20).map(lambda value: value / 20)
sets = st.lists(st.tuples(shares, shares), min_size=2, max_size=30)


@given(sets)
def test_isotonic_is_that_of_scikit_learn(pairs):
    raw, true = map(np.array, zip(*pairs, strict=True))
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(raw, true)
    found = isotonic(raw, true)
    grid = np.unique(raw)
    assert np.allclose([found(value) for value in grid], theirs.predict(grid), atol=1e-9)


@given(sets)
def test_calibration_never_turns_an_order_around_nor_leaves_the_range(pairs):
    raw, true = zip(*pairs, strict=True)
    found = isotonic(raw, true)
    values = [found(value / 50) for value in range(51)]
    assert values == sorted(values) and 0 <= values[0] and values[-1] <= 1
    ranked = isotonic(raw, np.sort(true)[np.argsort(np.argsort(raw, kind="stable"), kind="stable")])
    assert ranked.error(raw, true) >= found.error(raw, true) - 1e-9  # nothing that rises fits better


def test_a_known_line_is_found_and_cut_off():
    raw = np.linspace(0, 1, 9)
    found = linear(raw, np.clip(0.2 + 0.5 * raw, 0, 1))
    assert np.allclose([found(value) for value in raw], 0.2 + 0.5 * raw)
    steep = linear([0.4, 0.6], [0.0, 1.0])
    assert [steep(value) for value in (0.1, 0.4, 0.5, 0.6, 0.9)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert linear([0.2, 0.9], [0.5, 0.5])(0.7) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("raw", "true"),
    [([0.5], [0.5]), ([], []), ([0.1, 0.2], [0.1]), ([0.1, float("nan")], [0, 1]), ([0, 2], [0, 1]), ([0, 1], [0, -1])],
)
def test_a_set_that_is_none_is_refused(raw, true):
    for fit in (isotonic, linear):
        with pytest.raises(DataError, match="two numbers from 0 to 1"):
            fit(raw, true)


def test_a_grader_that_ranks_upside_down_has_no_line():
    with pytest.raises(DataError, match="upside down"):
        linear([0.1, 0.5, 0.9], [1.0, 0.5, 0.0])
    with pytest.raises(DataError, match="no line"):
        linear([0.5, 0.5], [0.0, 1.0])
    for knots in (((), ()), ((0.5, 0.5), (0, 1)), ((0, 1), (1, 0)), ((0, 1), (0, 2)), ((0, 1), (0, float("nan")))):
        with pytest.raises(DataError, match="knots"):
            Calibration(*knots)


def test_a_grader_that_is_too_kind_is_set_right_on_works_it_has_not_seen():
    def kind(criterion, work):
        return min(1.0, work.count("*") / 10) ** 0.25

    works = [Work.of("chat", "?", "*" * (n % 11), verified=0.0) for n in range(66)]
    worth = [(n % 11) / 10 for n in range(66)]
    grader = RuleGrader(kind, reply=lambda number: "hm" if number < 4 else None)
    grm = GenerativeReward({"g": grader}, GrmConfig(drawn=1, attempts=1))
    found = asyncio.run(calibrated(grm, works, worth))
    assert found.missing >= 1 and found.works + found.missing == 66
    assert found.before > 0.25 and found.after < found.before / 2
    with pytest.raises(DataError, match="10 works"):
        asyncio.run(calibrated(grm, works[:9], worth[:9]))
