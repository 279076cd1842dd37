"""Laid-out pages: runs of text, bars, strokes and discs at exact places, measured without drawing.

A page is plain data, so its text, boxes and size are known at once and its pixels are drawn when asked for.

Report: App. B.3 (OCR, knowledge and agent data need exact layouts).
"""

from functools import lru_cache, partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from manyeyes.core.picture import Picture
from manyeyes.data.record import Box
from manyeyes.data.synthesis.fonts import drawing, extent, font

Ink: TypeAlias = tuple[int, int, int]
BLACK: Ink = (0, 0, 0)
WHITE: Ink = (255, 255, 255)


class Run(NamedTuple):
    """One line of text; (x, y) is the top left corner of its line, not of its ink."""

    text: str
    x: int
    y: int
    size: int = 14
    face: str = "sans"
    ink: Ink = BLACK

    @property
    def box(self) -> Box:
        """Where its ink falls."""
        left, top, right, bottom = extent(self.face, self.size, self.text)
        return Box(self.x + left, self.y + top, self.x + right, self.y + bottom)


class Bar(NamedTuple):
    """A rectangle with rounded corners if `round` > 0."""

    box: Box
    fill: Ink | None = None
    edge: Ink | None = None
    round: int = 0


class Stroke(NamedTuple):
    """Straight lines through points; closed and filled if `fill` is given."""

    points: tuple[tuple[float, float], ...]
    ink: Ink = BLACK
    width: int = 1
    fill: Ink | None = None


class Disc(NamedTuple):
    """An ellipse in its box, or a slice of it between two angles (degrees clockwise from 3 o'clock)."""

    box: Box
    fill: Ink | None = None
    edge: Ink | None = BLACK
    slice: tuple[float, float] | None = None


Item: TypeAlias = Run | Bar | Stroke | Disc


class Page(NamedTuple):
    """Items in drawing order."""

    width: int
    height: int
    items: tuple[Item, ...]
    ground: Ink = WHITE

    @property
    def picture(self) -> Picture:
        """The lazy picture."""
        return Picture.lazy(self.width, self.height, partial(drawn, self))


def drawn(page: Page) -> NDArray[np.uint8]:
    """The pixels of a page: uint8 [height, width, 3]."""
    image = Image.new("RGB", (page.width, page.height), page.ground)
    canvas = ImageDraw.Draw(image)
    for item in page.items:
        draw(canvas, item)
    return np.asarray(image)


def draw(canvas: ImageDraw.ImageDraw, item: Item) -> None:
    """Draw one item."""
    if isinstance(item, Run):
        with drawing:
            canvas.text((item.x, item.y), item.text, font=font(item.face, item.size), fill=item.ink)
    elif isinstance(item, Bar):
        canvas.rounded_rectangle(_inclusive(item.box), item.round, fill=item.fill, outline=item.edge)
    elif isinstance(item, Stroke):
        if item.fill is not None:
            canvas.polygon(item.points, fill=item.fill)
        canvas.line(item.points, fill=item.ink, width=item.width)
    elif item.slice is None:
        canvas.ellipse(_inclusive(item.box), fill=item.fill, outline=item.edge)
    else:
        canvas.pieslice(_inclusive(item.box), *item.slice, fill=item.fill, outline=item.edge)


def _inclusive(box: Box) -> tuple[float, float, float, float]:
    """Pillow counts the far edges as inside."""
    return box.x0, box.y0, max(box.x1 - 1, box.x0), max(box.y1 - 1, box.y0)


@lru_cache(maxsize=65_536)
def advance(text: str, size: int, face: str) -> float:
    """How far `text` moves the pen, pixels."""
    with drawing:
        return font(face, size).getlength(text)


def line_height(size: int) -> int:
    """Distance between two lines: wide enough for accents and descenders of every shipped face."""
    return round(1.25 * size) + 1


def wrapped(text: str, width: float, size: int, face: str, joint: str = " ") -> tuple[str, ...]:
    """Break text into lines no wider than `width` pixels, between words (anywhere when `joint` is empty).

    A single word that is wider stands on its own line.
    """
    words = text.split(joint) if joint else list(text)
    space = advance(joint, size, face) if joint else 0.0
    lines: list[list[str]] = [[]]
    pen = 0.0
    for word in words:
        step = advance(word, size, face)
        if lines[-1] and pen + space + step > width:
            lines.append([])
            pen = 0.0
        pen += step + (space if lines[-1] else 0.0)
        lines[-1].append(word)
    return tuple(joint.join(line) for line in lines)


def centred(text: str, box: Box, *, size: int, face: str = "sans", ink: Ink = BLACK) -> Run:
    """A run in the middle of the box: its ink from left to right, the height of a capital from top to bottom."""
    left, _, right, _ = extent(face, size, text)
    _, top, _, bottom = extent(face, size, "H")
    x = round((box.x0 + box.x1 - (right - left)) / 2) - left
    y = round((box.y0 + box.y1 - (bottom - top)) / 2) - top
    return Run(text, x, y, size, face, ink)


def fitting(text: str, width: float, *, largest: int, smallest: int = 8, face: str = "sans") -> int:
    """A font size, no larger than `largest`, at which the text is at most `width` wide."""
    size = largest
    while size > smallest and (wide := advance(text, size, face)) > width:
        size = max(min(size - 1, int(size * width / wide)), smallest)
    return size
