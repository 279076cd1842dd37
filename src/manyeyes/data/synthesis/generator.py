"""`Generator`: the frame of every synthetic collection. Draw a plan, keep it if it belongs to the split, write it down.

A plan is the content of an example as a plain tuple: what is said and shown, not how it is drawn. Whether a plan is
trained on or held out is decided by a hash of its content alone, so the two splits have no example in common whatever
their seeds and sizes are, and a held-out string is held out from every generator that draws it.

Report: App. C.1 (determinism), B.3.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.seeds import stream
from manyeyes.data.collection import Domain, Split
from manyeyes.data.held_out import split_of
from manyeyes.data.record import Change, Piece, Record, Turn

HELD_OUT = 200
"""Of a thousand possible contents, those that no train split ever shows."""

PATIENCE = 5_000
"""Draws before a generator says that its split is empty."""

PRINT: frozenset[Change] = frozenset[Change](("text",))
"""Changes that printed text bears: sizes vary already, and a further shrink would make small letters illegible."""

P = TypeVar("P", bound=tuple)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Generator(ABC, Generic[P]):
    """A synthetic collection.

    Subclasses say what an example is: `_draw` its plan, `_write` its record, and where it matters `_content`, the part
    of the plan that must not be shared between splits.

    Attributes:
        size: number of records.
        seed: another seed gives other records of the same split.
        split: "train" or "test"; no content occurs in both.
        name: unique in a registry; "synthetic/..." tells made data from real data.

    Raises:
        DataError: from `record`, when no content of this configuration belongs to the split.
    """

    size: int
    seed: int = 0
    split: Split = "train"
    name: str = ""
    kind: ClassVar[str]
    domain: ClassVar[Domain] = "vision"
    synthetic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ConfigError(f"{type(self).__name__}: size must be at least 0, got {self.size}")
        if self.split not in ("train", "test"):
            raise ConfigError(f"{type(self).__name__}: split must be train or test, got {self.split!r}")

    def __len__(self) -> int:
        return self.size

    def record(self, index: int) -> Record:
        """Record number `index`; draws no pixels."""
        if not 0 <= index < self.size:
            raise IndexError(f"{self.name}: record {index} of {self.size}")
        name = f"{self.name}/{self.split}/{index:06d}"
        rng = stream(self.seed, f"data/synthesis/{self.name}/{self.split}", index)
        for _ in range(PATIENCE):
            plan = self._draw(rng)
            if split_of(self._content(plan), per_mille=HELD_OUT) == self.split:
                return self._write(plan, name)
        raise DataError(f"{self.name}: no content belongs to split {self.split!r}; allow more shapes, digits or words")

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> P:
        """What one example is about, drawn from `rng` only."""

    @abstractmethod
    def _write(self, plan: P, name: str) -> Record:
        """The record of a plan: a pure function, pictures lazy."""

    def _content(self, plan: P) -> str:
        """What decides the split. Everything, unless a subclass says less."""
        return repr(plan)


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of `choices`, each as likely (ten times faster than `rng.choice` on a short sequence)."""
    return choices[int(rng.random() * len(choices))]


def between(rng: np.random.Generator, low: int, high: int) -> int:
    """An integer from `low` to `high`, both included."""
    return low + int(rng.random() * (high - low + 1))


def some(rng: np.random.Generator, choices: Sequence[T], count: int) -> list[T]:
    """`count` different items of `choices` (all of them when there are fewer), in random order."""
    return [choices[i] for i in rng.permutation(len(choices))[:count]]


def user(*pieces: Piece) -> Turn:
    """A turn that asks."""
    return Turn("user", pieces)


def assistant(*pieces: Piece) -> Turn:
    """A turn that answers: what is learned from."""
    return Turn("assistant", pieces)


def document(*pieces: Piece) -> tuple[Turn]:
    """The one turn of a text that is modelled whole."""
    return (Turn("document", pieces),)


def article(noun: str) -> str:
    """The noun with a or an before it.

    Example:
        >>> article("orange circle")
        'an orange circle'
    """
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
