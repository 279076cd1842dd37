"""Problems as collections: documents of worked examples, conversations, and conversations that think first.

A problem belongs to the test split when a hash of its question says so; a draw of the other split is drawn again. So
no test question is ever trained on, whatever the seeds.

Report: App. B.2 (maths).
"""

import functools
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from manyeyes.core import seeds
from manyeyes.core.errors import DataError
from manyeyes.data.collection import Domain, Split
from manyeyes.data.generated.chains import CHAINS
from manyeyes.data.generated.problems import PROBLEMS, Problem
from manyeyes.data.held_out import split_of
from manyeyes.data.record import Record, Turn

Form: TypeAlias = Literal["document", "chat", "thinking"]
Draw: TypeAlias = Callable[[np.random.Generator], Problem]

ATTEMPTS = 256
"""Draws until one falls into the split; with a tenth held out, 256 misses in a row happen once in 10^11."""


class Problems:
    """`count` problems of all kinds in turn.

    Args:
        name: of the collection, and of its stream.
        draws: kinds of problems; record i is of kind i modulo their number.
        split: "train" or "test"; test records are single conversations with their truth.
        form: how a problem is told. A document holds `most` problems; "thinking" puts the steps into the reasoning.
        count: number of records.
        seed: of the stream.
    """

    domain: Domain = "text"
    kind = "maths"

    def __init__(
        self,
        name: str,
        draws: tuple[Draw, ...],
        split: Split,
        *,
        form: Form,
        count: int = 20_000,
        seed: int = 0,
        most: int = 2,
    ) -> None:
        self.name, self._draws, self._split = name, draws, split
        self._form: Form = "chat" if split == "test" and form == "document" else form
        self._count, self._seed, self._most = count, seed, most

    def __len__(self) -> int:
        return self._count

    def record(self, index: int) -> Record:
        """The record; a conversation's `truth` is the bare answer."""
        rng = seeds.stream(self._seed, f"data/{self.name}/{self._split}", index)
        name = f"{self.name}/{self._split}/{index}"
        if self._form == "document":
            problems = [self._drawn(index * self._most + number, rng) for number in range(self._most)]
            return Record(name, (Turn("document", ("\n\n".join(map(_worked, problems)),)),))
        problem = self._drawn(index, rng)
        return Record(name, _turns(problem, self._form), truth=problem.answer)

    def _drawn(self, number: int, rng: np.random.Generator) -> Problem:
        draw = self._draws[number % len(self._draws)]
        for _ in range(ATTEMPTS):
            problem = draw(rng)
            if split_of(f"problem/{problem.question}", per_mille=100) == self._split:
                return problem
        raise DataError(f"{self.name}: no {self._split} problem in {ATTEMPTS} draws of {draw}; draw from a wider range")


def maths(split: Split, *, form: Form = "document", count: int = 20_000, seed: int = 0) -> Problems:
    """Arithmetic, equations, sequences and word problems."""
    return Problems(f"maths_{form}", PROBLEMS, split, form=form, count=count, seed=seed)


def chains(split: Split, *, length: int, form: Form = "thinking", count: int = 10_000, seed: int = 0) -> Problems:
    """Reasoning chains of about `length` steps; the name carries the length."""
    draws = tuple(functools.partial(_of_length, chain, length) for chain in CHAINS)
    return Problems(f"chains_{length}", draws, split, form=form, count=count, seed=seed, most=1)


def _of_length(chain: Callable[[np.random.Generator, int], Problem], length: int, rng: np.random.Generator) -> Problem:
    return chain(rng, max(2, round(length * rng.uniform(0.75, 1.25))))


def _worked(problem: Problem) -> str:
    return "\n".join((f"Problem: {problem.question}", *problem.steps, f"Answer: {problem.answer}"))


def _turns(problem: Problem, form: Form) -> tuple[Turn, Turn]:
    user = Turn("user", (problem.question,))
    if form == "thinking":
        return user, Turn("assistant", (problem.answer,), reasoning="\n".join(problem.steps))
    return user, Turn("assistant", ("\n".join((*problem.steps, f"Answer: {problem.answer}")),))
