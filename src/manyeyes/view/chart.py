"""A line chart as inline SVG: axes with round numbers, a legend, levels to compare with, values under the pointer.

Colours are classes (`c0`, `c1`, ...) that the page's style sheet defines, so a chart follows light and dark mode. The
values are also given as JSON in `data-chart`, which the page's script reads to show them; without it the chart is whole
but mute. Long curves are thinned to `MOST_POINTS` means; a noisy one is drawn pale with its moving average over it.
"""

import json
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from manyeyes.view.markup import Markup, joined, tag
from manyeyes.view.wording import compact

WIDTH, HEIGHT = 440, 230
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 12, 30
MOST_POINTS = 320
HUGE = 1e30
"""What is larger (infinity; NaN too, which no comparison holds for) is not drawn."""


class Line(NamedTuple):
    """A curve. `colour` is a number of the palette; `smooth` adds a moving average, `dots` marks each point."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: int = 0
    smooth: bool = False
    dots: bool = False


class Level(NamedTuple):
    """A value to compare with: a dashed horizontal line."""

    name: str
    y: float


class Span(NamedTuple):
    """A named stretch of the horizontal axis: a stage."""

    name: str
    start: float
    end: float


class _Scale(NamedTuple):
    """From values to a place between `start` and `end` of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.2, max(-0.2, share)) * (self.end - self.start)


def plain(value: float) -> str:
    """A round number, as axes have it.

    Example:
        >>> [plain(x) for x in (0.0, 2.5, 4000.0, 25_000.0, 0.0005)]
        ['0', '2.5', '4000', '25k', '0.0005']
    """
    return f"{value / 1000:g}k" if 10_000 <= abs(value) < 1e6 else compact(value) if abs(value) >= 1e6 else f"{value:g}"


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_name: str = "step",
    note: str = "",
    form: Callable[[float], str] = plain,
    unit: str = "",
    y_range: tuple[float, float] | None = None,
    x_range: tuple[float, float] | None = None,
    levels: Sequence[Level] = (),
    spans: Sequence[Span] = (),
) -> Markup:
    """A figure element; empty when no line has a finite point.

    Args:
        note: a few words beside the title.
        form: how values are written at the axis; `unit` ("percent") tells the page's script the same.
        y_range: the vertical axis; chosen by the values when not given.
        x_range: the horizontal axis.
    """
    lines = [Line(*line)._replace(xs=thin.xs, ys=thin.ys) for line in lines if (thin := thinned(line)).xs]
    if not lines:
        return Markup()
    x = _Scale(*(x_range or _bounds([v for line in lines for v in line.xs])), LEFT, WIDTH - RIGHT)
    y = _Scale(*(y_range or _y_bounds(lines, levels)), HEIGHT - BOTTOM, TOP)
    drawing = tag(
        "svg",
        _grid(x, y, form, x_name),
        [_span(span, x, last=span is spans[-1]) for span in spans],
        [_level(level, y) for level in levels],
        [_curve(part, x, y, reach=_reach(line)) for line in lines for part in _parts(line, spans)],
        tag("line", class_="pointer", x1=-9, x2=-9, y1=TOP, y2=HEIGHT - BOTTOM),
        viewbox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=f"{title}: {', '.join(line.name for line in lines)}",
        data_chart=_data(lines, x, unit, x_name),
    )  # fmt: skip
    heading = tag("figcaption", tag("b", title), tag("small", note) if note else None, _legend(lines, levels))
    return tag("figure", heading, drawing, tag("div", class_="values", hidden=True), class_="chart")


def thinned(line: Line, most: int = MOST_POINTS) -> Line:
    """The line's finite points, or means of neighbours where they are more than `most`."""
    points = [(x, y) for x, y in zip(line.xs, line.ys, strict=True) if abs(x) < HUGE and abs(y) < HUGE]
    count = max(1, -(-len(points) // most))
    groups = [points[start : start + count] for start in range(0, len(points), count)]
    xs = [sum(x for x, _ in group) / len(group) for group in groups]
    return line._replace(xs=xs, ys=[sum(y for _, y in group) / len(group) for group in groups])


def moving_average(values: Sequence[float], reach: int) -> list[float]:
    """Mean of each value and `reach` neighbours on either side, as far as there are any."""
    around = [values[max(0, at - reach) : at + reach + 1] for at in range(len(values))]
    return [sum(some) / len(some) for some in around]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within the range, at most about `most` of them.

    Example:
        >>> ticks(0, 600), ticks(2.1, 3.4)
        ([0.0, 200.0, 400.0, 600.0], [2.5, 3.0])
    """
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [round((first + number) * step, 12) for number in range(count)]


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high - low > 1e-12 * max(1.0, abs(high)) else (low - 0.5, high + 0.5)


def _y_bounds(lines: Sequence[Line], levels: Sequence[Level]) -> tuple[float, float]:
    """From the values with a little room; from 0 where that costs little."""
    values = [v for line in lines for v in line.ys] + [level.y for level in levels]
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return (0.0 if 0 <= low < 0.35 * high else low - room), high + room


def _grid(x: _Scale, y: _Scale, form: Callable[[float], str], x_name: str) -> list[Markup]:
    parts = []
    for value in ticks(y.low, y.high):
        parts.append(tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=_at(y(value)), y2=_at(y(value))))
        parts.append(tag("text", form(value), x=LEFT - 6, y=_at(y(value) + 4), text_anchor="end"))
    for value in (tick for tick in ticks(x.low, x.high, 6) if tick == int(tick)):  # there is no step 2.5
        parts.append(tag("text", plain(value), x=_at(x(value)), y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    parts.append(tag("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM))
    parts.append(tag("text", x_name, class_="name", x=WIDTH - RIGHT, y=HEIGHT - 2, text_anchor="end"))
    return parts


def _span(span: Span, x: _Scale, *, last: bool) -> list[Markup]:
    start, end = x(max(span.start, x.low)), x(min(span.end, x.high))
    parts = [] if last else [tag("line", class_="border", x1=_at(end), x2=_at(end), y1=TOP, y2=HEIGHT - BOTTOM)]
    if end - start > 7 * len(span.name):
        parts.append(tag("text", span.name, class_="span", x=_at((start + end) / 2), y=TOP + 8, text_anchor="middle"))
    return parts


def _level(level: Level, y: _Scale) -> Markup:
    return tag("line", class_="level", x1=LEFT, x2=WIDTH - RIGHT, y1=_at(y(level.y)), y2=_at(y(level.y)))


def _parts(line: Line, spans: Sequence[Span]) -> list[Line]:
    """The line cut where a stage ends: what follows is another mixture, often another model."""
    ends = [span.end for span in spans]
    cuts = [0, *(bisect_right(line.xs, end) for end in ends), len(line.xs)]
    pieces = [line._replace(xs=line.xs[a:b], ys=line.ys[a:b]) for a, b in pairwise(cuts)]
    return [piece for piece in pieces if piece.xs]


def _reach(line: Line) -> int:
    """Neighbours that a moving average takes on either side; 0 draws the values alone."""
    return len(line.xs) // 40 + 1 if line.smooth and len(line.xs) >= 30 else 0


def _curve(line: Line, x: _Scale, y: _Scale, *, reach: int) -> list[Markup]:
    parts = [_path(line.xs, line.ys, x, y, f"c{line.colour} {'pale' if reach else ''}")]
    if reach:
        parts.append(_path(line.xs, moving_average(line.ys, reach), x, y, f"c{line.colour}"))
    if line.dots or len(line.xs) == 1:
        parts += [
            tag("circle", class_=f"c{line.colour}", cx=_at(x(a)), cy=_at(y(b)), r=2.6)
            for a, b in zip(line.xs, line.ys, strict=True)
        ]
    return parts


def _path(xs: Sequence[float], ys: Sequence[float], x: _Scale, y: _Scale, name: str) -> Markup:
    points = "L".join(f"{_at(x(a))} {_at(y(b))}" for a, b in zip(xs, ys, strict=True))
    return tag("path", class_=name.strip(), d=f"M{points}")


def _at(place: float) -> str:
    return f"{place:.1f}".removesuffix(".0")


def _legend(lines: Sequence[Line], levels: Sequence[Level]) -> Markup | None:
    if len(lines) == 1 and not levels:
        return None
    entries = [tag("span", tag("i", class_=f"c{line.colour}"), line.name) for line in lines]
    entries += [tag("span", tag("i", class_="level"), level.name) for level in levels]
    return tag("span", joined(entries), class_="legend")


def _data(lines: Sequence[Line], x: _Scale, unit: str, x_name: str) -> str:
    curves = [
        {"name": line.name, "colour": line.colour, "x": list(map(_digits, line.xs)), "y": list(map(_digits, line.ys))}
        for line in lines
    ]
    place = {"low": x.low, "high": x.high, "left": LEFT, "right": WIDTH - RIGHT, "width": WIDTH}
    return json.dumps({"lines": curves, "unit": unit, "x": x_name, **place}, separators=(",", ":"))


def _digits(value: float) -> float:
    return float(f"{value:.5g}") if abs(value) < 1e5 else round(value)
