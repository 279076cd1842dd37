"""Families of arithmetic: sums, chains of operations, stories and linear equations.

Report: §4.4.1, Fig. 5 (mathematics).
"""

import numpy as np

from manyeyes.data.synthesis.generator import between, pick
from manyeyes.data.synthesis.thinking_problem import (
    LETTERS,
    MOST_ADDED,
    Change,
    Problem,
    Step,
    changes,
    digits,
    lettered,
)

THINGS = ("apples", "boxes", "stars", "points")
WORDS = {"+": "add {}", "-": "take {}", "*": "times {}"}
HAPPENS = {"+": "{} come", "-": "{} go", "*": "times {}"}


def sum_of(rng: np.random.Generator, level: int) -> Problem:
    """Several numbers added up."""
    numbers = digits(rng, 2 + level, most=MOST_ADDED)
    return Problem("sum", f"Add all.\n{lettered(numbers)}", summed(numbers), str(sum(numbers)))


def summed(numbers: tuple[int, ...]) -> tuple[Step, ...]:
    """One line for each number of a lettered list."""
    steps, total = [Step("I begin with the first", f"a: {numbers[0]}")], numbers[0]
    for letter, number in zip(LETTERS[1:], numbers[1:], strict=False):
        steps.append(Step("I add the next one", f"{letter}: {Change('+', number).line(total)}"))
        total += number
    return tuple(steps)


def chain(rng: np.random.Generator, level: int) -> Problem:
    """A number that is added to, taken from and doubled in turn."""
    start = between(rng, 1, 9)
    drawn = changes(rng, start, 1 + level)
    told = lettered([WORDS[change.sign].format(change.by) for change in drawn])
    return _changed("chain", f"Start with {start}.\n{told}", start, drawn)


def story(rng: np.random.Generator, level: int) -> Problem:
    """Things that come and go."""
    start = between(rng, 1, 9)
    drawn = [change for change in changes(rng, start, 1 + level) if change.sign != "*"] or [Change("+", start)]
    # Without its doublings a chain may take more than there is.
    drawn = drawn if _stays_positive(start, drawn) else [Change("+", change.by) for change in drawn]
    told = lettered([HAPPENS[change.sign].format(change.by) for change in drawn])
    return _changed("story", f"There are {start} {pick(rng, THINGS)}. How many at the end?\n{told}", start, drawn)


def _stays_positive(value: int, drawn: list[Change]) -> bool:
    for change in drawn:
        value = change.of(value)
        if value < 0:
            return False
    return True


def _changed(family: str, question: str, value: int, drawn: list[Change]) -> Problem:
    steps: list[Step] = []
    for letter, change in zip(LETTERS, drawn, strict=False):
        steps.append(Step("I do the next one", f"{letter}: {change.line(value)}"))
        value = change.of(value)
    return Problem(family, question, tuple(steps), str(value))


def equation(rng: np.random.Generator, level: int) -> Problem:
    """a x + b = c with a whole solution."""
    factor, x, offset = between(rng, 2, 3), between(rng, 1, 4 + level), between(rng, 1, 9)
    left = factor * x
    right = left + offset
    steps = (
        Step("I take it from both sides", Change("-", offset).line(right)),
        Step("I divide", f"{left} / {factor} = {x}"),
    )
    return Problem("equation", f"Solve {factor} x + {offset} = {right}.", steps, str(x))
