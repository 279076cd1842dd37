"""Boxes and points in an answer, as plain numbers, read so fast that a reward costs microseconds, and with suspicion.

The formats are those of `core.coordinates`, and so is what they mean. Beyond it, what looks like a shape and is
written with numbers that the format does not know (nan, inf, 1e-3, +0.5) counts as `invalid`, a wrong prediction, so
that impossible numbers are never better than none; and shapes beyond `MOST_SHAPES` are counted but not looked at, so
that an answer of a million boxes costs what one of a thousand does.

Report: §4.4.2, which leaves the format of answers open.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

Shape = tuple[float, ...]

MOST_SHAPES = 1000
"""Shapes of one answer that are matched; the others count as wrong."""

_FIELD = r"\s*([-+\w.]+)\s*"
_BOX = re.compile(rf"\[{_FIELD},{_FIELD},{_FIELD},{_FIELD}\]")
_POINT = re.compile(rf"\({_FIELD},{_FIELD}\)")
_PLAIN = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")
_OUTSIDE = (-1.0,)


class Written(NamedTuple):
    """Shapes found in a text, and how many more were written with impossible numbers or beyond `MOST_SHAPES`."""

    shapes: list[Shape]
    invalid: int


def written_boxes(text: str) -> Written:
    """All boxes (left, top, right, bottom) of a text.

    Example:
        >>> written_boxes("[0.1, 0.2, 0.3, 0.4] [10, 20, 300, 400] [nan, 0, 1, 1] [a, b, c, d]")
        Written(shapes=[(0.1, 0.2, 0.3, 0.4)], invalid=2)
    """
    return _written(_BOX.finditer(text), _is_box)


def written_points(text: str) -> Written:
    """All points (x, y) of a text.

    Example:
        >>> written_points("from (0.5, 0.25) to (left, right) or (inf, 0)")
        Written(shapes=[(0.5, 0.25)], invalid=1)
    """
    return _written(_POINT.finditer(text), _is_point)


def _written(found: Iterable[re.Match[str]], valid: Callable[[Shape], bool]) -> Written:
    shapes: list[Shape] = []
    invalid = 0
    for shape in _numbers(found):
        if valid(shape) and len(shapes) < MOST_SHAPES:
            shapes.append(shape)
        else:
            invalid += 1
    return Written(shapes, invalid)


def _numbers(found: Iterable[re.Match[str]]) -> Iterator[Shape]:
    """The fields of every match as numbers; of one that the format does not know, a shape that lies outside."""
    for match in found:
        fields = match.groups()
        try:
            shape = tuple(map(float, fields))
        except ValueError:
            continue  # words in brackets
        plain = "".join(fields).strip("0123456789.") == "" or all(map(_PLAIN.fullmatch, fields))
        yield shape if plain else _OUTSIDE * len(fields)


def _is_box(shape: Shape) -> bool:
    left, top, right, bottom = shape
    return 0 <= left < right <= 1 and 0 <= top < bottom <= 1


def _is_point(shape: Shape) -> bool:
    x, y = shape
    return 0 <= x <= 1 and 0 <= y <= 1
