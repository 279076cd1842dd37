"""Learning curves of an ablation as one SVG that stands alone: a panel for each figure, a line and a band for each arm.

The band spans the lowest and the highest seed. Colours are inside the drawing, so the same SVG goes into a page and
beside a markdown file. Report: Figure 9.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from manyeyes.view.chart import ticks
from manyeyes.view.markup import Markup, tag, trusted
from manyeyes.view.wording import compact

COLOURS = {"early": "#2563eb", "mid": "#d97706", "late": "#dc2626"}
OTHER = "#6b7280"
WIDTH, HEIGHT, COLUMNS = 300, 200, 3
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 30, 26
HEAD = 26
"""Height of the legend above all panels."""


class Panel(NamedTuple):
    """One figure over tokens.

    Attributes:
        title: what it shows.
        curves: arm → {"tokens", "mean", "low", "high"}.
        percent: values are shares.
        level: a value to compare with, such as chance.
    """

    title: str
    curves: Mapping[str, Mapping[str, Sequence[float]]]
    percent: bool = False
    level: float | None = None


class _Axes(NamedTuple):
    """From values to places in a panel."""

    x_most: float
    y_low: float
    y_high: float

    def x(self, tokens: float) -> float:
        return LEFT + tokens / self.x_most * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def curves_figure(panels: Sequence[Panel], *, marks: Mapping[str, float] | None = None) -> Markup:
    """All panels in one SVG.

    Args:
        marks: arm → tokens at which something happens to it (vision comes in): a dashed vertical line.
    """
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * WIDTH, HEAD + rows * HEIGHT
    arms = list(dict.fromkeys(arm for panel in panels for arm in panel.curves))
    parts: list[Markup] = _legend(arms, marks or {})
    for number, panel in enumerate(panels):
        x, y = number % COLUMNS * WIDTH, HEAD + number // COLUMNS * HEIGHT
        parts.append(tag("g", _panel(panel, marks or {}), transform=f"translate({x} {y})"))
    return tag(
        "svg", tag("rect", width=width, height=height, fill="#ffffff"), parts, xmlns="http://www.w3.org/2000/svg",
        viewbox=f"0 0 {width} {height}", role="img", aria_label="learning curves",
        font_family="system-ui, sans-serif", font_size=11, fill="#374151",
    )  # fmt: skip


def _legend(arms: Sequence[str], marks: Mapping[str, float]) -> list[Markup]:
    parts = []
    for number, arm in enumerate(arms):
        x = 12 + 90 * number
        parts.append(tag("line", x1=x, x2=x + 22, y1=13, y2=13, stroke=COLOURS.get(arm, OTHER), stroke_width=2.5))
        parts.append(tag("text", arm, x=x + 28, y=17, font_size=12))
    said = "mean of the seeds; band: lowest to highest"
    said += "; dashed: vision comes in" if marks else ""
    parts.append(tag("text", said, x=20 + 90 * len(arms), y=17, fill="#6b7280"))
    return parts


def _panel(panel: Panel, marks: Mapping[str, float]) -> list[Markup]:
    curves = {arm: curve for arm, curve in panel.curves.items() if curve["tokens"]}
    if not curves:
        return [tag("text", f"{panel.title}: nothing measured", x=LEFT, y=18)]
    axes = _axes(panel, curves)
    parts = [tag("text", panel.title, x=LEFT, y=18, font_weight="600", font_size=12), *_grid(panel, axes)]
    for arm, tokens in marks.items():
        at = _at(axes.x(tokens))
        colour = COLOURS.get(arm, OTHER)
        parts.append(
            tag("line", x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM, stroke=colour, stroke_dasharray="3 3", opacity=0.6)
        )
    parts += [_band(curve, axes, COLOURS.get(arm, OTHER)) for arm, curve in curves.items()]
    parts += [_line(curve, axes, COLOURS.get(arm, OTHER)) for arm, curve in curves.items()]
    return parts


def _axes(panel: Panel, curves: Mapping[str, Mapping[str, Sequence[float]]]) -> _Axes:
    """From what is drawn; a steep beginning may leave the panel, so that the rest can be told apart."""
    most = max(curve["tokens"][-1] for curve in curves.values())
    later = [v for curve in curves.values() for name in ("low", "high") for v in curve[name][len(curve[name]) // 12 :]]
    low, high = min(later), max(later)
    if panel.level is not None:
        low, high = min(low, panel.level), max(high, panel.level)
    room = 0.06 * (high - low) or 0.05
    return _Axes(most, low - room, high + room)


def _grid(panel: Panel, axes: _Axes) -> list[Markup]:
    parts = []
    for value in ticks(axes.y_low, axes.y_high, 4):
        y = _at(axes.y(value))
        written = f"{100 * value:.0f}%" if panel.percent else f"{value:g}"
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, stroke="#e5e7eb"))
        parts.append(tag("text", written, x=LEFT - 6, y=_at(axes.y(value) + 4), text_anchor="end"))
    for value in ticks(0, axes.x_most, 4):
        parts.append(tag("text", compact(value), x=_at(axes.x(value)), y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    if panel.level is not None:
        y = _at(axes.y(panel.level))
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, stroke="#9ca3af", stroke_dasharray="5 3"))
    return parts


def _band(curve: Mapping[str, Sequence[float]], axes: _Axes, colour: str) -> Markup:
    there = _points(curve["tokens"], curve["high"], axes)
    back = _points(curve["tokens"], curve["low"], axes)[::-1]
    return tag("path", d=f"M{'L'.join(there + back)}Z", fill=colour, opacity=0.14)


def _line(curve: Mapping[str, Sequence[float]], axes: _Axes, colour: str) -> Markup:
    path = "L".join(_points(curve["tokens"], curve["mean"], axes))
    return tag("path", d=f"M{path}", fill="none", stroke=colour, stroke_width=1.8)


def _points(tokens: Sequence[float], values: Sequence[float], axes: _Axes) -> list[str]:
    """Points within the panel: what lies above or below it is drawn at its edge."""
    inside = [min(max(value, axes.y_low), axes.y_high) for value in values]
    return [f"{_at(axes.x(t))} {_at(axes.y(v))}" for t, v in zip(tokens, inside, strict=True)]


def _at(place: float) -> str:
    return f"{place:.1f}"


def document(figure: Markup) -> str:
    """The SVG as a file."""
    return trusted('<?xml version="1.0" encoding="UTF-8"?>\n') + figure + "\n"
