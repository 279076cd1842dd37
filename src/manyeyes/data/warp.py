"""Pixels under a 3x3 matrix, and colour jitter: the costly half of augmentation, done when pixels are asked for.

A matrix that keeps the axes (cuts, flips, quarter turns, stretches) is carried out exactly, with antialiasing; any
other by bicubic sampling at pixel centres, the empty corners filled with the median colour of the picture's border.

Report: App. C.1.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from manyeyes.data.geometry import Matrix, Size, keeps_axes, move_box
from manyeyes.data.record import Box


class Jitter(NamedTuple):
    """Factors for brightness, contrast and saturation; 1 leaves a picture as it is."""

    brightness: float
    contrast: float
    saturation: float


def warp(pixels: NDArray[np.uint8], matrix: Matrix, size: Size) -> NDArray[np.uint8]:
    """The picture [H, W, 3] as seen through `matrix`, on a canvas of `size`."""
    picture = Image.fromarray(pixels)
    out = _exact(picture, matrix, size) if keeps_axes(matrix) else _sampled(picture, matrix, size)
    return np.asarray(out)


def jittered(pixels: NDArray[np.uint8], jitter: Jitter) -> NDArray[np.uint8]:
    """The picture with other brightness, contrast and saturation."""
    picture = Image.fromarray(pixels)
    picture = ImageEnhance.Brightness(picture).enhance(jitter.brightness)
    picture = ImageEnhance.Contrast(picture).enhance(jitter.contrast)
    return np.asarray(ImageEnhance.Color(picture).enhance(jitter.saturation))


_TRANSPOSES = {
    (False, 1, 1): None,
    (False, -1, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (False, 1, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (False, -1, -1): Image.Transpose.ROTATE_180,
    (True, 1, 1): Image.Transpose.TRANSPOSE,
    (True, 1, -1): Image.Transpose.ROTATE_90,
    (True, -1, 1): Image.Transpose.ROTATE_270,
    (True, -1, -1): Image.Transpose.TRANSVERSE,
}
"""Key: x and y change places; sign of the entry that makes the new x; sign of the one that makes the new y."""


def _exact(picture: Image.Image, matrix: Matrix, size: Size) -> Image.Image:
    x0, y0, x1, y1 = move_box(Box(0, 0, size.width, size.height), np.linalg.inv(matrix))
    window = (max(x0, 0.0), max(y0, 0.0), min(x1, float(picture.width)), min(y1, float(picture.height)))
    swapped = bool(abs(matrix[0, 0]) < 1e-9)
    upright = (size.height, size.width) if swapped else (size.width, size.height)
    picture = picture.resize(upright, Image.Resampling.BICUBIC, box=window)
    across, down = (matrix[0, 1], matrix[1, 0]) if swapped else (matrix[0, 0], matrix[1, 1])
    transpose = _TRANSPOSES[swapped, int(np.sign(across)), int(np.sign(down))]
    return picture if transpose is None else picture.transpose(transpose)


def _sampled(picture: Image.Image, matrix: Matrix, size: Size) -> Image.Image:
    coefficients = tuple(np.linalg.inv(matrix)[:2].ravel().tolist())
    fill = _border_colour(np.asarray(picture))
    return picture.transform(
        (size.width, size.height),
        Image.Transform.AFFINE,
        coefficients,
        resample=Image.Resampling.BICUBIC,
        fillcolor=fill,
    )


def _border_colour(pixels: NDArray[np.uint8]) -> tuple[int, int, int]:
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(border, axis=0).astype(int).tolist()
    return red, green, blue
