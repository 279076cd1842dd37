"""Truth of drawn scenes against what is on the pixels: boxes, counts, contours, places."""

import numpy as np
import pytest
import shapely
from pycocotools import mask as coco
from scipy import ndimage
from shapely import affinity

from manyeyes.core.seeds import stream
from manyeyes.data.record import Box, Oriented
from manyeyes.data.synthesis.caption import SceneCaptions
from manyeyes.data.synthesis.perception import Contours, Counting, Grounding, Pointing, Relations
from manyeyes.data.synthesis.scene import COLOURS, SHAPES, Figure, Scene, drawn, scene

ALL = {"shapes": SHAPES, "colours": tuple(COLOURS)}


def ink(pixels: np.ndarray) -> np.ndarray:
    """Where a scene is not its ground (its most frequent colour); half covered pixels count."""
    packed = pixels.astype(int) @ (1 << 16, 1 << 8, 1)
    colours, counts = np.unique(packed, return_counts=True)
    ground = np.array([colours[counts.argmax()] >> shift & 255 for shift in (16, 8, 0)])
    return np.abs(pixels.astype(int) - ground).max(axis=2) > 24


def bounding(mask: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(mask)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [64, 96, 272])
def test_every_figure_fills_its_box(shape, side):
    for i in range(4):
        shown = scene(stream(i, "test/box"), [(shape, "blue")], side, side)
        found = bounding(ink(drawn(shown)))
        assert max(abs(a - b) for a, b in zip(found, shown.figures[0].box, strict=True)) <= 1


def test_a_rectangle_is_exact_to_the_pixel():
    shown = Scene(40, 30, (250, 250, 250), (Figure("rectangle", "red", Box(3, 5, 21, 11)),))
    expected = np.full((30, 40, 3), 250, np.uint8)
    expected[5:11, 3:21] = COLOURS["red"]
    assert np.abs(drawn(shown).astype(int) - expected).max() <= 64  # the last column is 15/16 covered
    assert bounding(ink(drawn(shown))) == (3, 5, 21, 11)


def test_the_number_of_connected_regions_is_the_count():
    generator = Counting(size=80, subjects=("all",), split="test", **ALL)
    for i in range(80):
        record = generator.record(i)
        _, regions = ndimage.label(ink(record.media[0].pixels()), structure=np.ones((3, 3)))
        assert str(regions) == record.truth


def test_counts_of_a_colour_are_the_regions_of_that_colour():
    generator = Counting(size=60, subjects=("colour",), colours=("red", "blue", "black"), questions=2)
    for i in range(60):
        record = generator.record(i)
        pixels = record.media[0].pixels().astype(int)
        for ask, answer in zip(record.turns[::2], record.turns[1::2], strict=True):
            text = "".join(piece for piece in ask.pieces if isinstance(piece, str))
            colour = text.split()[2]
            mask = np.abs(pixels - COLOURS[colour]).max(axis=2) < 40
            assert answer.pieces == (str(ndimage.label(mask)[1]),)


def test_grounding_boxes_are_the_pixels_of_the_named_figure():
    generator = Grounding(size=60, tasks=("box",), colours=("red", "blue", "teal", "black"), width=96)
    for i in range(60):
        record = generator.record(i)
        pixels = record.media[0].pixels().astype(int)
        for turn, item in zip(record.turns[::2], record.geometry, strict=True):
            label = str(turn.pieces[-1]).removeprefix("Give the box of the ").rstrip(".")
            mask = np.abs(pixels - COLOURS[label.split()[0]]).max(axis=2) < 100
            regions, count = ndimage.label(mask)
            boxes = [(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in ndimage.find_objects(regions)]
            assert count and min(max(abs(a - b) for a, b in zip(box, item.shape, strict=True)) for box in boxes) <= 1


def test_points_lie_on_their_figure():
    generator = Pointing(size=60, tasks=("point",), **ALL)
    for i in range(60):
        record = generator.record(i)
        mask = ink(record.media[0].pixels())
        assert all(mask[int(item.shape.y), int(item.shape.x)] for item in record.geometry)


@pytest.mark.parametrize("shape", SHAPES)
def test_contours_cover_the_true_area(shape):
    """Against shapely's own shapes and against pycocotools' mask of the drawn pixels."""
    box = Box(20, 30, 220, 230) if shape not in ("rectangle", "ellipse") else Box(20, 40, 220, 140)
    figure = Figure(shape, "blue", box)
    polygon = shapely.Polygon(figure.contour.points)
    if shape in ("circle", "ellipse"):
        disc = shapely.Point(0, 0).buffer(0.5, quad_segs=64)
        disc = affinity.scale(disc, box.x1 - box.x0, box.y1 - box.y0)
        disc = affinity.translate(disc, (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        assert polygon.intersection(disc).area / polygon.union(disc).area > 0.97
        assert abs(polygon.area / disc.area - 1) < 0.03
    flat = [value for point in figure.contour.points for value in point]
    mask = coco.decode(coco.merge(coco.frPyObjects([flat], 256, 256))).astype(bool)
    seen = drawn(Scene(256, 256, (250, 250, 250), (figure,)))[:, :, 0] < 125
    assert (mask & seen).sum() / (mask | seen).sum() >= 0.95


def test_contours_of_tiny_pictures_follow_the_pixels():
    generator = Contours(size=60, figures=(1, 1), split="test")
    scores = []
    for i in range(60):
        record = generator.record(i)
        polygon = record.geometry[0].shape
        big = [4 * value for point in polygon.points for value in point]
        mask = coco.decode(coco.merge(coco.frPyObjects([big], 256, 256))).astype(bool)
        seen = ink(record.media[0].pixels()).repeat(4, 0).repeat(4, 1)
        scores.append((mask & seen).sum() / (mask | seen).sum())
    assert np.mean(scores) > 0.9 and min(scores) > 0.75  # a figure of 8 pixels has an edge of one


def test_direction_words_agree_with_the_centre_of_mass():
    generator = SceneCaptions(size=150)
    for i in range(150):
        record = generator.record(i)
        ys, xs = np.nonzero(ink(record.media[0].pixels()))
        word = next((piece.word for piece in record.turns[0].pieces if isinstance(piece, Oriented)), "")
        # the centre of a triangle's box lies above its centre of mass: use the box
        x, y = (xs.min() + xs.max() + 1) / 128, (ys.min() + ys.max() + 1) / 128
        assert ("left" in word, "right" in word) == (x < 1 / 3, x > 2 / 3)
        assert ("top" in word, "bottom" in word) == (y < 1 / 3, y > 2 / 3)


def test_captions_name_every_figure_once():
    generator = SceneCaptions(size=60, figures=(1, 5), width=128, **ALL)
    for i in range(60):
        record = generator.record(i)
        text = "".join(piece if isinstance(piece, str) else " " for piece in record.turns[0].pieces)
        _, regions = ndimage.label(ink(record.media[0].pixels()), structure=np.ones((3, 3)))
        assert sum(text.split().count(article) for article in ("a", "an")) == regions


def test_the_largest_and_the_nearest_are_what_the_pixels_say():
    generator = Relations(
        size=120, split="test", colours=("red", "blue", "black"), shapes=("rectangle",), figures=(2, 3)
    )
    checked = 0
    for i in range(120):
        record = generator.record(i)
        pixels = record.media[0].pixels().astype(int)
        masks = {c: np.abs(pixels - COLOURS[c]).max(axis=2) < 100 for c in ("red", "blue", "black")}
        seen = {colour: mask for colour, mask in masks.items() if mask.any()}
        ask = "".join(p if isinstance(p, str) else p.word for p in record.turns[0].pieces[1:])
        if "largest" in ask:
            expected = max(seen, key=lambda colour: seen[colour].sum())
        elif "left" in ask:
            expected = min(seen, key=lambda colour: np.nonzero(seen[colour])[1].mean())
        elif "bottom" in ask:
            expected = max(seen, key=lambda colour: np.nonzero(seen[colour])[0].mean())
        else:
            continue
        checked += 1
        assert record.truth == f"a {expected} rectangle"
    assert checked > 30
