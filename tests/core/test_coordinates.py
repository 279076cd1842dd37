import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.coordinates import (
    read_boxes,
    read_points,
    read_polygons,
    to_fractions,
    to_pixels,
    write_box,
    write_point,
    write_polygon,
)

fractions = st.integers(0, 1000).map(lambda value: value / 1000)
points = st.tuples(fractions, fractions)
intervals = st.lists(fractions, min_size=2, max_size=2, unique=True).map(sorted)
boxes = st.tuples(intervals, intervals).map(lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1]))
words = st.sampled_from(["", "here: ", "the cat (left) and [the dog] at ", "1. ", "\n- "])


@given(st.lists(st.tuples(words, boxes)))
def test_boxes_come_back(written):
    shapes = read_boxes(", ".join(word + write_box(box) for word, box in written))
    assert shapes.found.tolist() == [list(box) for _, box in written] and shapes.invalid == 0


@given(st.lists(st.tuples(words, points)))
def test_points_come_back(written):
    shapes = read_points(", ".join(word + write_point(point) for word, point in written))
    assert shapes.found.tolist() == [list(point) for _, point in written] and shapes.invalid == 0


@given(st.lists(st.tuples(words, st.lists(points, min_size=3, max_size=8))))
def test_polygons_come_back(written):
    polygons = read_polygons(", ".join(word + write_polygon(shape) for word, shape in written))
    assert [shape.tolist() for shape in polygons.found] == [[list(point) for point in shape] for _, shape in written]
    assert polygons.invalid == 0


@pytest.mark.parametrize(
    ("text", "found", "invalid"),
    [
        ("[[0.1,.2,0.3,1],[0,0,1,1]]", [[0.1, 0.2, 0.3, 1], [0, 0, 1, 1]], 0),
        ("[ 0.1 , 0.2\n, 0.3 , 0.4 ]", [[0.1, 0.2, 0.3, 0.4]], 0),
        ("[0.1, 0.2, 0.3]", [], 0),
        ("[0.1, 0.2, 0.3, 0.4, 0.5]", [], 0),
        ("[10, 20, 300, 400]", [], 1),
        ("[-0.1, 0.2, 0.3, 0.4]", [], 1),
        ("[0.3, 0.2, 0.1, 0.4]", [], 1),
        ("[0.3, 0.2, 0.3, 0.4]", [], 1),
        ("(0.1, 0.2, 0.3, 0.4)", [], 0),
    ],
)
def test_box_formats(text, found, invalid):
    shapes = read_boxes(text)
    assert shapes.found.tolist() == found and shapes.invalid == invalid


def test_polygon_formats():
    assert read_polygons("[(0, 0), (1, 0)]") == ((), 0)
    assert read_polygons("[(0, 0), (1, 0), (2, 2)]") == ((), 1)
    assert read_polygons("[(0, 0), (1, 0), (1, x)]") == ((), 1)
    assert len(read_polygons("[[(0, 0), (1, 0), (1, 1)], [(0, 0), (1, 0), (0, 1)]]").found) == 2
    assert read_points("[(0, 0), (1, 0), (2, 2)]").invalid == 1


@given(st.text("[](),.0123456789- x", max_size=200))
def test_any_text_can_be_read(text):
    assert ((0 <= read_boxes(text).found) & (read_boxes(text).found <= 1)).all()
    assert read_points(text).found.shape[1] == 2
    assert all(len(polygon) >= 3 for polygon in read_polygons(text).found)


@pytest.mark.parametrize(
    "hostile",
    [lambda n: "[" * n, lambda n: "(1" + "1" * n, lambda n: "[" + "(0.1, 0.1), " * n, lambda n: "[0.1," * n],
    ids=["brackets", "digits", "points", "numbers"],
)
def test_hostile_texts_are_read_in_time_that_grows_with_their_length(hostile):
    """Eight times the text takes eight times the work; backtracking would take 64 times or more."""
    short, long = (min(reading_seconds(hostile(n)) for _ in range(3)) for n in (6_250, 50_000))
    assert long < 24 * short + 0.02


def reading_seconds(text):
    """Seconds of this process, which other programs do not lengthen as they do the clock on the wall."""
    start = time.process_time()
    assert len(read_boxes(text).found) == 0 and len(read_polygons(text).found) == 0
    read_points(text)
    return time.process_time() - start


@given(st.lists(boxes), st.integers(1, 4000), st.integers(1, 4000))
def test_pixels_and_fractions_are_inverse(shapes, width, height):
    array = np.reshape(shapes, (-1, 4))
    pixels = to_pixels(array, width=width, height=height)
    assert np.allclose(to_fractions(pixels, width=width, height=height), array)
    assert (pixels <= [width, height, width, height]).all()
