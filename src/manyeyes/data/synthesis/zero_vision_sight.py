"""`Sight`: a small picture drawn by code, a question about it, and how far an answer is from the truth.

    off(sight, "4")     0 where the answer is right, 1 and more where it is worth nothing

What may be seen wrong is part of every kind: in half of the pictures colours have grain, in half of them specks of dust
lie around, so that a way to measure that is right in a clean picture is wrong in another.

Report: §2.2 (operations on pictures as code), §2.3 (grounding and counting, charts, vision-critical STEM).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.coordinates import read_boxes
from manyeyes.core.picture import Pixels
from manyeyes.core.seeds import stream
from manyeyes.data.synthesis.generator import between

Scoring = Literal["count", "number", "angle", "box", "word"]
GRAIN = 18
"""Largest change of a channel of a pixel, in grainy pictures."""
RIGHT: dict[Scoring, float] = {"count": 0.0, "number": 0.2, "angle": 0.1, "box": 0.25, "word": 0.0}
"""How far a right answer is off at most."""
NOTHING = 2.0
"""How far an answer is off that is none."""


class Weather(NamedTuple):
    """What lies over a picture.

    Attributes:
        grain: whether colours have some.
        dust: number of specks, single pixels of the asked colour.
        seed: where they lie.
    """

    grain: bool
    dust: int
    seed: int


@dataclass(frozen=True, slots=True)
class Sight:
    """See the module.

    Attributes:
        kind: which kind it is of.
        question: what is asked, and in which form the answer is wanted.
        answer: one that is right.
        scoring: how answers are compared: whole numbers, measured numbers, angles of a circle of 360 degrees, a box as
            fractions of the picture, a word.
        told: what the picture shows, in words that suffice to answer.
        content: all that is drawn and asked; decides the split.
        draw: the pixels.
        gaps: what fills the gaps of programs that measure it.
        unit: difference at which a measured number is worth nothing.
    """

    kind: str
    question: str
    answer: str
    scoring: Scoring
    told: str
    content: str = field(repr=False)
    draw: Callable[[], Pixels] = field(repr=False)
    gaps: Mapping[str, str] = field(default_factory=dict)
    unit: float = 1.0


def off(sight: Sight, answer: str) -> float:
    """How far an answer is off: 0 is right, 1 and more is worth nothing."""
    match sight.scoring:
        case "word":
            return float(answer.strip().casefold() != sight.answer.casefold())
        case "box":
            return 1.0 - _iou(answer, sight.answer)
    number, truth = read_number(answer), float(sight.answer)
    if number is None:
        return NOTHING
    apart = abs(number - truth)
    if sight.scoring == "angle":
        return NOTHING if not 0 <= number <= 360 else min(apart, 360 - apart) / sight.unit
    return apart / (max(truth, 1.0) if sight.scoring == "count" else sight.unit)


def is_right(sight: Sight, answer: str) -> bool:
    """Whether an answer is as near as measuring well comes."""
    return off(sight, answer) <= RIGHT[sight.scoring]


def read_number(text: str) -> float | None:
    """A number and nothing else; None where it is something else.

    Example:
        >>> read_number(" 12.5"), read_number("-3"), read_number("12 cats"), read_number("nan")
        (12.5, -3.0, None, None)
    """
    try:
        number = float(text) if len(text) < 20 else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def sizes(side: int) -> dict[str, str]:
    """Gaps that name the picture's size."""
    return {"side": str(side), "half": str(side // 2)}


def some_weather(rng: np.random.Generator) -> Weather:
    """Grain in half of the pictures, dust in half of them."""
    grain, dusty = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    return Weather(grain, between(rng, 3, 8) if dusty else 0, between(rng, 0, 2**31 - 1))


def weathered(pixels: Pixels, weather: Weather, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A copy with grain and dust on it.

    Args:
        colour: of the dust.
    """
    rng = stream(weather.seed, "data/zero_vision/weather")
    seen = pixels.astype(np.int16)
    height, width = seen.shape[:2]
    for _ in range(weather.dust):
        seen[int(rng.integers(height)), int(rng.integers(width))] = colour
    if weather.grain:
        seen += rng.integers(-GRAIN, GRAIN + 1, seen.shape, dtype=np.int16)
    return seen.clip(0, 255).astype(np.uint8)


def _iou(answer: str, truth: str) -> float:
    """Of the one box in an answer; 0 where there is none, or more than one."""
    said, right = read_boxes(answer), read_boxes(truth).found[0]
    if said.invalid or len(said.found) != 1:
        return 0.0
    box = said.found[0]
    sides = np.minimum(box[2:], right[2:]) - np.maximum(box[:2], right[:2])
    shared = float(np.prod(sides.clip(0)))
    return shared / (float(np.prod(box[2:] - box[:2]) + np.prod(right[2:] - right[:2])) - shared)
