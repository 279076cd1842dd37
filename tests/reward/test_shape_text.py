import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.coordinates import read_boxes, read_points, write_box, write_point
from manyeyes.reward.shape_text import MOST_SHAPES, written_boxes, written_points
from manyeyes.reward.vision import grounding_reward, pointing_reward, segmentation_reward

fields = st.sampled_from(
    ["0", "0.5", "1", ".25", "1.", "-0.1", "0.123456", "10", "999", "٣", "", " 0.75 ", "-0", "0..5", "a", "1-2"]
)
texts = st.lists(
    st.one_of(
        st.text("[](), .019-", max_size=12),
        st.lists(fields, min_size=3, max_size=5).map(lambda found: f"[{','.join(found)}]"),
        st.lists(fields, min_size=1, max_size=3).map(lambda found: f"({', '.join(found)})"),
    ),
    max_size=5,
).map(" and ".join)


@given(texts)
def test_shapes_are_read_as_core_reads_them(text):
    for ours, theirs in ((written_boxes(text), read_boxes(text)), (written_points(text), read_points(text))):
        assert np.array_equal(np.reshape(ours.shapes, theirs.found.shape), theirs.found)
        assert ours.invalid == theirs.invalid


@pytest.mark.parametrize("number", ["nan", "NaN", "inf", "-inf", "Infinity", "1e-3", "+0.5", "1_0"])
def test_numbers_that_the_format_does_not_know_are_wrong_predictions(number):
    assert written_boxes(f"[{number}, 0.1, 0.9, 0.9]") == ([], 1)
    assert written_points(f"({number}, 0.1)") == ([], 1)
    assert grounding_reward(f"[{number}, 0, 1, 1]", []) == pointing_reward(f"({number}, 0)", []) == 0


@pytest.mark.parametrize("box", ["[0.1, 0.1, 0.1, 0.5]", "[0.1, 0.5, 0.2, 0.5]", "[0.5, 0.1, 0.2, 0.5]"])
def test_a_box_without_area_is_a_wrong_prediction(box):
    assert written_boxes(box) == ([], 1) and read_boxes(box).invalid == 1
    assert grounding_reward(box, []) == 0


@pytest.mark.parametrize("words", ["[left, top, right, bottom]", "(first, second)", "[1, 2, 3]", "0.1, 0.2, 0.3, 0.4"])
def test_words_and_other_lists_are_no_shapes(words):
    assert written_boxes(words) == written_points(words) == ([], 0)
    assert grounding_reward(words, []) == 1 and grounding_reward(words, [(0, 0, 1, 1)]) == 0


def test_a_hundred_thousand_boxes_cost_what_a_thousand_do():
    true = [(0.1, 0.1, 0.3, 0.3), (0.5, 0.5, 0.9, 0.9)]
    many = " ".join(write_box((x / 400, y / 400, 1, 1)) for x in range(390) for y in range(256))
    written = written_boxes(many)
    assert len(written.shapes) == MOST_SHAPES and len(written.shapes) + written.invalid == 390 * 256
    began = time.process_time()
    assert 0 < grounding_reward(many, true) < 0.001
    assert grounding_reward(" ".join(map(write_box, true)) + many, true) == pytest.approx(4 / (4 + 390 * 256), rel=1e-6)
    points = " ".join([write_point((0.2, 0.2))] * 100_000)
    assert pointing_reward(points, [(0.2, 0.2)]) == pytest.approx(2 / 100_001)
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[0.1," * 50_000, "(" + " " * 100_000, "[(0,0)," * 30_000, "1" * 100_000]
)
def test_hostile_texts_are_read_in_linear_time(text):
    began = time.process_time()
    assert written_boxes(text).shapes == [] and segmentation_reward(text, [], size=(10, 10)) == 1
    written_points(text)
    assert time.process_time() - began < 10
