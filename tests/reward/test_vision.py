import itertools
import math
import time
import unicodedata

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from rapidfuzz.distance import Levenshtein

from manyeyes.core.coordinates import write_box, write_point, write_polygon
from manyeyes.reward.answers import exact_match, normalise_answer, read_count, vqa_accuracy
from manyeyes.reward.overlap import (
    box_iou,
    contours_rle,
    mask_iou,
    polygon_iou,
    rasterise,
    read_rle,
    rle_iou,
    write_rle,
)
from manyeyes.reward.vision import (
    best_matching,
    counting_reward,
    grounding_f1,
    grounding_reward,
    ocr_reward,
    point_similarity,
    pointing_reward,
    segmentation_reward,
    soft_f1,
)

fractions = st.integers(0, 1000).map(lambda value: value / 1000)
intervals = st.lists(fractions, min_size=2, max_size=2, unique=True).map(sorted)
boxes = st.tuples(intervals, intervals).map(lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1]))
box_lists = st.lists(boxes, max_size=5)
points = st.lists(st.tuples(fractions, fractions), max_size=5)
masks = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).random((7, 9)) < 0.4)


def text_of(shapes, write):
    return "Answer: " + ", ".join(map(write, shapes))


def star(seed, corners=7):
    """A simple polygon around the middle: corners at growing angles."""
    draw = np.random.default_rng(seed)
    angles = np.sort(draw.random(corners)) * 2 * np.pi
    radii = 0.1 + 0.35 * draw.random(corners)
    return np.stack([0.5 + radii * np.cos(angles), 0.5 + radii * np.sin(angles)], axis=1)


# Answers in words


@pytest.mark.parametrize(
    ("answer", "truth", "same"),
    [
        ("The red cube.", "red cube", True),
        ("YES!", "yes", True),
        ("two", "2", True),
        ("1,200", "1200", True),
        ("2.5", "25", False),
        ("ｒｅｄ", "red", True),
        ("it's", "its", True),
        ("red", "blue", False),
        ("none", "0", True),
        ("10.", "10", True),
        ("", "red", False),
    ],
)
def test_normalised_answers(answer, truth, same):
    assert exact_match(answer, truth) == exact_match(truth, answer) == float(same)


@given(st.text())
def test_normalisation_is_a_projection(text):
    assert exact_match(text, text) == 1.0
    assert normalise_answer(normalise_answer(text)) == normalise_answer(text)


def test_several_truths_and_annotators():
    assert exact_match("cat", ["dog", "a cat"]) == 1.0 and exact_match("cat", []) == 0.0
    for agreeing in range(11):
        annotators = ["Cat"] * agreeing + ["dog"] * (10 - agreeing)
        folds = [min(1, sum(a == "Cat" for a in fold) / 3) for fold in itertools.combinations(annotators, 9)]
        assert math.isclose(vqa_accuracy("cat", annotators), sum(folds) / 10)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("7", 7), ("There are 12 birds.", 12), ("3 of them, so five", 5), ("zero", 0), ("None", 0), ("1,200", 1200),
        ("twenty", 20),
        ("2.5", None), ("", None), ("many", None), ("a7", None), ("9" * 5000, None), ("4 cats.", 4), ("٣", 3),
        ("-3", None), ("it is -35", None), ("2-3", 3), ("−3", None),
    ],
)  # fmt: skip
def test_counts_are_read(text, count):
    assert read_count(text) == count


@given(st.text())
def test_any_text_can_be_read_for_a_count(text):
    count = read_count(text)
    assert count is None or 0 <= count < 10**9


# Boxes


def restated_iou(a, b):
    """Counting cells of a 1000 x 1000 raster, along each side."""

    def cells(box, axis):
        return set(range(round(box[axis] * 1000), round(box[axis + 2] * 1000)))

    shared = len(cells(a, 0) & cells(b, 0)) * len(cells(a, 1) & cells(b, 1))
    return shared / (sum(len(cells(box, 0)) * len(cells(box, 1)) for box in (a, b)) - shared)


@given(boxes, boxes)
def test_box_iou_counts_cells(a, b):
    (iou,) = box_iou([a], [b])[0]
    assert math.isclose(iou, restated_iou(a, b), abs_tol=1e-9)


@given(box_lists, box_lists)
def test_box_iou_equals_coco(a, b):
    ours = box_iou(a, b)
    assert ours.shape == (len(a), len(b))
    if a and b:
        wide = [[[x, y, right - x, bottom - y] for x, y, right, bottom in shapes] for shapes in (a, b)]
        assert np.allclose(ours, coco.iou(*map(np.array, wide), [0] * len(b)))


@given(box_lists, box_lists, st.randoms(use_true_random=False))
def test_grounding_laws(predicted, true, random):
    score = grounding_reward(text_of(predicted, write_box), true)
    assert 0 <= score <= 1 + 1e-12
    assert math.isclose(score, grounding_reward(text_of(true, write_box), predicted))
    shuffled = random.sample(predicted, len(predicted))
    assert math.isclose(score, grounding_reward(text_of(shuffled, write_box), true))
    if score > 1 - 1e-12:
        assert sorted(predicted) == sorted(true)
    assert math.isclose(grounding_reward(text_of(true, write_box), true), 1)


@given(st.lists(boxes, min_size=1, max_size=4))
def test_duplicates_and_impossible_boxes_cost_precision(true):
    n = len(true)
    assert math.isclose(grounding_reward(text_of(true * 2, write_box), true), 2 * n / (3 * n))
    pixels = text_of(true, write_box) + " [10, 20, 300, 400]"
    assert math.isclose(grounding_reward(pixels, true), 2 * n / (2 * n + 1))
    assert grounding_reward("[10, 20, 300, 400]", []) == 0
    assert grounding_reward("nothing there", []) == 1 and grounding_reward("nothing there", true) == 0


def test_hard_f1_counts_pairs_that_reach_the_threshold():
    true = [(0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 0.9, 0.9)]
    close = "[0.0, 0.0, 0.4, 0.3] [0.5, 0.5, 0.6, 0.6]"  # IoU 0.75 and 0.0625
    assert grounding_f1(close, true) == 0.5
    assert grounding_f1(close, true, threshold=0.8) == 0
    assert grounding_f1(close, true, threshold=0.05) == 1
    # The best sum of IoU would pair A-A' (0.9) and leave B without a partner; the most hits pair both.
    similarity = np.array([[0.9, 0.6], [0.6, 0.0]])
    assert soft_f1((similarity >= 0.5).astype(float)) == 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5))
def test_the_matching_is_the_best_of_all(seed, n_predicted, n_true):
    similarity = np.random.default_rng(seed).random((n_predicted, n_true))
    if n_predicted > n_true:
        similarity = similarity.T
    rows, columns = similarity.shape
    best = max(sum(similarity[range(rows), order]) for order in itertools.permutations(range(columns), rows))
    assert math.isclose(sum(match.score for match in best_matching(similarity)), best)
    assert math.isclose(soft_f1(similarity), 2 * best / (rows + columns))


# Points


@given(points, points)
def test_pointing_laws(predicted, true):
    score = pointing_reward(text_of(predicted, write_point), true)
    assert 0 <= score <= 1 + 1e-12
    assert math.isclose(score, pointing_reward(text_of(true, write_point), predicted), abs_tol=1e-12)
    assert math.isclose(pointing_reward(text_of(true, write_point), true), 1)


def test_a_point_one_sigma_away_is_worth_its_gaussian():
    diagonal = math.hypot(300, 400)
    score = pointing_reward("(0.5, 0.5)", [(0.5 + 0.05 * diagonal / 300, 0.5)], size=(300, 400))
    assert math.isclose(score, math.exp(-0.5), rel_tol=1e-9)
    tall = point_similarity([(0, 0)], [(0, 0.1)], size=(100, 400), sigma=0.1)
    wide = point_similarity([(0, 0)], [(0.1, 0)], size=(100, 400), sigma=0.1)
    assert math.isclose(tall[0, 0], math.exp(-(40**2) / (100**2 + 400**2) / 0.02)) and wide[0, 0] > tall[0, 0]


# Polygons and masks


def even_odd(points_K2, width, height):
    """Which pixel centres lie inside, edge by edge."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = np.zeros((height, width), bool)
    scaled = np.asarray(points_K2) * [width, height]
    for (x0, y0), (x1, y1) in zip(scaled, np.roll(scaled, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


@given(st.integers(0, 10_000), st.integers(3, 9))
@settings(max_examples=25, deadline=None)
def test_rasterised_polygons_are_even_odd_and_have_their_area(seed, corners):
    polygon = star(seed, corners)
    mask = rasterise([polygon], width=400, height=300)
    assert mask.shape == (300, 400)
    border = shapely.Polygon(polygon * [400, 300]).length
    assert np.count_nonzero(mask ^ even_odd(polygon, 400, 300)) <= border + 8  # they differ along the border only
    bow = np.array([(0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)])
    assert mask_iou(rasterise([bow], width=400, height=300), even_odd(bow, 400, 300)) > 0.98


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_raster_iou_approaches_the_exact_one(seed, other):
    one, two = star(seed), star(other)
    assume(all(shapely.Polygon(star).is_valid and shapely.Polygon(star).area > 0.02 for star in (one, two)))
    exact = shapely.Polygon(one).intersection(shapely.Polygon(two)).area
    exact /= shapely.Polygon(one).union(shapely.Polygon(two)).area
    assert math.isclose(polygon_iou(one, two), exact, abs_tol=1e-9)
    written = text_of([one], write_polygon)
    assert math.isclose(segmentation_reward(written, [two], size=(800, 800)), exact, abs_tol=0.03)


@given(st.lists(st.tuples(fractions, fractions), min_size=3, max_size=8))
@settings(max_examples=50)
def test_self_crossing_polygons_follow_the_even_odd_rule(crossing):
    mask = rasterise([crossing], width=400, height=400)
    assert np.mean(mask ^ even_odd(crossing, 400, 400)) < 0.03


def test_segmentation_edges():
    square = [(0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)]
    text = write_polygon(square)
    assert segmentation_reward(text, [square], size=(100, 80)) == 1
    assert segmentation_reward("no polygon", [square], size=(100, 80)) == 0
    assert segmentation_reward("no polygon", [], size=(100, 80)) == 1
    assert segmentation_reward(text, [], size=(100, 80)) == 0
    assert segmentation_reward(text + " [(5, 5), (6, 6), (7, 7)]", [square], size=(100, 80)) == 0
    halves = [[(0.2, 0.2), (0.4, 0.2), (0.4, 0.6), (0.2, 0.6)], [(0.4, 0.2), (0.6, 0.2), (0.6, 0.6), (0.4, 0.6)]]
    assert segmentation_reward(text_of(halves, write_polygon), [square], size=(100, 80)) == 1
    assert polygon_iou(square, square) == 1
    for not_simple in ([(0, 0), (1, 1), (1, 0), (0, 1)], [(0, 0), (1, 1), (0, 0)]):
        with pytest.raises(ValueError, match="expected simple polygons"):
            polygon_iou(not_simple, square)
    with pytest.raises(ValueError, match="three points"):
        contours_rle([square[:2]], width=5, height=5)


@given(masks, masks)
def test_masks_and_their_codes_agree_with_coco(one, two):
    codes = [write_rle(mask) for mask in (one, two)]
    assert all(np.array_equal(read_rle(code), mask) for code, mask in zip(codes, (one, two), strict=True))
    theirs = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in (one, two)]
    assert [code["counts"] for code in codes] == [code["counts"].decode() for code in theirs]
    assert math.isclose(mask_iou(one, two), rle_iou(*codes))
    cells = [set(map(tuple, np.argwhere(mask).tolist())) for mask in (one, two)]
    assert math.isclose(mask_iou(one, two), len(cells[0] & cells[1]) / len(cells[0] | cells[1]))


def test_contours_are_coco_codes():
    polygon = star(3)
    outline = (polygon * [64, 48]).ravel().tolist()
    theirs = coco.merge(coco.frPyObjects([outline], 48, 64))
    ours = contours_rle([polygon], width=64, height=48)
    assert ours["counts"] == theirs["counts"].decode() and ours["size"] == [48, 64]
    empty = contours_rle([], width=64, height=48)
    assert not read_rle(empty).any() and rle_iou(empty, empty) == 1 and rle_iou(empty, ours) == 0
    nothing = np.zeros((3, 3), bool)
    assert mask_iou(nothing, nothing) == 1 and mask_iou(nothing, ~nothing) == 0
    with pytest.raises(ValueError, match="one size"):
        mask_iou(nothing, np.zeros((3, 4), bool))


# Text and numbers


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]


@given(st.text("abc 12", max_size=12), st.text("abc 12", max_size=12))
def test_ocr_reward_is_one_minus_normalised_edit_distance(answer, truth):
    a, b = (" ".join(text.split()) for text in (answer, truth))
    expected = 1 - edit_distance(a, b) / max(len(a), len(b)) if a or b else 1.0
    assert math.isclose(ocr_reward(answer, truth), expected, abs_tol=1e-9)
    assert math.isclose(ocr_reward(answer, truth), ocr_reward(truth, answer))
    assert (ocr_reward(answer, truth) == 1) == (a == b)


@given(st.text(max_size=20))
def test_ocr_reward_forgives_unicode_form_and_blanks_only(text):
    assert ocr_reward(unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text)) == 1
    assert ocr_reward(f"  {text}\n", text) == 1
    assert ocr_reward("ABC", "abc") == 0


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_counting_reward_falls_with_the_difference(count, truth):
    score = counting_reward(count, truth)
    assert score == counting_reward(f"I count {count}.", truth)
    assert 0 <= score <= 1 and (score == 1) == (count == truth)
    assert math.isclose(score, max(0, 1 - abs(count - truth) / max(truth, 1)))
    assert counting_reward("no idea", truth) == 0


def test_hostile_polygons_and_texts_are_bounded_in_time_and_memory():
    square = [(0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)]
    zigzag = write_polygon([(at % 2, (at % 97) / 100) for at in range(15_000)])
    crowd = " ".join([write_polygon(square)] * 6000)
    began = time.process_time()
    assert segmentation_reward(zigzag, [square], size=(1920, 1080)) == 0
    assert segmentation_reward(crowd, [square], size=(1920, 1080)) == 0
    comb = [(0.2, 0.2), (0.6, 0.2), (0.6, 0.6)] + [(0.6 - at / 1000, 0.6 - (at % 2) / 100) for at in range(390)]
    assert segmentation_reward(write_polygon([*comb, (0.2, 0.6)]), [square], size=(1920, 1080)) > 0.9
    assert ocr_reward("z" * 10**6, "a short text") == 0
    assert ocr_reward("a short text" + " and more" * 10**5, "a short text") == pytest.approx(12 / 900_012)
    assert time.process_time() - began < 20


@given(st.text("ab ", max_size=300), st.text("ab ", min_size=1, max_size=6))
def test_long_answers_are_never_worth_more_than_their_edit_distance(answer, truth):
    long = answer * 20
    said, true = " ".join(long.split()), " ".join(truth.split())
    exact = 1 - Levenshtein.distance(said, true) / max(len(said), len(true)) if said or true else 1.0
    assert ocr_reward(long, truth) <= exact + 1e-12
    if len(said) <= 1000:
        assert math.isclose(ocr_reward(long, truth), exact)


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(3, 8)), max_size=3),
    st.lists(st.integers(0, 10_000), max_size=2),
)
@settings(max_examples=40, deadline=None)
def test_the_segmentation_reward_is_that_of_coco(said, true):
    polygons = [star(seed, corners).round(3) for seed, corners in said], [star(seed).round(3) for seed in true]
    reward = segmentation_reward(text_of(polygons[0], write_polygon), polygons[1], size=(96, 64))
    codes = [
        coco.merge(coco.frPyObjects([(points * [96, 64]).ravel().tolist() for points in shapes], 64, 96))
        if shapes
        else None
        for shapes in polygons
    ]
    if None in codes:
        assert reward == float(codes == [None, None])
    else:
        assert math.isclose(reward, coco.iou([codes[0]], [codes[1]], [0])[0, 0])
