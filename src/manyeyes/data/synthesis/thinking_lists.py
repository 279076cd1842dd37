"""Families of short lists: the largest or smallest number, how often a colour comes, whether that is even.

Report: §4.4.1 (reasoning).
"""

from collections.abc import Callable

import numpy as np

from manyeyes.data.synthesis.generator import between, pick, some
from manyeyes.data.synthesis.thinking_problem import COLOURS, LETTERS, Problem, Step, digits, lettered


def largest(rng: np.random.Generator, level: int) -> Problem:
    """The largest of some numbers, compared one by one."""
    return _extreme(rng, level, family="largest", question="Which is the largest?", choose=max)


def smallest(rng: np.random.Generator, level: int) -> Problem:
    """The smallest of some numbers, compared one by one."""
    return _extreme(rng, level, family="smallest", question="Which is the smallest?", choose=min)


def _extreme(
    rng: np.random.Generator, level: int, *, family: str, question: str, choose: Callable[[int, int], int]
) -> Problem:
    numbers = digits(rng, 2 + level + between(rng, 0, 1))
    steps, best = [], numbers[0]
    for letter, number in zip(LETTERS, numbers, strict=False):
        best = choose(best, number)
        steps.append(Step("I compare the next one", f"{letter} {number}: {best}"))
    return Problem(family, f"{question}\n{lettered(numbers)}", tuple(steps), str(best))


def count(rng: np.random.Generator, level: int) -> Problem:
    """How often a colour comes."""
    wanted, colours = _coloured(rng, 2 + level + between(rng, 0, 1))
    steps, found = [], 0
    for letter, colour in zip(LETTERS, colours, strict=False):
        found += colour == wanted
        steps.append(Step("I look at the next one", f"{letter} {colour}: {_is(colour, wanted)} {found}"))
    return Problem("count", f"How many are {wanted}?\n{lettered(colours)}", tuple(steps), str(found))


def parity(rng: np.random.Generator, level: int) -> Problem:
    """Whether a colour comes an even or an odd number of times."""
    wanted, colours = _coloured(rng, 2 + level + between(rng, 0, 1))
    steps, found = [], 0
    for letter, colour in zip(LETTERS, colours, strict=False):
        found += colour == wanted
        steps.append(Step("I look at the next one", f"{letter} {colour}: {_is(colour, wanted)} {_parity(found)}"))
    question = f"Even or odd number of {wanted}?\n{lettered(colours)}"
    return Problem("parity", question, tuple(steps), _parity(found))


def _is(colour: str, wanted: str) -> str:
    return "yes" if colour == wanted else "no"


def _parity(ones: int) -> str:
    return "odd" if ones % 2 else "even"


def _coloured(rng: np.random.Generator, length: int) -> tuple[str, list[str]]:
    """A colour, and a list of it and two others."""
    wanted, *others = some(rng, COLOURS, 3)
    return wanted, [wanted if rng.random() < 0.5 else pick(rng, others) for _ in range(length)]
