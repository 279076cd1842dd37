"""Coordinates as the model writes and reads them: fractions of the unpadded picture, 0 to 1, three decimals.

    box        [0.123, 0.456, 0.789, 0.999]            left, top, right, bottom
    point      (0.123, 0.456)                          x to the right, y down
    polygon    [(0.1, 0.1), (0.9, 0.1), (0.5, 0.8)]    at least three points, the first not repeated

Reading is by these formats alone and never guesses another system (pixels, 0 to 999): a shape that is written in the
format but leaves 0..1, or a box without area, is counted as `invalid`, so that a scorer can punish it. Several shapes
may stand anywhere in the text; blanks and the number of decimals are free.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]

_NUMBER = r"\s*(-?(?:\d+(?:\.\d*)?|\.\d+))\s*"
_BOX = re.compile(rf"\[{','.join([_NUMBER] * 4)}\]")
_POINT = re.compile(rf"\({_NUMBER},{_NUMBER}\)")
_BARE_POINT = r"\s*\([^()\[\]]*\)\s*"
_POLYGON = re.compile(rf"\[{_BARE_POINT}(?:,{_BARE_POINT}){{2,}}\]")


class Shapes(NamedTuple):
    """Boxes [N, 4] or points [N, 2] found in a text, and how many more were written with impossible numbers."""

    found: Floats
    invalid: int


class Polygons(NamedTuple):
    """Polygons, each [K, 2] with K at least 3, and how many more were written with impossible numbers."""

    found: tuple[Floats, ...]
    invalid: int


def write_box(box: Sequence[float]) -> str:
    """Text of (left, top, right, bottom) fractions.

    Example:
        >>> write_box((0.1234, 0.5, 0.75, 1.0))
        '[0.123, 0.500, 0.750, 1.000]'
    """
    left, top, right, bottom = box
    return f"[{left:.3f}, {top:.3f}, {right:.3f}, {bottom:.3f}]"


def write_point(point: Sequence[float]) -> str:
    """Text of (x, y) fractions.

    Example:
        >>> write_point((0.5, 0.25))
        '(0.500, 0.250)'
    """
    x, y = point
    return f"({x:.3f}, {y:.3f})"


def write_polygon(points: Iterable[Sequence[float]]) -> str:
    """Text of a closed contour of (x, y) fractions.

    Example:
        >>> write_polygon([(0, 0), (1, 0), (0.5, 1)])
        '[(0.000, 0.000), (1.000, 0.000), (0.500, 1.000)]'
    """
    return f"[{', '.join(write_point(point) for point in points)}]"


def read_boxes(text: str) -> Shapes:
    """All boxes in a text.

    Example:
        >>> read_boxes("two: [0.1, 0.2, 0.3, 0.4] and [10, 20, 300, 400]")
        Shapes(found=array([[0.1, 0.2, 0.3, 0.4]]), invalid=1)
    """
    written = np.array([match.groups() for match in _BOX.finditer(text)], float).reshape(-1, 4)
    good = _inside(written) & (written[:, 2] > written[:, 0]) & (written[:, 3] > written[:, 1])
    return Shapes(written[good], int((~good).sum()))


def read_points(text: str) -> Shapes:
    """All points in a text, those of polygons included.

    Example:
        >>> read_points("at (0.5, 0.25)").found.tolist()
        [[0.5, 0.25]]
    """
    written = np.array([match.groups() for match in _POINT.finditer(text)], float).reshape(-1, 2)
    good = _inside(written)
    return Shapes(written[good], int((~good).sum()))


def read_polygons(text: str) -> Polygons:
    """All polygons in a text.

    Example:
        >>> len(read_polygons("[(0, 0), (1, 0), (0.5, 1)]").found[0])
        3
    """
    written = [match.group() for match in _POLYGON.finditer(text)]
    read = [(read_points(polygon), polygon.count("(")) for polygon in written]
    found = tuple(points.found for points, count in read if len(points.found) == count)
    return Polygons(found, len(written) - len(found))


def to_fractions(pixels_XY: ArrayLike, *, width: int, height: int) -> Floats:
    """Pixels (x, y, x, y, ...) along the last axis -> fractions of a picture of width x height."""
    pixels_XY = np.asarray(pixels_XY, float)
    return pixels_XY / np.resize([width, height], pixels_XY.shape[-1])


def to_pixels(fractions_XY: ArrayLike, *, width: int, height: int) -> Floats:
    """Fractions (x, y, x, y, ...) along the last axis -> pixels of a picture of width x height."""
    fractions_XY = np.asarray(fractions_XY, float)
    return fractions_XY * np.resize([width, height], fractions_XY.shape[-1])


def _inside(written: Floats) -> NDArray[np.bool_]:
    return np.all((written >= 0) & (written <= 1), axis=1)
