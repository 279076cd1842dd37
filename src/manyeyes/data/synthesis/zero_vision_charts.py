"""Sights of charts and print: a bar's value (`bars`), the tallest bar (`tallest`), a printed number or word (`print`).

Bars stand on the lower edge of the picture, and the question says what its whole height is worth. In half of the charts
a bar stands on another, gray one, so that its top alone does not tell its value.

Report: §2.3 (chart and document understanding).
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from manyeyes.core.picture import Pixels
from manyeyes.data.phrasing import READ, READ_NUMBER
from manyeyes.data.synthesis.fonts import ASCII
from manyeyes.data.synthesis.generator import between, pick, some
from manyeyes.data.synthesis.ocr import drawn as drawn_line
from manyeyes.data.synthesis.ocr import typeset
from manyeyes.data.synthesis.scene import COLOURS, EASY_COLOURS, ground
from manyeyes.data.synthesis.words import LANGUAGES
from manyeyes.data.synthesis.zero_vision_sight import Sight, Weather, sizes, some_weather, weathered

HIGH = (20, 50, 100)
"""What the height of a chart is worth."""
BARS = (
    "The chart is {high} high. How high is the {colour} bar?",
    "The chart is {high} high. What is the value of the {colour} bar?",
    "How high is the {colour} bar? The chart is {high} high.",
    "Value of the {colour} bar? The chart is {high} high.",
)
TALLEST = (
    "Which bar is the tallest?",
    "What color is the tallest bar?",
    "Which bar is the highest?",
    "Color of the tallest bar?",
)
OF_BARS = tuple(colour for colour in EASY_COLOURS if colour != "gray")
BELOW = "gray"
LONGEST = 6
"""Letters of a printed word."""


class Bar(NamedTuple):
    """One bar: columns `left` to `right`, `high` pixels on top of `below` gray ones."""

    colour: str
    left: int
    right: int
    high: int
    below: int


class _Chart(NamedTuple):
    side: int
    ground: tuple[int, int, int]
    bars: tuple[Bar, ...]
    asked: Bar
    weather: Weather


def bars_sight(rng: np.random.Generator, side: int) -> Sight:
    """Two to four bars; one of them is asked for."""
    chart, high = _chart(rng, side, stacked=bool(rng.random() < 0.5)), pick(rng, HIGH)
    values = {bar.colour: round(bar.high / side * high) for bar in chart.bars}
    asked = chart.asked.colour
    question = pick(rng, BARS).format(high=high, colour=asked)
    gaps = {"colour": asked, "high": str(high)} | sizes(side)
    return Sight(
        "bars", question, str(values[asked]), "number", "bars: " + _listed(values),
        content=repr((chart.bars, asked, high)), draw=partial(_drawn, chart), gaps=gaps, unit=high / 10,
    )  # fmt: skip


def tallest_sight(rng: np.random.Generator, side: int) -> Sight:
    """The same without gray ones, the tallest clearly taller than the others."""
    while True:
        chart = _chart(rng, side, stacked=False)
        second, first = sorted(bar.high for bar in chart.bars)[-2:]
        if first - second >= side / 12:
            break
    tallest = max(chart.bars, key=lambda bar: bar.high)
    told = "bars: " + _listed({bar.colour: bar.high for bar in chart.bars})
    chart = chart._replace(asked=tallest)
    return Sight(
        "tallest", pick(rng, TALLEST), tallest.colour, "word", told,
        content=repr(chart.bars), draw=partial(_drawn, chart), gaps=sizes(side),
    )  # fmt: skip


def print_sight(rng: np.random.Generator, side: int) -> Sight:
    """A number of up to three digits, or now and then an English word, on one line of half the height."""
    if rng.random() < 0.8:
        digits, width = pick(rng, (1, 2, 3, 3)), side * 3 // 4
        text, phrases = f"{between(rng, 0, 10**digits - 1):0{digits}d}", READ_NUMBER
    else:
        text, width = pick(rng, [word for word in LANGUAGES["en"].words if len(word) <= LONGEST]), side
        phrases = READ
    line = typeset(rng, text, width, side // 2, faces=ASCII, smallest=17, largest=24)
    return Sight(
        "print", pick(rng, phrases), text, "word", f"it says {text}", content=text, draw=partial(drawn_line, line),
        gaps=sizes(side),
    )  # fmt: skip


def _chart(rng: np.random.Generator, side: int, *, stacked: bool) -> _Chart:
    colours = some(rng, OF_BARS, between(rng, 2, 4))
    room = side // len(colours)
    bars: list[Bar] = []
    for number, colour in enumerate(colours):
        width = between(rng, room // 2, room - 2)
        left = number * room + between(rng, 1, room - 1 - width)
        below = between(rng, side // 12, side // 4) if stacked and rng.random() < 0.7 else 0
        bars.append(Bar(colour, left, left + width, between(rng, side // 10, side - 4 - below), below))
    return _Chart(side, ground(rng), tuple(bars), pick(rng, bars), some_weather(rng))


def _listed(values: dict[str, int]) -> str:
    return ", ".join(f"{colour} {value}" for colour, value in values.items())


def _drawn(chart: _Chart) -> Pixels:
    pixels = np.full((chart.side, chart.side, 3), chart.ground, np.uint8)
    for bar in chart.bars:
        foot = chart.side - bar.below
        pixels[foot:, bar.left : bar.right] = COLOURS[BELOW]
        pixels[foot - bar.high : foot, bar.left : bar.right] = COLOURS[bar.colour]
    return weathered(pixels, chart.weather, COLOURS[chart.asked.colour])
