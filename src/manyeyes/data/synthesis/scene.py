"""Scenes of coloured shapes on a light ground: what there is, where exactly, and its picture.

Every shape fills its bounding box exactly, so boxes are whole pixels and truth needs no look at the picture. Drawing is
supersampled (smooth edges), then reduced.

    triangle: (1/2, 0), (1, 1), (0, 1) scaled to the box; circle: 64 points; star, cross, arrow: see `OUTLINES`.

Report: App. B.3 (caption and perception data). Shapes and colours of `EASY_*` are those of easy-VQA.
"""

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from manyeyes.core.picture import Picture
from manyeyes.data.record import Box, Point, Polygon
from manyeyes.data.synthesis.generator import between, pick

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "teal": (0, 128, 128),
    "brown": (165, 42, 42),
    "yellow": (255, 255, 0),
    "orange": (255, 140, 0),
    "purple": (128, 0, 160),
    "pink": (255, 105, 180),
    "cyan": (0, 220, 255),
}
EASY_COLOURS = ("red", "green", "blue", "black", "gray", "teal", "brown", "yellow")
EASY_SHAPES = ("circle", "rectangle", "triangle")


def _ring(count: int, *, inner: float = 1.0, turn: float = -0.25) -> tuple[tuple[float, float], ...]:
    """Points on the circle that touches the unit square; every second one at `inner` times the radius."""
    angles = [2 * math.pi * (turn + i / count) for i in range(count)]
    radii = [0.5 * (inner if i % 2 else 1.0) for i in range(count)]
    return tuple((0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for a, r in zip(angles, radii, strict=True))


def _fitted(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """The points stretched until they touch all four sides of the unit square."""
    xs, ys = zip(*points, strict=True)
    x0, y0, w, h = min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
    return tuple(((x - x0) / w, (y - y0) / h) for x, y in points)


_CROSS = ((1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (2, 2), (2, 3), (1, 3), (1, 2), (0, 2), (0, 1), (1, 1))
OUTLINES: dict[str, tuple[tuple[float, float], ...]] = {
    "circle": _ring(64, turn=0.0),
    "rectangle": ((0, 0), (1, 0), (1, 1), (0, 1)),
    "triangle": ((0.5, 0), (1, 1), (0, 1)),
    "square": ((0, 0), (1, 0), (1, 1), (0, 1)),
    "ellipse": _ring(64, turn=0.0),
    "diamond": _ring(4),
    "pentagon": _fitted(_ring(5)),
    "hexagon": _fitted(_ring(6, turn=0.0)),
    "star": _fitted(_ring(10, inner=0.45)),
    "cross": tuple((x / 3, y / 3) for x, y in _CROSS),
}
SHAPES = tuple(OUTLINES)
ROUND = ("circle", "ellipse")
# height / width of the box: fixed for regular shapes, a range for the others; one below and above 1 for clear oblongs
_ASPECTS: dict[str, tuple[tuple[float, float], ...]] = {
    "rectangle": ((0.4, 0.75), (1.33, 2.5)),
    "ellipse": ((0.45, 0.7), (1.4, 2.2)),
    "triangle": ((0.87, 0.87),),
}


class Figure(NamedTuple):
    """One shape of a scene.

    Example:
        >>> Figure("circle", "red", Box(0, 0, 20, 20)).label
        'red circle'
    """

    shape: str
    colour: str
    box: Box

    @property
    def label(self) -> str:
        """Colour and shape."""
        return f"{self.colour} {self.shape}"

    @property
    def centre(self) -> Point:
        """The middle of the box; it lies on every shape."""
        x0, y0, x1, y1 = self.box
        return Point((x0 + x1) / 2, (y0 + y1) / 2)

    @property
    def contour(self) -> Polygon:
        """The outline as a polygon; a round shape gets 16 points, stretched so that its area is the true one."""
        unit = _round_contour() if self.shape in ROUND else OUTLINES[self.shape]
        return Polygon(tuple(Point(*point) for point in _scaled(unit, self.box)))


class Scene(NamedTuple):
    """Figures in drawing order on a plain ground."""

    width: int
    height: int
    ground: tuple[int, int, int]
    figures: tuple[Figure, ...]

    @property
    def picture(self) -> Picture:
        """The lazy picture."""
        return Picture.lazy(self.width, self.height, partial(drawn, self))

    def place(self, figure: Figure) -> str | None:
        """The direction word of the ninth of the picture that holds the figure's centre; None in the middle ninth."""
        x, y = figure.centre
        down = ("top", "", "bottom")[min(int(3 * y / self.height), 2)]
        across = ("left", "", "right")[min(int(3 * x / self.width), 2)]
        return " ".join(word for word in (down, across) if word) or None


def drawn(scene: Scene) -> NDArray[np.uint8]:
    """The pixels of a scene: uint8 [height, width, 3], edges smoothed over one pixel."""
    k = 4 if scene.width * scene.height <= 256 * 256 else 2
    image = Image.new("RGB", (scene.width * k, scene.height * k), scene.ground)
    canvas = ImageDraw.Draw(image)
    for figure in scene.figures:
        paint(canvas, figure, k)
    return np.asarray(image.reduce(k))


def paint(canvas: ImageDraw.ImageDraw, figure: Figure, k: int) -> None:
    """Fill one figure on a canvas that has k pixels for each of the scene's. Pillow's far edges count as inside."""
    x0, y0, x1, y1 = (value * k for value in figure.box)
    points = _scaled(OUTLINES[figure.shape], Box(x0, y0, x1 - 1, y1 - 1))
    canvas.polygon(points, fill=COLOURS[figure.colour])


def _scaled(unit: Sequence[tuple[float, float]], box: Box) -> list[tuple[float, float]]:
    x0, y0, x1, y1 = box
    return [(x0 + u * (x1 - x0), y0 + v * (y1 - y0)) for u, v in unit]


@lru_cache(maxsize=1)
def _round_contour() -> tuple[tuple[float, float], ...]:
    count = 16
    swell = math.sqrt(2 * math.pi / (count * math.sin(2 * math.pi / count)))  # area of the polygon = area of the disc
    reach = min(swell * math.cos(math.pi / count), 1.0) / math.cos(math.pi / count)
    return tuple(
        (0.5 + 0.5 * reach * math.cos(a), 0.5 + 0.5 * reach * math.sin(a))
        for a in (2 * math.pi * (i + 0.5) / count for i in range(count))
    )


def ground(rng: np.random.Generator) -> tuple[int, int, int]:
    """A light colour, as in easy-VQA."""
    return between(rng, 228, 255), between(rng, 228, 255), between(rng, 228, 255)


def boxes(
    rng: np.random.Generator, shapes: Sequence[str], width: int, height: int, *, largest: float = 0.5
) -> tuple[Box, ...] | None:
    """Boxes for `shapes` that neither touch nor leave the picture, each clearly in one ninth of it; None when unlucky.

    Args:
        shapes: decides the aspect of each box.
        width: of the picture, pixels.
        height: of the picture, pixels.
        largest: longest side of a box as a share of the picture's shorter side.
    """
    placed: list[Box] = []
    side = min(width, height)
    high = max(largest * side / max(1.0, len(shapes) ** 0.5), 8.0)
    for shape in shapes:
        for _ in range(30):
            box = _one_box(rng, shape, width, height, (max(0.45 * high, 8.0), max(high, 9.0)))
            if _clearly_placed(box, width, height) and all(_apart(box, other) for other in placed):
                placed.append(box)
                break
        else:
            return None
    return tuple(placed)


def _one_box(rng: np.random.Generator, shape: str, width: int, height: int, sides: tuple[float, float]) -> Box:
    long = sides[0] + rng.random() * (sides[1] - sides[0])
    low, high = pick(rng, _ASPECTS.get(shape, ((1.0, 1.0),)))
    aspect = low + rng.random() * (high - low)
    w, h = round(long / max(1.0, aspect)), round(long * min(1.0, aspect))
    w, h = max(w, 4), max(h, 4)
    x, y = between(rng, 0, width - w), between(rng, 0, height - h)
    return Box(x, y, x + w, y + h)


def _clearly_placed(box: Box, width: int, height: int) -> bool:
    """False when the centre is so near a border between ninths that two direction words would do."""
    across, down = 1.5 * (box.x0 + box.x1) / width, 1.5 * (box.y0 + box.y1) / height
    return min(abs(across - 1), abs(across - 2), abs(down - 1), abs(down - 2)) > 0.08


def _apart(one: Box, other: Box, gap: int = 2) -> bool:
    return one.x1 + gap <= other.x0 or other.x1 + gap <= one.x0 or one.y1 + gap <= other.y0 or other.y1 + gap <= one.y0


def scene(
    rng: np.random.Generator,
    kinds: Sequence[tuple[str, str]],
    width: int,
    height: int,
    *,
    largest: float = 0.5,
) -> Scene:
    """A scene with one figure for each (shape, colour) of `kinds`; figures shrink until they fit."""
    light = ground(rng)
    while (placed := boxes(rng, [shape for shape, _ in kinds], width, height, largest=largest)) is None:
        largest *= 0.93
    return Scene(
        width,
        height,
        light,
        tuple(Figure(shape, colour, box) for (shape, colour), box in zip(kinds, placed, strict=True)),
    )
