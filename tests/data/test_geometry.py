import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import DataError
from manyeyes.data import geometry
from manyeyes.data.geometry import Size
from manyeyes.data.record import Box, Point, Polygon

sizes = st.builds(Size, st.integers(8, 200), st.integers(8, 200))


@st.composite
def chains(draw, *, exact: bool = False):
    """A size, and a chain of changes as a matrix with the size that it leads to."""
    start = size = draw(sizes)
    matrix = geometry.identity()
    for _ in range(draw(st.integers(0, 5))):
        change = draw(st.sampled_from(["flip", "turn", "crop", "scale"] + ([] if exact else ["tilt"])))
        if change == "flip":
            matrix = geometry.flip(size) @ matrix
        elif change == "turn":
            turn, size = geometry.quarter_turns(draw(st.integers(0, 7)), size)
            matrix = turn @ matrix
        elif change == "crop":
            left, top = draw(st.integers(0, size.width - 4)), draw(st.integers(0, size.height - 4))
            size = Size(draw(st.integers(4, size.width - left)), draw(st.integers(4, size.height - top)))
            matrix = geometry.translate(-left, -top) @ matrix
        elif change == "scale":
            old, size = size, Size(draw(st.integers(4, 300)), draw(st.integers(4, 300)))
            matrix = geometry.scale(size.width / old.width, size.height / old.height) @ matrix
        else:
            matrix = geometry.tilt(draw(st.floats(-20, 20)), size) @ matrix
    return start, matrix, size


@st.composite
def boxes(draw, size: Size):
    x0, y0 = draw(st.integers(0, size.width - 2)), draw(st.integers(0, size.height - 2))
    return Box(x0, y0, draw(st.integers(x0 + 1, size.width)), draw(st.integers(y0 + 1, size.height)))


@given(st.data())
def test_boxes_return_under_the_inverse(data):
    start, matrix, _ = data.draw(chains(exact=True))
    box = data.draw(boxes(start))
    back = geometry.move(geometry.move(box, matrix), np.linalg.inv(matrix))
    np.testing.assert_allclose(back, box, atol=1e-6)


@given(st.data())
def test_points_and_polygons_return_under_the_inverse(data):
    start, matrix, _ = data.draw(chains())
    corners = [Point(*data.draw(boxes(start))[:2]) for _ in range(3)]
    polygon = Polygon(tuple(corners))
    back = geometry.move(geometry.move(polygon, matrix), np.linalg.inv(matrix))
    np.testing.assert_allclose(np.array(back.points), np.array(corners), atol=1e-5)


@given(chains())
def test_only_tilts_lose_the_axes(chain):
    _, matrix, _ = chain
    angles = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])) % 90
    sheared = min(angles, 90 - angles) > 1e-4
    assert geometry.keeps_axes(matrix) != sheared or min(angles, 90 - angles) < 1e-3


@given(st.data())
def test_a_clipped_box_is_the_box_of_the_pixels_that_are_left(data):
    size = data.draw(sizes)
    x0, y0 = data.draw(st.integers(-50, 250)), data.draw(st.integers(-50, 250))
    box = Box(x0, y0, x0 + data.draw(st.integers(1, 99)), y0 + data.draw(st.integers(1, 99)))
    canvas = np.zeros((400, 400), bool)
    canvas[50 + y0 : 50 + int(box.y1), 50 + x0 : 50 + int(box.x1)] = True
    seen = canvas[50 : 50 + size.height, 50 : 50 + size.width]
    left = geometry.clip(box, size)
    if not seen.any():
        assert left is None
    else:
        rows, columns = np.nonzero(seen)
        assert left == Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_a_clipped_polygon_is_one_piece_or_nothing():
    size = Size(10, 10)
    triangle = Polygon((Point(-5, 2), Point(5, 2), Point(5, 8)))
    left = geometry.clip(triangle, size)
    assert isinstance(left, Polygon)
    assert all(0 <= x <= 10 and 0 <= y <= 10 for x, y in left.points)
    comb = Polygon(
        (Point(-5, 1), Point(5, 1), Point(5, 3), Point(-1, 3), Point(-1, 6), Point(5, 6), Point(5, 8), Point(-5, 8))
    )
    assert geometry.clip(comb, size) is None, "two teeth are no single contour"
    assert geometry.clip(Polygon((Point(-5, -5), Point(-1, -5), Point(-1, -1))), size) is None


SQUARE = Size(100, 100)


@pytest.mark.parametrize(
    ("word", "matrix", "expected"),
    [
        ("left", geometry.flip(SQUARE), "right"),
        ("top", geometry.flip(SQUARE), "top"),
        ("Top left", geometry.flip(SQUARE), "Top right"),
        ("upper-left", geometry.quarter_turns(2, SQUARE)[0], "lower-right"),
        ("left", geometry.quarter_turns(1, SQUARE)[0], "bottom"),
        ("up", geometry.quarter_turns(1, SQUARE)[0], "left"),
        ("top left", geometry.quarter_turns(1, SQUARE)[0], "bottom left"),
        ("above", geometry.flip(SQUARE), "above"),
        ("right", geometry.tilt(8, SQUARE), "right"),
    ],
)
def test_words_for_directions_turn_with_the_picture(word, matrix, expected):
    assert geometry.orient(word, matrix) == expected


@given(
    st.sampled_from(["left", "right", "top", "bottom", "top left", "bottom right"]), st.integers(0, 3), st.booleans()
)
def test_a_word_names_the_place_where_its_point_goes(word, turns, mirrored):
    places = {"left": (5, 50), "right": (95, 50), "top": (50, 5), "bottom": (50, 95)}
    places |= {"top left": (5, 5), "top right": (95, 5), "bottom left": (5, 95), "bottom right": (95, 95)}
    matrix = geometry.quarter_turns(turns, SQUARE)[0] @ (geometry.flip(SQUARE) if mirrored else geometry.identity())
    moved = geometry.move(Point(*places[word]), matrix)
    assert places[geometry.orient(word, matrix)] == tuple(round(v) for v in moved)


def test_an_unknown_direction_is_refused():
    with pytest.raises(DataError, match="northwest"):
        geometry.orient("northwest", geometry.identity())


@given(st.data())
def test_written_boxes_are_read_back(data):
    from manyeyes.core.coordinates import read_boxes

    size = data.draw(sizes)
    box = data.draw(boxes(size))
    fractions = np.array(box) / [size.width, size.height, size.width, size.height]
    if fractions[2] - fractions[0] > 0.002 and fractions[3] - fractions[1] > 0.002:
        np.testing.assert_allclose(read_boxes(geometry.written(box, size)).found[0], fractions, atol=5.1e-4)
