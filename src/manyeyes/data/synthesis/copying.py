"""`Copying`: short conversations whose answers stand in the question: what a model learns before it reads tool results.

    repeat    Copy this.  Gako red  Belu 41                      Gako red  Belu 41
    find      D red  B teal  C blue    Find color of (B-D).      B teal  C blue  D red
    ask       Gako: 41  Belu: 17       How much is Belu?         17
    carry     C red  More 57           Go on.                    {"page": 57}

Nothing is to be known or worked out: every token of an answer was seen before, and all is drawn anew each time. A model
that never learned to copy (recipe `tiny`: needles at 0 %) can do nothing with what a tool says; here it has little else
to learn.

Report: §4.4.1 (a pipeline for each domain). The curriculum is ours; Olsson et al. 2022 (induction heads).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from manyeyes.core.messages import assistant, user
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.synthesis.generator import between, pick, some
from manyeyes.data.synthesis.retrieval import name_of
from manyeyes.data.synthesis.thinking_dialogues import ThinkingDialogues
from manyeyes.data.synthesis.thinking_problem import COLOURS

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
HEADS = ("Copy this.", "Say it again.", "Repeat:")
WORDS, NUMBERS = ("color", "word", "label"), ("number", "width", "weight", "data")
"""Columns of a table, by what stands in it; most are those of the tasks of PARL."""
FEW = 0.1
"""Share of names and numbers of several tokens; single ones are copied first."""
FIELDS = {"page": "More {}", "number": "Number {}", "key": "Page of {}", "value": "is {}"}
"""Arguments of calls, and the words before what they take."""


class Exchange(NamedTuple):
    """What is said, and what of it the answer copies."""

    said: str
    answer: str


def repeated(rng: np.random.Generator) -> Exchange:
    """Lines, word for word."""
    lines = "\n".join(f"{_key(rng)} {_value(rng)}" for _ in range(between(rng, 1, 5)))
    return Exchange(f"{pick(rng, HEADS)}\n{lines}", lines)


def found(rng: np.random.Generator) -> Exchange:
    """Lines in no order, asked for in that of the alphabet."""
    count = between(rng, 2, 8)
    first = between(rng, 0, len(LETTERS) - count)
    column, draw = (pick(rng, NUMBERS), _number) if rng.random() < FEW else (pick(rng, WORDS), _colour)
    lines = [f"{key} {draw(rng)}" for key in LETTERS[first : first + count]]
    asked = f"Find {column} of ({LETTERS[first]}-{LETTERS[first + count - 1]})."
    return Exchange("\n".join([*some(rng, lines, count), asked]), "\n".join(lines))


def asked_for(rng: np.random.Generator) -> Exchange:
    """One value of a list."""
    table = {_key(rng): _value(rng) for _ in range(between(rng, 2, 6))}
    key = pick(rng, list(table))
    mark = pick(rng, (" ", ": ", " = "))
    told = "\n".join(f"{name}{mark}{value}" for name, value in table.items())
    return Exchange(f"{told}\n{pick(rng, ('How much is {}?', '{}?', 'What is {}?')).format(key)}", table[key])


def carried(rng: np.random.Generator) -> Exchange:
    """The argument of a call, out of a result."""
    field = pick(rng, list(FIELDS))
    value = _key(rng) if field == "key" else _number(rng)
    line = FIELDS[field].format(value)
    told = some(rng, [f"{_key(rng)} {_colour(rng)}", line], between(rng, 1, 2))
    told = told if line in told else [line]
    written = value if field == "key" else int(value)
    return Exchange("\n".join([*told, "Go on."]), json.dumps({field: written}))


KINDS: tuple[Callable[[np.random.Generator], Exchange], ...] = (found, repeated, asked_for, carried, found)


@dataclass(frozen=True, kw_only=True)
class Copying(ThinkingDialogues):
    """A collection of dialogues; see the module and `ThinkingDialogues`. Nothing is thought about.

    Attributes:
        turns: exchanges of a dialogue, at most.

    Example:
        >>> asked, answered = Copying(size=8).dialogue(1).messages
        >>> asked.text.endswith(answered.text)
        True
    """

    instant: float = 1.0
    turns: int = 1
    name: str = "sft/copying"

    def _draw(self, rng: np.random.Generator, index: int) -> tuple[Exchange, ...]:
        kinds = (index + turn for turn in range(between(rng, 1, self.turns)))
        return tuple(KINDS[kind % len(KINDS)](rng) for kind in kinds)

    def _content(self, plan: Sequence[Exchange]) -> str:
        return "\n".join(one.said for one in plan)

    def _write(self, plan: Sequence[Exchange], name: str, rng: np.random.Generator) -> Dialogue:
        return Dialogue(name, tuple(said for one in plan for said in (user(one.said), assistant(one.answer))))


def _key(rng: np.random.Generator) -> str:
    return name_of(rng) if rng.random() < FEW else pick(rng, LETTERS)


def _value(rng: np.random.Generator) -> str:
    return _number(rng) if rng.random() < FEW else _colour(rng)


def _colour(rng: np.random.Generator) -> str:
    return pick(rng, COLOURS)


def _number(rng: np.random.Generator) -> str:
    """Of two digits, now and then of one, three or four."""
    digits = pick(rng, (1, 3, 4)) if rng.random() < FEW else 2
    return str(between(rng, 10 ** (digits - 1), 10**digits - 1))
