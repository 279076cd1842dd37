import dataclasses

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core import seeds
from manyeyes.core.media import Clip, Picture
from manyeyes.data import geometry
from manyeyes.data.augment import Augmentation, augment, permitted, seen, size_of
from manyeyes.data.record import (
    GEOMETRIC,
    OF_PHOTOGRAPHS,
    OF_SCENES,
    Box,
    Geometry,
    Located,
    Oriented,
    Point,
    Polygon,
    Record,
    Shown,
    Turn,
)

ALWAYS = Augmentation(crop=1, flip=1, rotate=1, tilt=1, scale=1, colour=0, text=0, order=0)
EVERYTHING = OF_PHOTOGRAPHS | OF_SCENES


def a_record(shape, width, height, *, picture=None, allowed=GEOMETRIC, text="at ") -> Record:
    turns = (Turn("user", (Shown(0), "Where is it?")), Turn("assistant", (text, Located(0), " ", Oriented("left"))))
    picture = picture or Picture.of(np.zeros((height, width, 3), np.uint8))
    return Record("toy/0", turns, (picture,), (Geometry(shape),), allowed=frozenset(allowed))


def a_mask(shape, width, height) -> Picture:
    if isinstance(shape, Box):
        array = np.zeros((height, width, 3), np.uint8)
        array[int(shape.y0) : int(shape.y1), int(shape.x0) : int(shape.x1)] = 255
        return Picture.of(array)
    rows, columns = np.mgrid[:height, :width] + 0.5
    inside = shapely.contains_xy(shapely.Polygon(shape.points), columns, rows)
    return Picture.of(inside.astype(np.uint8) * 255)


def box_of(mask) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask[:, :, 0] > 127)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


changes = st.sets(st.sampled_from(sorted(GEOMETRIC)), min_size=1)


@given(changes, st.integers(0, 10**6), st.data())
@settings(max_examples=150, deadline=None)
def test_boxes_agree_with_the_warped_pixels_of_their_mask(allowed, seed, data):
    width, height = data.draw(st.integers(20, 90)), data.draw(st.integers(20, 90))
    x0, y0 = data.draw(st.integers(0, width - 8)), data.draw(st.integers(0, height - 8))
    box = Box(x0, y0, data.draw(st.integers(x0 + 6, width)), data.draw(st.integers(y0 + 6, height)))
    record = a_record(box, width, height, picture=a_mask(box, width, height), allowed=allowed)
    changed = augment(record, seeds.stream(seed, "test"), rules=ALWAYS)
    pixels = changed.media[0].pixels()
    shape = changed.geometry[0].shape
    assert geometry.inside(shape, size_of(changed.media[0]))
    tolerance = 0 if "scale" not in allowed else 1.01
    np.testing.assert_allclose(box_of(pixels), shape, atol=tolerance + 1e-6)


@given(st.integers(0, 10**6), st.data())
@settings(max_examples=80, deadline=None)
def test_polygons_agree_with_the_warped_pixels_of_their_mask(seed, data):
    width, height = data.draw(st.integers(60, 120)), data.draw(st.integers(60, 120))
    angles = np.sort(data.draw(st.lists(st.floats(0, 6.28), min_size=4, max_size=7)))
    radius = 0.4 * min(width, height)
    polygon = Polygon(tuple(Point(width / 2 + radius * np.cos(a), height / 2 + radius * np.sin(a)) for a in angles))
    mask = a_mask(polygon, width, height)
    if (mask.pixels() > 0).mean() < 0.05:
        return
    record = a_record(polygon, width, height, picture=mask)
    changed = augment(record, seeds.stream(seed, "test"), rules=ALWAYS)
    warped = changed.media[0].pixels()[:, :, 0] > 127
    size = size_of(changed.media[0])
    told = a_mask(changed.geometry[0].shape, *size).pixels()[:, :, 0] > 127
    along_the_edge = shapely.Polygon(changed.geometry[0].shape.points).length
    assert (warped ^ told).sum() <= 0.5 * along_the_edge + 4


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_points_stay_on_their_spot(seed):
    array = np.zeros((80, 100, 3), np.uint8)
    array[30:39, 60:69] = 255
    record = a_record(Point(64.5, 34.5), 100, 80, picture=Picture.of(array))
    changed = augment(record, seeds.stream(seed, "test"), rules=ALWAYS)
    point, size = changed.geometry[0].shape, size_of(changed.media[0])
    if min(point.x, point.y, size.width - point.x, size.height - point.y) < 9:
        return  # the window's edge may cut the spot in two
    rows, columns = np.nonzero(changed.media[0].pixels()[:, :, 0] > 127)
    np.testing.assert_allclose((columns.mean() + 0.5, rows.mean() + 0.5), point, atol=1.0)


@given(changes, st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_same_stream_gives_the_same_record(allowed, seed):
    record = a_record(Box(10, 10, 30, 40), 64, 48, allowed=allowed)
    first, second = (augment(record, seeds.stream(seed, "test"), rules=ALWAYS) for _ in range(2))
    assert first.geometry == second.geometry and first.turns == second.turns
    assert np.array_equal(first.media[0].pixels(), second.media[0].pixels())


def test_directions_follow_a_flip():
    record = a_record(Box(10, 10, 30, 40), 64, 48, allowed={"flip"})
    changed = augment(record, seeds.stream(0, "test"), rules=ALWAYS)
    assert changed.turns[1].pieces[-1] == Oriented("right")
    assert changed.geometry[0].shape == Box(34, 10, 54, 40)


def test_fixed_records_and_those_that_allow_nothing_are_not_touched():
    record = a_record(Box(10, 10, 30, 40), 64, 48)
    for still in (dataclasses.replace(record, fixed=True), dataclasses.replace(record, allowed=frozenset())):
        assert augment(still, seeds.stream(0, "test"), rules=ALWAYS) is still


@pytest.mark.parametrize("text", ["It is to the Left of ", "above the door at ", "turn clockwise at "])
def test_plain_words_for_directions_forbid_what_would_make_them_false(text):
    record = a_record(Point(3, 3), 64, 48, text=text)
    assert permitted(record) == {"tilt", "scale"}
    assert permitted(a_record(Point(3, 3), 64, 48, text="straight at ")) == GEOMETRIC


def test_boxes_forbid_tilts_and_shapes_outside_forbid_everything():
    assert "tilt" not in permitted(a_record(Box(1, 1, 5, 5), 64, 48))
    assert not permitted(a_record(Box(1, 1, 99, 5), 64, 48))


def test_shapes_that_nobody_refers_to_are_clipped_or_dropped():
    shapes = (Box(0, 0, 10, 10), Box(25, 20, 45, 44), Box(50, 0, 60, 10))
    turns = (Turn("user", (Shown(0), "?")), Turn("assistant", (Located(1),)))
    record = Record("toy/0", turns, (Picture.of(np.zeros((48, 64, 3), np.uint8)),), tuple(map(Geometry, shapes)))
    from manyeyes.data.augment import View

    changed = seen(record, [View(geometry.translate(-5, -5), geometry.Size(42, 43))])
    assert [item.shape for item in changed.geometry] == [Box(0, 0, 5, 5), Box(20, 15, 40, 39)]
    assert changed.turns[1].pieces == (Located(1),)
    further = seen(record, [View(geometry.translate(-12, -12), geometry.Size(35, 36))])
    assert [item.shape for item in further.geometry] == [Box(13, 8, 33, 32)]
    assert further.turns[1].pieces == (Located(0),)


def test_all_frames_of_a_clip_move_alike():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (48, 64, 3), np.uint8)
    turns = (Turn("user", (Shown(0), "What happens?")), Turn("assistant", ("Nothing.",)))
    clip = Clip.of([frame] * 3, fps=2.0)
    record = Record("toy/clip", turns, (clip,), allowed=GEOMETRIC)
    changed = augment(record, seeds.stream(3, "test"), rules=ALWAYS).media[0]
    assert isinstance(changed, Clip) and changed.fps == 2.0
    first = changed.frames[0].pixels()
    assert all(np.array_equal(first, other.pixels()) for other in changed.frames)


def test_colour_changes_pixels_and_nothing_else():
    rng = np.random.default_rng(0)
    picture = Picture.of(rng.integers(0, 256, (32, 32, 3), np.uint8))
    record = a_record(Box(1, 1, 9, 9), 32, 32, picture=picture, allowed={"colour"})
    changed = augment(record, seeds.stream(0, "test"), rules=Augmentation(colour=1))
    assert changed.geometry == record.geometry and changed.turns == record.turns
    assert not np.array_equal(changed.media[0].pixels(), picture.pixels())
    assert np.abs(changed.media[0].pixels().astype(int) - picture.pixels()).mean() < 60


def test_pixels_are_not_read_while_augmenting():
    def explode():
        raise AssertionError("pixels were asked for")

    record = a_record(Box(1, 1, 9, 9), 32, 32, picture=Picture.lazy(32, 32, explode), allowed=EVERYTHING)
    augment(record, seeds.stream(0, "test"), rules=dataclasses.replace(ALWAYS, colour=1.0))
