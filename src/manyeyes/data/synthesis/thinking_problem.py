"""`Problem`: a question with an exact answer, and the steps that lead from one to the other.

    Problem("sum", "Add all.\\na 4\\nb 7", (Step("I begin with the first", "a: 4"), Step(..., "b: 4 + 7 = 11")), "11")

A step is one line of work, and a clause that says in words what the line does. The line alone is enough: the words make
a trace longer and no truer. How steps become a trace is `thinking_trace`'s choice. Items of a list carry letters, so
that a line can name what it is about: a model that has just learned to copy finds its place again.

Report: §4.4.1 (reasoning trajectories).
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

Capability: TypeAlias = Literal["knowledge", "reasoning", "coding"]
"""What a family asks for; domains of reinforcement learning are named so (§2.3)."""

LETTERS = "abcdefgh"
COLOURS: tuple[str, ...] = (
    "red", "brown", "blue", "green", "black", "gray", "yellow", "white", "pink", "orange", "purple", "teal",
)  # fmt: skip
"""Words that `tiny`'s vocabulary has as one token."""
LARGEST = 15
"""No value of `changes` goes beyond: a tiny model learns few sums by heart. Sums, loops and equations reach 30."""
MOST_ADDED = 5
"""What is added or taken at once, at most."""


class Step(NamedTuple):
    """One line of work.

    Attributes:
        said: a clause that says what is done, without its result: "I add the next number".
        line: the work itself: "b: 4 + 7 = 11".
    """

    said: str
    line: str


class Problem(NamedTuple):
    """See the module.

    Attributes:
        family: a key of `thinking_families.FAMILIES`.
        question: what the user says; it alone decides the split.
        steps: at least one; their lines are the shortest trace that reaches the answer one move at a time.
        answer: what is compared, as it should be written.
    """

    family: str
    question: str
    steps: tuple[Step, ...]
    answer: str


Draw: TypeAlias = Callable[[np.random.Generator, int], Problem]
"""One problem of a level, from 1 (short) upwards (longer)."""


class Change(NamedTuple):
    """What happens to a value: "+", "-" or "*", and by how much."""

    sign: str
    by: int

    def of(self, value: int) -> int:
        """The value behind it."""
        return {"+": value + self.by, "-": value - self.by, "*": value * self.by}[self.sign]

    def line(self, value: int) -> str:
        """The change worked out.

        Example:
            >>> Change("+", 7).line(4)
            '4 + 7 = 11'
        """
        return f"{value} {self.sign} {self.by} = {self.of(value)}"


def changes(rng: np.random.Generator, value: int, count: int) -> list[Change]:
    """Changes in a row that keep a value within 0..`LARGEST`."""
    drawn: list[Change] = []
    for _ in range(count):
        drawn.append(_change(rng, value))
        value = drawn[-1].of(value)
    return drawn


def _change(rng: np.random.Generator, value: int) -> Change:
    kind, by = int(rng.integers(3)), int(rng.integers(1, MOST_ADDED + 1))
    if kind == 0 and 0 < value <= LARGEST // 2:
        return Change("*", 2)
    if value >= by and (kind == 1 or value + by > LARGEST):
        return Change("-", by)
    return Change("+", by) if value + by <= LARGEST else Change("-", by)


def lettered(items: Sequence[int] | Sequence[str]) -> str:
    """Items behind their letters, one a line.

    Raises:
        ValueError: there are more items than letters.

    Example:
        >>> lettered((4, 7))
        'a 4\\nb 7'
    """
    return "\n".join(f"{letter} {item}" for letter, item in zip(LETTERS[: len(items)], items, strict=True))


def digits(rng: np.random.Generator, count: int, *, most: int = 9) -> tuple[int, ...]:
    """Numbers from 1 to `most`; they may repeat."""
    return tuple(int(number) for number in rng.integers(1, most + 1, count))
