"""Panels of curves as one SVG that stands alone: lines, steps or points over axes with round numbers, one legend.

Colours are inside the drawing, so the same file goes into a page and beside a markdown file. The names of series are
foreign text to this module and are escaped.

Report: Figures 2, 4, 5, 7 and 8.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from manyeyes.view.chart import plain, ticks
from manyeyes.view.markup import Markup, tag, trusted

COLOURS = {"single": "#d97706", "discard-all": "#d97706", "none": "#6b7280", "swarm": "#2563eb"}
OTHERS = ("#059669", "#7c3aed", "#0891b2", "#4b5563", "#be185d")
"""For series of other names, in their order."""
WIDTH, HEIGHT = 320, 240
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 34, 40
HEAD = 28
"""Height of the legend above all panels."""
LETTER, LINE = 6.6, 18
"""Width of a letter of the legend, about, and height of its lines."""


class Series(NamedTuple):
    """Points of one thing.

    Attributes:
        name: for the legend; equal names share a colour, and so do "swarm" and "swarm, something".
        form: joined by lines with a dot at each point, or by steps (a value holds until the next); or points alone.
        dashed: drawn thinner and dashed.
        low, high: where they are given, a band around a line, or a bar through each point.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    form: Literal["line", "steps", "points"] = "line"
    dashed: bool = False
    low: Sequence[float] = ()
    high: Sequence[float] = ()


class Panel(NamedTuple):
    """One figure.

    Attributes:
        title: what it shows, the vertical axis.
        x_name: the horizontal axis.
        percent: values of the vertical axis are shares, those of the horizontal one with `x_percent`.
        y_range, x_range: of the axes; from the values where they are not given.
        x_names: what stands at 1, 2, ... of the horizontal axis, in the place of numbers.
    """

    title: str
    x_name: str
    series: Sequence[Series]
    percent: bool = False
    x_percent: bool = False
    y_range: tuple[float, float] | None = None
    x_range: tuple[float, float] | None = None
    x_names: Sequence[str] = ()


class _Axes(NamedTuple):
    """From values to places in a panel."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - TOP - BOTTOM)


def panels_figure(panels: Sequence[Panel], *, label: str, columns: int | None = None) -> Markup:
    """All panels in one SVG.

    Args:
        label: what the figure shows, for those who do not see it.
        columns: panels side by side; all when left out.
    """
    across = min(columns or len(panels), len(panels))
    width, colours = across * WIDTH, colours_of(panels)
    legend, head = _legend(panels, colours, width)
    places = [(number % across * WIDTH, head + number // across * HEIGHT) for number in range(len(panels))]
    drawn = [
        tag("g", _panel(one, colours), transform=f"translate({x} {y})")
        for one, (x, y) in zip(panels, places, strict=True)
    ]
    return svg(width, head + -(-len(panels) // across) * HEIGHT, [*legend, *drawn], label=label)


def svg(width: float, height: float, parts: Sequence[Markup], *, label: str) -> Markup:
    """A drawing on white that stands alone."""
    return tag(
        "svg", tag("rect", width=width, height=height, fill="#ffffff"), parts, xmlns="http://www.w3.org/2000/svg",
        viewbox=f"0 0 {width} {height}", role="img", aria_label=label, font_family="system-ui, sans-serif",
        font_size=11, fill="#374151",
    )  # fmt: skip


def document(figure: Markup) -> str:
    """The SVG as a file."""
    return trusted('<?xml version="1.0" encoding="UTF-8"?>\n') + figure + "\n"


def _legend(panels: Sequence[Panel], colours: Mapping[str, str], width: float) -> tuple[list[Markup], int]:
    """Names with their strokes, in as many lines as they need; and the height of these."""
    entries = {one.name: one for panel in panels for one in panel.series if one.xs}
    parts, x, y = [], 12.0, 14
    for one in entries.values():
        wide = 44 + LETTER * len(one.name)
        if x > 12.0 and x + wide > width:
            x, y = 12.0, y + LINE
        parts.append(_stroke("line", one, colours[one.name], x1=_at(x), x2=_at(x + 22), y1=_at(y), y2=_at(y)))
        parts.append(tag("text", one.name, x=_at(x + 28), y=_at(y + 4), font_size=12))
        x += wide
    return parts, HEAD + y - 14


def colours_of(panels: Sequence[Panel]) -> dict[str, str]:
    """A colour for every name; "swarm, something" has that of "swarm"."""
    names = dict.fromkeys(one.name for panel in panels for one in panel.series)
    others = [name for name in names if name.partition(",")[0] not in COLOURS]
    rest = {name: OTHERS[number % len(OTHERS)] for number, name in enumerate(others)}
    return {name: COLOURS.get(name.partition(",")[0]) or rest[name] for name in names}


def _panel(panel: Panel, colours: Mapping[str, str]) -> list[Markup]:
    title = tag("text", panel.title, x=LEFT, y=18, font_weight="600", font_size=12)
    series = [one for one in panel.series if one.xs]
    if not series:
        return [title, tag("text", "nothing measured", x=LEFT, y=TOP + 14)]
    axes = _axes(panel, series)
    return [title, *_grid(panel, axes), *(mark for one in series for mark in _curve(one, axes, colours[one.name]))]


def _axes(panel: Panel, series: Sequence[Series]) -> _Axes:
    xs, ys = [x for one in series for x in one.xs], [y for one in series for y in (*one.ys, *one.high)]
    x_low, x_high = panel.x_range or (0.0, max(xs) * 1.02 or 1.0)
    y_low, y_high = panel.y_range or (0.0, max(ys) * 1.08 or 1.0)
    return _Axes(x_low, x_high, y_low, y_high)


def _grid(panel: Panel, axes: _Axes) -> list[Markup]:
    parts = []
    for value in ticks(axes.y_low, axes.y_high, 5):
        y = axes.y(value)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=_at(y), y2=_at(y), stroke="#e5e7eb"))
        parts.append(tag("text", _written(value, panel.percent), x=LEFT - 6, y=_at(y + 4), text_anchor="end"))
    if panel.x_names:
        parts += _names(panel.x_names, axes)
    else:
        for value in ticks(axes.x_low, axes.x_high, 5):
            written = _written(value, panel.x_percent)
            parts.append(tag("text", written, x=_at(axes.x(value)), y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    bottom = HEIGHT - BOTTOM
    parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, stroke="#9ca3af"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(tag("text", panel.x_name, x=_at(middle), y=HEIGHT - 7, text_anchor="middle", fill="#6b7280"))
    return parts


def _names(names: Sequence[str], axes: _Axes) -> list[Markup]:
    """Slanted, so that many have room."""
    parts = []
    for number, name in enumerate(names, 1):
        x, y = _at(axes.x(number)), _at(HEIGHT - BOTTOM + 12)
        turned = f"rotate(-35 {x} {y})"
        parts.append(tag("text", name, x=x, y=y, text_anchor="end", font_size=9, transform=turned))
    return parts


def _written(value: float, percent: bool) -> str:
    return f"{100 * value:.0f}%" if percent else plain(value)


def _curve(one: Series, axes: _Axes, colour: str) -> list[Markup]:
    points = [(axes.x(x), axes.y(y)) for x, y in zip(one.xs, one.ys, strict=True)]
    parts = _spread(one, axes, colour)
    if len(points) > 1 and one.form != "points":
        parts.append(
            _stroke("path", one, colour, d=_steps(points) if one.form == "steps" else _lines(points), fill="none")
        )
    if one.form != "steps":
        parts += [tag("circle", cx=_at(x), cy=_at(y), r=2.6, fill=colour) for x, y in points]
    return parts


def _spread(one: Series, axes: _Axes, colour: str) -> list[Markup]:
    """From the lowest to the highest value at each point."""
    if not one.low or not one.high:
        return []
    low, high = ([(axes.x(x), axes.y(y)) for x, y in zip(one.xs, ys, strict=True)] for ys in (one.low, one.high))
    if one.form == "points":
        return [
            tag("line", x1=_at(x), x2=_at(x), y1=_at(down), y2=_at(up), stroke=colour, stroke_width=1.2)
            for (x, down), (_, up) in zip(low, high, strict=True)
        ]
    return [tag("path", d=f"{_lines([*high, *low[::-1]])}Z", fill=colour, opacity=0.14)]


def _lines(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_at(x)} {_at(y)}" for x, y in points)


def _steps(points: Sequence[tuple[float, float]]) -> str:
    (x, y), *rest = points
    return f"M{_at(x)} {_at(y)}" + "".join(f"H{_at(x)}V{_at(y)}" for x, y in rest)


def _stroke(name: str, one: Series, colour: str, **attributes: object) -> Markup:
    dashes, width = ("4 3", 1.2) if one.dashed else (None, 2)
    return tag(name, stroke=colour, stroke_width=width, stroke_dasharray=dashes, **attributes)


def _at(place: float) -> str:
    return f"{place:.1f}".removesuffix(".0")
