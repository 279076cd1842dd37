"""`Program`: a small module, its known bugs, and calls that tell a sound one from a broken one.

Sources are plain Python that needs nothing but itself. A bug is a passage and what stands there instead. `inputs` draws
calls; what they must return is what the sound program returns.

Report: none; App. E.5 has tasks of this kind on real repositories.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Bug(NamedTuple):
    """A passage of a sound program, what stands there instead, and what somebody noticed."""

    sound: str
    broken: str
    noticed: str


class Program(NamedTuple):
    """See the module.

    Attributes:
        name: of the module.
        about: what it does.
        source: sound.
        bugs: each alone breaks it.
        inputs: draws the calls of one test, as `hidden_tests` has them.
    """

    name: str
    about: str
    source: str
    bugs: tuple[Bug, ...]
    inputs: Callable[[np.random.Generator], list[Any]]

    def broken(self, bug: Bug) -> str:
        """The source with a bug in it."""
        before, passage, after = self.source.partition(bug.sound)
        assert passage, f"{self.name} has no {bug.sound!r}"
        return f"{before}{bug.broken}{after}"


def whole(draw: np.random.Generator, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    return int(draw.integers(low, high + 1))


def word(draw: np.random.Generator, most: int = 8, letters: str = "abcde") -> str:
    """One to `most` of some letters."""
    return "".join(letters[i] for i in draw.integers(0, len(letters), whole(draw, 1, most)))
