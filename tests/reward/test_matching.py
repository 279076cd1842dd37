import itertools
import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco
from scipy.optimize import linear_sum_assignment

from manyeyes.core.coordinates import write_box, write_point
from manyeyes.reward import vision
from manyeyes.reward.matching import best_sum, f1, soft_f1
from manyeyes.reward.vision import grounding_reward, grounding_rewards, matched_iou, pointing_reward, pointing_rewards

levels = st.sampled_from([0.0, 0.0, 0.25, 0.5, 0.5, 0.9, 1.0])  # ties and zeros on purpose
tables = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: st.lists(st.lists(levels, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0])
)
thousandths = st.integers(0, 1000).map(lambda value: value / 1000)
sides = st.lists(thousandths, min_size=2, max_size=2, unique=True).map(sorted)
boxes = st.tuples(sides, sides).map(lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1]))
points = st.lists(st.tuples(thousandths, thousandths), max_size=6)


@given(tables)
def test_the_best_sum_is_that_of_scipy(table):
    rows, columns = linear_sum_assignment(np.array(table), maximize=True)
    assert math.isclose(best_sum(table), np.array(table)[rows, columns].sum(), abs_tol=1e-12)
    assert math.isclose(f1(best_sum(table), len(table), len(table[0])), soft_f1(np.array(table)), abs_tol=1e-12)


def iou_of_shapely(one, other):
    a, b = shapely.box(*one), shapely.box(*other)
    return a.intersection(b).area / a.union(b).area


def best_of_all(similarity):
    """By trying every matching; needs no solver."""
    table = similarity if similarity.shape[0] <= similarity.shape[1] else similarity.T
    rows, columns = table.shape
    return max((table[range(rows), order].sum() for order in itertools.permutations(range(columns), rows)), default=0.0)


@given(st.lists(boxes, max_size=5), st.lists(boxes, max_size=5))
def test_the_grounding_reward_is_that_of_coco_and_shapely(said, true):
    score = grounding_reward(" ".join(map(write_box, said)), true)
    if not said and not true:
        assert score == 1
        return
    exact = np.array([[iou_of_shapely(a, b) for b in true] for a in said]).reshape(len(said), len(true))
    assert math.isclose(score, 2 * best_of_all(exact) / (len(said) + len(true)), abs_tol=1e-9)
    if said and true:
        wide = [np.array([[x, y, right - x, bottom - y] for x, y, right, bottom in one]) for one in (said, true)]
        theirs = coco.iou(*wide, [0] * len(true))
        rows, columns = linear_sum_assignment(theirs, maximize=True)
        assert math.isclose(score, 2 * theirs[rows, columns].sum() / (len(said) + len(true)), abs_tol=1e-9)


@given(points, points, st.tuples(st.integers(1, 2000), st.integers(1, 2000)))
def test_the_pointing_reward_is_its_formula_under_the_best_matching(said, true, size):
    score = pointing_reward(" ".join(map(write_point, said)), true, size=size, sigma=0.1)
    table = np.array(
        [[math.exp(-(math.dist(np.multiply(a, size), np.multiply(b, size)) / math.hypot(*size)) ** 2 / 0.02)
          for b in true] for a in said]
    ).reshape(len(said), len(true))  # fmt: skip
    expected = 2 * best_of_all(table) / (len(said) + len(true)) if said or true else 1
    assert math.isclose(score, expected, abs_tol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(0, 9))
def test_plain_python_and_arrays_agree(seed, n_said, n_true):
    draw = np.random.default_rng(seed)
    corner = draw.random((n_said + n_true, 2)) * 0.8
    shapes = np.concatenate([corner, corner + 0.01 + 0.18 * draw.random(corner.shape)], axis=1).round(3)
    text, true = " ".join(map(write_box, shapes[:n_said])), shapes[n_said:]
    dots = " ".join(map(write_point, corner[:n_said].round(3)))

    def all_rewards():
        return [grounding_reward(text, true), matched_iou(text, true), pointing_reward(dots, corner[n_said:].round(3))]

    small, vision.SMALL = vision.SMALL, -1
    try:
        arrays = all_rewards()
    finally:
        vision.SMALL = small
    assert np.allclose(all_rewards(), arrays, atol=1e-12)


def test_many_at_once_are_one_by_one():
    answers = ["[0.1, 0.1, 0.5, 0.5]", "none", "[0, 0, 1, 1] (0.2, 0.2)"]
    true = [np.array([[0.1, 0.1, 0.5, 0.5]]), [], [(0, 0, 0.5, 1)]]
    assert grounding_rewards(answers, true).tolist() == [1.0, 1.0, 0.5]
    assert pointing_rewards(answers, [[], [(0.1, 0.1)], [(0.2, 0.2)]]).tolist() == [1.0, 0.0, 1.0]
    assert grounding_rewards([], []).shape == (0,)
    with pytest.raises(ValueError):
        grounding_rewards(answers, true[:2])


@pytest.mark.parametrize("true", [[(0, 0, 1)], [(0, 0, 1, float("nan"))], [(0, 0, 1, float("inf"))]])
def test_a_broken_truth_is_an_error_and_no_reward(true):
    with pytest.raises(ValueError, match="finite"):
        grounding_reward("[0, 0, 1, 1]", true)
