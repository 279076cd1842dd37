"""Where things are after a picture has been cut, turned and scaled: 3x3 matrices on shapes and on words for directions.

Coordinates are continuous: pixel (column i, row j) covers [i, i+1) x [j, j+1), x to the right, y down. A matrix maps a
point of the old picture to the new one, so steps compose by the matrix product `later @ earlier` and undo by the
inverse.

Report: App. C.1 (augmentation keeps two-dimensional coordinates and orientation metadata).
"""

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray

from manyeyes.core.coordinates import write_box, write_point, write_polygon
from manyeyes.core.errors import DataError
from manyeyes.data.record import Box, Point, Polygon, Shape

Matrix: TypeAlias = NDArray[np.floating]
"""float64 [3, 3], last row 0 0 1."""


class Size(NamedTuple):
    """A picture's size in pixels."""

    width: int
    height: int


def identity() -> Matrix:
    """Nothing moves."""
    return np.eye(3)


def translate(dx: float, dy: float) -> Matrix:
    """Move by (dx, dy) pixels."""
    return np.array([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]])


def scale(sx: float, sy: float) -> Matrix:
    """Stretch about the top left corner."""
    return np.diag([sx, sy, 1.0])


def flip(size: Size) -> Matrix:
    """Mirror left and right."""
    return np.array([[-1.0, 0.0, size.width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def quarter_turns(count: int, size: Size) -> tuple[Matrix, Size]:
    """Turn counter-clockwise by `count` times 90 degrees; the canvas turns along."""
    matrix = identity()
    for _ in range(count % 4):
        matrix = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, size.width], [0.0, 0.0, 1.0]]) @ matrix
        size = Size(size.height, size.width)
    return matrix, size


def tilt(degrees: float, size: Size) -> Matrix:
    """Turn counter-clockwise about the centre by a small angle; the canvas stays and its corners are lost."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return translate(size.width / 2, size.height / 2) @ turn @ translate(-size.width / 2, -size.height / 2)


def keeps_axes(matrix: Matrix) -> bool:
    """True for every mix of cuts, flips, quarter turns and stretches: boxes stay boxes."""
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    return bool((abs(b) < 1e-9 and abs(c) < 1e-9) or (abs(a) < 1e-9 and abs(d) < 1e-9))


def move(shape: Shape, matrix: Matrix) -> Shape:
    """The shape in the new picture. A box under a tilt becomes the box around its turned corners."""
    if isinstance(shape, Point):
        return Point(*_apply(matrix, [shape])[0])
    if isinstance(shape, Polygon):
        return Polygon(tuple(Point(x, y) for x, y in _apply(matrix, shape.points)))
    return move_box(shape, matrix)


def move_box(box: Box, matrix: NDArray[np.floating]) -> Box:
    """The box around the four corners of `box` in the new picture."""
    x0, y0, x1, y1 = box
    corners = _apply(matrix, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    xs, ys = zip(*corners, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


def _apply(matrix: Matrix, points) -> list[tuple[float, float]]:
    (a, b, c), (d, e, f) = matrix[0].tolist(), matrix[1].tolist()
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in points]


def bounds(shape: Shape) -> Box:
    """The smallest box around a shape (of no area around a point)."""
    if isinstance(shape, Box):
        return shape
    points = shape.points if isinstance(shape, Polygon) else (shape,)
    xs, ys = zip(*points, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


def inside(shape: Shape, size: Size) -> bool:
    """True when no part of the shape lies outside the picture (to a thousandth of a pixel)."""
    x0, y0, x1, y1 = bounds(shape)
    return x0 >= -1e-3 and y0 >= -1e-3 and x1 <= size.width + 1e-3 and y1 <= size.height + 1e-3


def clip(shape: Shape, size: Size) -> Shape | None:
    """The part of the shape within the picture; None when nothing, or no single piece without a hole, is left."""
    if isinstance(shape, Point):
        return shape if 0 <= shape.x < size.width and 0 <= shape.y < size.height else None
    if isinstance(shape, Box):
        x0, y0 = max(shape.x0, 0.0), max(shape.y0, 0.0)
        x1, y1 = min(shape.x1, float(size.width)), min(shape.y1, float(size.height))
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
    return shape if inside(shape, size) else _clip_polygon(shape, size)


def _clip_polygon(polygon: Polygon, size: Size) -> Polygon | None:
    whole = shapely.Polygon(polygon.points)
    rest = whole.intersection(shapely.box(0, 0, size.width, size.height)) if whole.is_valid else None
    if not isinstance(rest, shapely.Polygon) or rest.is_empty or rest.interiors:
        return None
    return Polygon(tuple(Point(x, y) for x, y in rest.exterior.coords[:-1]))


_VERTICALS = (("top", "bottom"), ("up", "down"), ("upper", "lower"), ("above", "below"))
_WORDS = (
    {"left": (-1, 0), "right": (1, 0)} | {up: (0, -1) for up, _ in _VERTICALS} | {low: (0, 1) for _, low in _VERTICALS}
)


def orient(word: str, matrix: Matrix) -> str:
    """The word for the same direction in the new picture.

    Words are left, right, top, bottom, up, down, upper, lower, above, below and pairs with a space or hyphen
    ("top left", "up-right").
    The case of the first letter is kept. Turned sideways, "left" becomes "top" or "bottom", and "up" becomes "left".

    Raises:
        DataError: for any other word.

    Example:
        >>> orient("Top left", flip(Size(10, 10)))
        'Top right'
    """
    separator = "-" if "-" in word else " "
    parts = word.lower().split(separator)
    if not 1 <= len(parts) <= 2 or not all(part in _WORDS for part in parts):
        raise DataError(f"an orientation word is one or two of {', '.join(_WORDS)}; got {word!r}")
    vertical = next((names for names in _VERTICALS if any(part in names for part in parts)), _VERTICALS[0])
    moved = sorted((_turn(_WORDS[part], matrix) for part in parts), key=lambda vector: vector[1] == 0)
    text = separator.join(_name(vector, vertical) for vector in moved)
    return text[0].upper() + text[1:] if word[:1].isupper() else text


def _turn(vector: tuple[int, int], matrix: Matrix) -> tuple[int, int]:
    x, y = (matrix[:2, :2] @ np.array(vector, np.float64)).tolist()
    return (int(math.copysign(1, x)), 0) if abs(x) > abs(y) else (0, int(math.copysign(1, y)))


def _name(vector: tuple[int, int], vertical: tuple[str, str]) -> str:
    if vector[0]:
        return "right" if vector[0] > 0 else "left"
    return vertical[1] if vector[1] > 0 else vertical[0]


def written(shape: Shape, size: Size) -> str:
    """Coordinates as text: fractions of the unpadded picture, in the formats of `core.coordinates`.

    Example:
        >>> written(Box(16, 0, 32, 64), Size(64, 64))
        '[0.250, 0.000, 0.500, 1.000]'
        >>> written(Polygon((Point(0, 0), Point(64, 0), Point(0, 32))), Size(64, 64))
        '[(0.000, 0.000), (1.000, 0.000), (0.000, 0.500)]'
    """
    if isinstance(shape, Polygon):
        return write_polygon([_fractions(point, size) for point in shape.points])
    return write_box(_fractions(shape, size)) if isinstance(shape, Box) else write_point(_fractions(shape, size))


def _fractions(values: Box | Point, size: Size) -> list[float]:
    sides = tuple(size) * (len(values) // 2)
    return [min(max(value / side, 0.0), 1.0) for value, side in zip(values, sides, strict=True)]
