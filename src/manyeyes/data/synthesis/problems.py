"""STEM problems drawn as pictures: the numbers stand in the figure only, the answer is exact.

Twelve kinds: sums, linear equations, areas, perimeters, angles, right triangles, clocks, rulers, fractions, resistors,
forces and slopes. With `working`, the solution is written out before the answer.

Report: App. B.3 (multimodal problems in science, technology, engineering and mathematics).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.data.record import Box, Record, Shown
from manyeyes.data.synthesis.generator import PRINT, Generator, assistant, between, pick, user
from manyeyes.data.synthesis.layout import BLACK, Bar, Disc, Item, Page, Stroke, centred, fitting

BLUE, PALE, RED = (30, 60, 160), (214, 228, 248), (190, 30, 30)


class Problem(NamedTuple):
    """One problem: its kind and numbers decide everything else."""

    kind: str
    numbers: tuple[int, ...]


class Solved(NamedTuple):
    """What is asked, the steps to the answer, and the answer."""

    ask: str
    steps: str
    answer: str


class Kind(NamedTuple):
    """How to draw the numbers, the picture and the solution of one kind of problem."""

    numbers: Callable[[np.random.Generator, int], tuple[int, ...]]
    """Of a generator and the largest number allowed."""
    items: Callable[[tuple[int, ...], float], list[Item]]
    """Of the numbers and the side of the picture."""
    solved: Callable[[tuple[int, ...]], Solved]


@dataclass(frozen=True, kw_only=True)
class Problems(Generator[Problem]):
    """Square pictures of problems.

    Attributes:
        side: of the picture, pixels; 64 is the least that stays legible, clocks and rulers want 96.
        kinds: keys of `KINDS`.
        largest: bound on the numbers drawn.
        working: write the steps, then "Answer: ..."; else the answer alone.
    """

    side: int = 96
    kinds: tuple[str, ...] = ()
    largest: int = 20
    working: bool = True
    name: str = "synthetic/knowledge/problems"
    kind: ClassVar[str] = "knowledge"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not set(self.kinds) <= set(KINDS):
            raise ConfigError(f"{self.name}: kinds are {', '.join(KINDS)}; got {self.kinds}")
        if self.side < 64 or self.largest < 5:
            raise ConfigError(f"{self.name}: side must be at least 64 and largest at least 5")

    def _draw(self, rng: np.random.Generator) -> Problem:
        kind = pick(rng, self.kinds or tuple(KINDS))
        return Problem(kind, KINDS[kind].numbers(rng, self.largest))

    def _write(self, plan: Problem, name: str) -> Record:
        kind = KINDS[plan.kind]
        page = Page(self.side, self.side, tuple(kind.items(plan.numbers, float(self.side))))
        ask, steps, answer = kind.solved(plan.numbers)
        said = f"{steps}\nAnswer: {answer}" if self.working else answer
        return Record(name, (user(Shown(0), ask), assistant(said)), (page.picture,), allowed=PRINT, truth=answer)


def _label(text: str, x: float, y: float, side: float, *, size: float = 0.16, ink=BLACK) -> Item:
    """Text centred at (x, y), both as shares of the side."""
    room = Box(x * side - side / 2, y * side - side / 2, x * side + side / 2, y * side + side / 2)
    return centred(text, room, size=max(round(size * side), 11), ink=ink)


def _line(text: str, side: float) -> list[Item]:
    """One formula across the picture."""
    size = fitting(text, 0.94 * side, largest=round(0.3 * side))
    return [centred(text, Box(0, 0, side, side), size=size)]


def _path(points: tuple[tuple[float, float], ...], side: float, *, closed: bool = True, fill=PALE) -> Stroke:
    """Straight lines through points given as shares of the side."""
    scaled = tuple((x * side, y * side) for x, y in points)
    return Stroke((*scaled, scaled[0]), BLUE, 2, fill) if closed else Stroke(scaled, BLUE, 2)


def _two(rng: np.random.Generator, largest: int) -> tuple[int, ...]:
    return between(rng, 2, largest), between(rng, 2, largest)


def _sum_numbers(rng: np.random.Generator, largest: int) -> tuple[int, ...]:
    a, b, sign = between(rng, 1, 5 * largest), between(rng, 1, 5 * largest), between(rng, 0, 2)
    return (a % 12 + 1, b % 12 + 1, 2) if sign == 2 else (max(a, b), min(a, b), sign)


def _sum_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    a, b, sign = numbers
    return _line(f"{a} {'+-×'[sign]} {b}", side)


def _sum_solved(numbers: tuple[int, ...]) -> Solved:
    a, b, sign = numbers
    value = (a + b, a - b, a * b)[sign]
    return Solved("Work it out.", f"{a} {'+-×'[sign]} {b} = {value}", str(value))


def _equation_numbers(rng: np.random.Generator, largest: int) -> tuple[int, ...]:
    return between(rng, 2, 9), between(rng, 1, largest), between(rng, 1, largest)


def _equation_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    a, b, x = numbers
    return _line(f"{a}x + {b} = {a * x + b}", side)


def _equation_solved(numbers: tuple[int, ...]) -> Solved:
    a, b, x = numbers
    return Solved("What is x?", f"{a}x = {a * x + b} - {b} = {a * x}, x = {a * x} / {a} = {x}", str(x))


def _rectangle_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    a, b = numbers
    wide = a >= b
    x1, y1 = (0.95, 0.68) if wide else (0.75, 0.78)
    x0, y0 = 0.3, 0.12 if not wide else 0.24
    corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return [
        _path(corners, side),
        _label(f"{a} cm", (x0 + x1) / 2, y1 + 0.12, side),
        _label(f"{b}", x0 - 0.15, (y0 + y1) / 2, side),
    ]


def _area_solved(numbers: tuple[int, ...]) -> Solved:
    a, b = numbers
    return Solved("What is the area of the rectangle in cm2?", f"{a} × {b} = {a * b}", str(a * b))


def _perimeter_solved(numbers: tuple[int, ...]) -> Solved:
    a, b = numbers
    steps = f"2 × ({a} + {b}) = 2 × {a + b} = {2 * (a + b)}"
    return Solved("What is the perimeter of the rectangle in cm?", steps, str(2 * (a + b)))


def _angle_numbers(rng: np.random.Generator, largest: int) -> tuple[int, ...]:
    return 5 * between(rng, 6, 14), 5 * between(rng, 6, 14)


def _angle_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    left, right = (math.radians(value) for value in numbers)
    x = 0.9 * math.tan(right) / (math.tan(left) + math.tan(right))
    height = x * math.tan(left)
    k = min(1.0, 0.8 / height)
    x0 = 0.5 - 0.45 * k
    low = 0.93
    corners = ((x0, low), (x0 + 0.9 * k, low), (x0 + x * k, low - height * k))
    apex = corners[2]
    return [
        _path(corners, side),
        _label(f"{numbers[0]}°", x0 + 0.2 * k, low - 0.09, side, size=0.13),
        _label(f"{numbers[1]}°", x0 + 0.72 * k, low - 0.09, side, size=0.13),
        _label("?", apex[0], apex[1] + 0.2 * k + 0.04, side, ink=RED),
    ]


def _angle_solved(numbers: tuple[int, ...]) -> Solved:
    a, b = numbers
    return Solved("How large is the third angle?", f"180 - {a} - {b} = {180 - a - b}", f"{180 - a - b}°")


_TRIPLES = ((3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25), (20, 21, 29), (9, 40, 41), (12, 35, 37))


def _right_numbers(rng: np.random.Generator, largest: int) -> tuple[int, ...]:
    a, b, c = pick(rng, _TRIPLES)
    k = between(rng, 1, max(largest // 5, 1))
    return (a * k, b * k, c * k) if rng.random() < 0.5 else (b * k, a * k, c * k)


def _right_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    return [
        _path(((0.3, 0.12), (0.3, 0.75), (0.92, 0.75)), side),
        _path(((0.3, 0.67), (0.38, 0.67), (0.38, 0.75)), side, closed=False),
        _label(str(numbers[0]), 0.15, 0.45, side),
        _label(str(numbers[1]), 0.6, 0.88, side),
        _label("?", 0.7, 0.34, side, ink=RED),
    ]


def _right_solved(numbers: tuple[int, ...]) -> Solved:
    a, b, c = numbers
    steps = f"{a}² + {b}² = {a * a} + {b * b} = {c * c} = {c}²"
    return Solved("How long is the longest side?", steps, str(c))


def _clock_numbers(rng: np.random.Generator, largest: int) -> tuple[int, ...]:
    return between(rng, 1, 12), 5 * between(rng, 0, 11)


def _clock_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    hour, minute = numbers
    items: list[Item] = [Disc(Box(0.05 * side, 0.05 * side, 0.95 * side, 0.95 * side), (250, 250, 240))]
    for tick in range(1, 13):
        x, y = _hand(tick / 12, 0.36)
        items.append(_label(str(tick), x, y, side, size=0.1))
    items.append(_ray(_hand((hour % 12 + minute / 60) / 12, 0.2), side, 4))
    items.append(_ray(_hand(minute / 60, 0.29), side, 2))
    return items


def _hand(turn: float, length: float) -> tuple[float, float]:
    angle = 2 * math.pi * (turn - 0.25)
    return 0.5 + length * math.cos(angle), 0.5 + length * math.sin(angle)


def _ray(end: tuple[float, float], side: float, width: int) -> Stroke:
    return Stroke(((0.5 * side, 0.5 * side), (end[0] * side, end[1] * side)), BLUE, width)


def _clock_solved(numbers: tuple[int, ...]) -> Solved:
    hour, minute = numbers
    steps = f"The long hand shows {minute} minutes, the short hand {hour} hours."
    return Solved("What time is it?", steps, f"{hour}:{minute:02d}")


def _ruler_numbers(rng: np.random.Generator, largest: int) -> tuple[int, ...]:
    start = between(rng, 0, 4)
    return start, between(rng, start + 1, 9)


def _ruler_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    def at(mark: int) -> float:
        return (0.07 + 0.095 * mark) * side

    items: list[Item] = [Bar(Box(1, 0.5 * side, side - 1, 0.85 * side), (255, 236, 170), BLACK)]
    for mark in range(10):
        items.append(Stroke(((at(mark), 0.5 * side), (at(mark), 0.58 * side))))
        items.append(_label(str(mark), at(mark) / side, 0.7, side, size=0.11))
    items.append(Bar(Box(at(numbers[0]), 0.3 * side, at(numbers[1]) + 1, 0.47 * side), BLUE))
    return items


def _ruler_solved(numbers: tuple[int, ...]) -> Solved:
    a, b = numbers
    return Solved("How long is the blue bar?", f"It goes from {a} to {b}: {b} - {a} = {b - a}", str(b - a))


def _fraction_numbers(rng: np.random.Generator, largest: int) -> tuple[int, ...]:
    parts = between(rng, 2, 8)
    return between(rng, 1, parts - 1), parts


def _fraction_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    shaded, parts = numbers
    disc = Box(0.08 * side, 0.08 * side, 0.92 * side, 0.92 * side)
    turns = [360 * i / parts - 90 for i in range(parts + 1)]
    return [Disc(disc, BLUE if i < shaded else (255, 255, 255), BLACK, (turns[i], turns[i + 1])) for i in range(parts)]


def _fraction_solved(numbers: tuple[int, ...]) -> Solved:
    shaded, parts = numbers
    steps = f"{shaded} of {parts} equal parts are blue."
    return Solved("What fraction of the disc is blue? Do not reduce it.", steps, f"{shaded}/{parts}")


def _resistor_numbers(rng: np.random.Generator, largest: int) -> tuple[int, ...]:
    if rng.random() < 0.5:
        return (*_two(rng, largest), 0)
    a = 2 * between(rng, 1, max(largest // 2, 1))
    return a, a, 1


def _resistor_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    a, b, parallel = numbers

    def resistor(x: float, y: float, value: int) -> list[Item]:
        box = Box((x - 0.17) * side, (y - 0.11) * side, (x + 0.17) * side, (y + 0.11) * side)
        text = f"{value}Ω"
        return [
            Bar(box, (255, 255, 255), BLACK),
            centred(text, box, size=fitting(text, 0.3 * side, largest=max(round(0.12 * side), 10))),
        ]

    def wire(*points: tuple[float, float]) -> Stroke:
        return Stroke(tuple((x * side, y * side) for x, y in points), BLACK, 1)

    if not parallel:
        return [wire((0.0, 0.5), (1.0, 0.5)), *resistor(0.27, 0.5, a), *resistor(0.73, 0.5, b)]
    loop = wire((0.0, 0.5), (0.2, 0.5), (0.2, 0.25), (0.8, 0.25), (0.8, 0.75), (0.2, 0.75), (0.2, 0.5))
    return [loop, wire((0.8, 0.5), (1.0, 0.5)), *resistor(0.5, 0.25, a), *resistor(0.5, 0.75, b)]


def _resistor_solved(numbers: tuple[int, ...]) -> Solved:
    a, b, parallel = numbers
    value = a // 2 if parallel else a + b
    steps = f"in parallel: {a} / 2 = {value}" if parallel else f"in series: {a} + {b} = {value}"
    return Solved("What is the total resistance in ohm?", steps, str(value))


def _force_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    left, right = numbers

    def arrow(x0: float, x1: float) -> list[Item]:
        tip = 0.07 if x1 < x0 else -0.07
        shaft = Stroke(((x0 * side, 0.5 * side), (x1 * side, 0.5 * side)), RED, 2)
        head = ((x1, 0.5), (x1 + tip, 0.43), (x1 + tip, 0.57), (x1, 0.5))
        return [shaft, Stroke(tuple((x * side, y * side) for x, y in head), RED, 1, RED)]

    block = Bar(Box(0.36 * side, 0.35 * side, 0.64 * side, 0.65 * side), PALE, BLACK)
    labels = [_label(f"{left} N", 0.19, 0.3, side, size=0.13), _label(f"{right} N", 0.81, 0.3, side, size=0.13)]
    return [block, *arrow(0.36, 0.04), *arrow(0.64, 0.96), *labels]


def _force_solved(numbers: tuple[int, ...]) -> Solved:
    left, right = numbers
    way = "left" if left > right else "right" if right > left else ""
    net = abs(left - right)
    steps = f"{max(left, right)} - {min(left, right)} = {net}"
    return Solved("What is the net force on the block, and to which side?", steps, f"{net} N {way}".strip())


def _slope_numbers(rng: np.random.Generator, largest: int) -> tuple[int, ...]:
    slope = pick(rng, (-3, -2, -1, 1, 2, 3))
    return slope, between(rng, -1, 1)


def _slope_items(numbers: tuple[int, ...], side: float) -> list[Item]:
    slope, start = numbers

    def at(x: float, y: float) -> tuple[float, float]:
        return (0.5 + 0.115 * x) * side, (0.5 - 0.115 * y) * side

    grid: list[Item] = [Stroke((at(i, -4), at(i, 4)), (215, 215, 215)) for i in range(-4, 5)]
    grid += [Stroke((at(-4, i), at(4, i)), (215, 215, 215)) for i in range(-4, 5)]
    axes: list[Item] = [Stroke((at(-4, 0), at(4, 0))), Stroke((at(0, -4), at(0, 4)))]
    ends = sorted(((-4 - start) / slope, (4 - start) / slope))
    low, high = max(ends[0], -4.0), min(ends[1], 4.0)
    line = Stroke((at(low, slope * low + start), at(high, slope * high + start)), BLUE, 2)
    return [*grid, *axes, line]


def _slope_solved(numbers: tuple[int, ...]) -> Solved:
    slope, start = numbers
    steps = f"From x = 0 to x = 1 the line goes from {start} to {start + slope}."
    return Solved("The squares of the grid are 1 wide. What is the slope of the line?", steps, str(slope))


KINDS: dict[str, Kind] = {
    "sum": Kind(_sum_numbers, _sum_items, _sum_solved),
    "equation": Kind(_equation_numbers, _equation_items, _equation_solved),
    "area": Kind(_two, _rectangle_items, _area_solved),
    "perimeter": Kind(_two, _rectangle_items, _perimeter_solved),
    "angle": Kind(_angle_numbers, _angle_items, _angle_solved),
    "right_triangle": Kind(_right_numbers, _right_items, _right_solved),
    "clock": Kind(_clock_numbers, _clock_items, _clock_solved),
    "ruler": Kind(_ruler_numbers, _ruler_items, _ruler_solved),
    "fraction": Kind(_fraction_numbers, _fraction_items, _fraction_solved),
    "resistor": Kind(_resistor_numbers, _resistor_items, _resistor_solved),
    "force": Kind(_two, _force_items, _force_solved),
    "slope": Kind(_slope_numbers, _slope_items, _slope_solved),
}
