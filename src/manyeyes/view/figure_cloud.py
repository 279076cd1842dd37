"""A cloud of words as one SVG that stands alone: larger where there are more, none over another, always the same.

The largest goes to the middle; every other one along a spiral to the first place where its box meets no other box. A
word is drawn exactly as wide as its box (`textLength`), whatever font the reader has, so what is apart stays apart.

Report: Figure 6.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from manyeyes.view.figure_panels import svg
from manyeyes.view.figure_targets import markdown_table
from manyeyes.view.markup import Markup, tag

COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#dc2626", "#0891b2", "#4b5563")
SMALLEST, LARGEST, BOLD_FROM = 9.0, 36.0, 22.0
"""Font sizes."""
GAP = 2.0
"""Between boxes."""
FLATNESS = 0.55
"""Height of the spiral for its width."""
MARGIN = 12.0
_NARROW, _WIDE = frozenset("iIjlft.,'|!:;()[] -r"), frozenset("mwMW%@&")


class Box(NamedTuple):
    """Where a word lies: its middle and its size."""

    word: str
    count: int
    x: float
    y: float
    width: float
    height: float
    size: float

    def meets(self, other: "Box") -> bool:
        """Whether the two boxes overlap or are closer than `GAP`."""
        apart_x = abs(self.x - other.x) - (self.width + other.width) / 2
        apart_y = abs(self.y - other.y) - (self.height + other.height) / 2
        return apart_x < GAP and apart_y < GAP


def layout(counts: Mapping[str, int]) -> list[Box]:
    """A place for every word, the most frequent first; a function of the counts alone."""
    placed: list[Box] = []
    most = max(counts.values(), default=1)
    for word, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        size = SMALLEST + (LARGEST - SMALLEST) * math.sqrt(count / most)
        box = Box(word, count, 0.0, 0.0, width_of(word, size), 1.15 * size, size)
        placed.append(_free(box, placed))
    return placed


def _free(box: Box, placed: Sequence[Box]) -> Box:
    for x, y in _spiral():
        moved = box._replace(x=x, y=y)
        if not any(moved.meets(other) for other in placed):
            return moved
    raise AssertionError("a spiral has no end")


def _spiral() -> Iterator[tuple[float, float]]:
    angle = 0.0
    while True:
        reach = 1.6 * angle
        yield reach * math.cos(angle), FLATNESS * reach * math.sin(angle)
        angle += 0.12 if reach < 40 else 5.0 / reach


def width_of(word: str, size: float) -> float:
    """About as wide as a sans-serif font writes it.

    Example:
        >>> round(width_of("Will", 10.0), 1)
        19.1
    """
    bold = 1.08 if size > BOLD_FROM else 1.0
    letters = sum(0.34 if c in _NARROW else 0.89 if c in _WIDE else 0.68 if c.isupper() else 0.57 for c in word)
    return letters * size * bold


def cloud(counts: Mapping[str, int], *, label: str) -> Markup:
    """The drawing."""
    boxes = layout(counts)
    left = min((box.x - box.width / 2 for box in boxes), default=0.0) - MARGIN
    top = min((box.y - box.height / 2 for box in boxes), default=0.0) - MARGIN
    width = max((box.x + box.width / 2 for box in boxes), default=0.0) + MARGIN - left
    height = max((box.y + box.height / 2 for box in boxes), default=0.0) + MARGIN - top
    words = [_word(box, number, left, top) for number, box in enumerate(boxes)]
    return svg(math.ceil(width), math.ceil(height), words, label=label)


def _word(box: Box, number: int, left: float, top: float) -> Markup:
    return tag(
        "text", box.word, tag("title", f"{box.word}: {box.count}"), x=f"{box.x - left - box.width / 2:.1f}",
        y=f"{box.y - top + 0.35 * box.size:.1f}", font_size=f"{box.size:.1f}", fill=COLOURS[number % len(COLOURS)],
        font_weight="600" if box.size > BOLD_FROM else None, textLength=f"{box.width:.1f}",
        lengthAdjust="spacingAndGlyphs",
    )  # fmt: skip


def picture(result: Mapping[str, Any]) -> Markup:
    """The cloud of an experiment's roles."""
    return cloud(result["roles"], label=f"{len(result['roles'])} roles of {result['agents']} sub-agents")


def table(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and a row for each role."""
    return ["role", "sub-agents"], [[role, str(count)] for role, count in result["roles"].items()]


def markdown(result: Mapping[str, Any], *, picture: str) -> str:
    """The result as markdown; `picture` is where the drawing lies."""
    lines = ["# Roles that orchestrators made", "", f"![roles]({picture})", "", "## What showed", ""]
    lines += [f"- {sentence}" for sentence in result["sentences"]]
    return "\n".join([*lines, "", "## Sub-agents by role", "", *markdown_table(*table(result)), ""])
