"""Sights to be measured: the share of a colour (`share`), the pips of dice (`dice`), where a hand points (`gauge`).

Report: §2.3 (vision-critical STEM).
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from manyeyes.core.picture import Pixels
from manyeyes.data.synthesis.generator import between, pick, some
from manyeyes.data.synthesis.scene import COLOURS, EASY_COLOURS, ground
from manyeyes.data.synthesis.zero_vision_sight import Sight, Weather, sizes, some_weather, weathered

SHARE = (
    "What percentage of the picture is {}?",
    "How many percent of the picture are {}?",
    "What is the share of {}, in percent?",
    "Percentage of {}?",
)
DICE = (
    "How many pips do the dice show?",
    "What is the sum of the dice?",
    "Add up the dice.",
    "Count the pips of the dice.",
)
GAUGE = (
    "Which angle does the hand show? Degrees, counter-clockwise from the right.",
    "What is the angle of the hand in degrees, counter-clockwise from the right?",
    "The hand points to the right at 0 degrees, up at 90. What is its angle?",
    "Angle of the hand? Degrees, counter-clockwise from the right.",
)
PIPS = {
    1: ((1, 1),), 2: ((0, 0), (2, 2)), 3: ((0, 0), (1, 1), (2, 2)), 4: ((0, 0), (0, 2), (2, 0), (2, 2)),
    5: ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2)), 6: ((0, 0), (0, 1), (0, 2), (2, 0), (2, 1), (2, 2)),
}  # fmt: skip
"""Where pips lie on a grid of three by three."""
DIE, PIP, GAP = 19, 3, 2
"""Pixels: sides of a die and of a pip, and what lies between pips."""
TABLES = ((0, 128, 128), (165, 42, 42), (200, 220, 200), (230, 220, 180), (20, 30, 90), (10, 70, 20))
"""What dice lie on: light, middling and dark."""
BLACK = (0, 0, 0)


class _Patches(NamedTuple):
    side: int
    colour: str
    other: str
    layout: str
    boxes: tuple[tuple[int, int, int, int], ...]
    weather: Weather


def share_sight(rng: np.random.Generator, side: int) -> Sight:
    """A band across, a band down, or patches of the asked colour on another one."""
    colour, other = some(rng, EASY_COLOURS, 2)
    layout = pick(rng, ("across", "down", "patches"))
    plan = _Patches(side, colour, other, layout, _patches(rng, side, layout), some_weather(rng))
    covered = _covered(plan)
    percent = round(100 * float(covered.mean()))
    return Sight(
        "share", pick(rng, SHARE).format(colour), str(percent), "number", f"{percent}% {colour}, the rest {other}",
        content=repr(plan[:-1]), draw=partial(_drawn_patches, plan), gaps={"colour": colour} | sizes(side),
        unit=10.0,
    )  # fmt: skip


def _patches(rng: np.random.Generator, side: int, layout: str) -> tuple[tuple[int, int, int, int], ...]:
    """Left, top, right, bottom."""
    if layout == "patches":
        corners = [(between(rng, 0, side // 2), between(rng, 0, side // 2)) for _ in range(between(rng, 1, 3))]
        return tuple((x, y, x + between(rng, 8, side // 2), y + between(rng, 8, side // 2)) for x, y in corners)
    start, long = between(rng, 0, side // 3), between(rng, side // 10, side * 3 // 5)
    return ((0, start, side, start + long),) if layout == "across" else ((start, 0, start + long, side),)


def _covered(plan: _Patches) -> np.ndarray:
    covered = np.zeros((plan.side, plan.side), bool)
    for left, top, right, bottom in plan.boxes:
        covered[top:bottom, left:right] = True
    return covered


def _drawn_patches(plan: _Patches) -> Pixels:
    pixels = np.full((plan.side, plan.side, 3), COLOURS[plan.other], np.uint8)
    pixels[_covered(plan)] = COLOURS[plan.colour]
    return weathered(pixels, plan.weather, COLOURS[plan.colour])


class _Dice(NamedTuple):
    side: int
    table: tuple[int, int, int]
    values: tuple[int, ...]
    corners: tuple[tuple[int, int], ...]
    outlined: bool
    weather: Weather


def dice_sight(rng: np.random.Generator, side: int) -> Sight:
    """One to three dice that do not touch; half of the pictures have outlined ones."""
    corners: list[tuple[int, int]] = []
    count = between(rng, 1, 3)
    while len(corners) < count:
        x, y = between(rng, 1, side - DIE - 1), between(rng, 1, side - DIE - 1)
        if all(max(abs(x - a), abs(y - b)) > DIE + 1 for a, b in corners):
            corners.append((x, y))
        elif rng.random() < 0.02:
            corners.clear()
    values = tuple(between(rng, 1, 6) for _ in corners)
    weather = some_weather(rng)._replace(dust=0)
    plan = _Dice(side, pick(rng, TABLES), values, tuple(corners), bool(rng.random() < 0.5), weather)
    return Sight(
        "dice", pick(rng, DICE), str(sum(values)), "count", "dice: " + ", ".join(map(str, values)),
        content=repr(plan[:-1]), draw=partial(_drawn_dice, plan), gaps=sizes(side),
    )  # fmt: skip


def _drawn_dice(plan: _Dice) -> Pixels:
    pixels = np.full((plan.side, plan.side, 3), plan.table, np.uint8)
    for (x, y), value in zip(plan.corners, plan.values, strict=True):
        pixels[y : y + DIE, x : x + DIE] = BLACK if plan.outlined else (250, 250, 250)
        pixels[y + 1 : y + DIE - 1, x + 1 : x + DIE - 1] = (250, 250, 250)
        for row, column in PIPS[value]:
            top, left = (at + 3 + (PIP + GAP) * step for at, step in ((y, row), (x, column)))
            pixels[top : top + PIP, left : left + PIP] = BLACK
    return weathered(pixels, plan.weather, BLACK)


class _Gauge(NamedTuple):
    side: int
    ground: tuple[int, int, int]
    angle: int
    long: float
    ring: tuple[int, int, int] | None
    weather: Weather


def gauge_sight(rng: np.random.Generator, side: int) -> Sight:
    """A black hand that turns about the middle, in a ring or without one."""
    ring = pick(rng, (None, (120, 120, 120), BLACK))
    long = round((0.3 + 0.16 * float(rng.random())) * side, 1)
    plan = _Gauge(side, ground(rng), between(rng, 0, 359), long, ring, some_weather(rng))
    return Sight(
        "gauge", pick(rng, GAUGE), str(plan.angle), "angle", f"the hand is at {plan.angle} degrees",
        content=repr(plan[:-1]), draw=partial(_drawn_gauge, plan), gaps=sizes(side), unit=40.0,
    )  # fmt: skip


def _drawn_gauge(plan: _Gauge) -> Pixels:
    k = 4
    image = Image.new("RGB", (plan.side * k, plan.side * k), plan.ground)
    canvas, middle = ImageDraw.Draw(image), plan.side * k / 2
    if plan.ring is not None:
        canvas.ellipse((k, k, (plan.side - 1) * k, (plan.side - 1) * k), outline=plan.ring, width=k)
    turn, long = np.radians(plan.angle), plan.long * k
    tip = middle + long * float(np.cos(turn)), middle - long * float(np.sin(turn))
    canvas.line((middle, middle, *tip), fill=BLACK, width=3 * k)
    return weathered(np.asarray(image.reduce(k)), plan.weather, BLACK)
