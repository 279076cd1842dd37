import numpy as np
import pytest

from manyeyes.data import geometry
from manyeyes.data.geometry import Size
from manyeyes.data.warp import Jitter, jittered, warp

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
SIZE = Size(40, 30)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_flips_and_quarter_turns_are_exact(turns, mirrored):
    matrix, size = geometry.quarter_turns(turns, SIZE)
    matrix = matrix @ (geometry.flip(SIZE) if mirrored else geometry.identity())
    expected = np.rot90(PIXELS[:, ::-1] if mirrored else PIXELS, turns)
    assert np.array_equal(warp(PIXELS, matrix, size), expected)


def test_a_cut_takes_the_pixels_of_its_window():
    assert np.array_equal(warp(PIXELS, geometry.translate(-7, -3), Size(20, 11)), PIXELS[3:14, 7:27])


def test_the_two_ways_to_warp_agree():
    from PIL import Image

    from manyeyes.data.warp import _exact, _sampled

    smooth = np.linspace(0, 255, 40)[None, :, None] * np.linspace(0.2, 1, 30)[:, None, None] * np.ones(3)
    picture = Image.fromarray(smooth.astype(np.uint8))
    turn, size = geometry.quarter_turns(1, SIZE)
    matrix, size = geometry.scale(1.5, 1.5) @ turn, Size(45, 60)
    exact, sampled = (np.asarray(way(picture, matrix, size), int) for way in (_exact, _sampled))
    assert np.abs(exact - sampled)[2:-2, 2:-2].max() <= 3


def test_corners_of_a_tilt_get_the_colour_of_the_border():
    gray = np.full((30, 40, 3), 77, np.uint8)
    assert np.unique(warp(gray, geometry.tilt(10, SIZE), SIZE)).tolist() == [77]


def test_a_neutral_jitter_changes_nothing():
    assert np.array_equal(jittered(PIXELS, Jitter(1.0, 1.0, 1.0)), PIXELS)
    assert jittered(PIXELS, Jitter(0.5, 1.0, 1.0)).mean() < PIXELS.mean()
