"""Two works of which one is better, for a reason that is known: text, code runs and searches, drawn by rule.

Each kind of pair is about one criterion, and so made that nothing else about the works differs in a way that would
speak against the better one. Pairs with pictures are in `verdict_picture`.

Report: §4.4.2 (the graders can be trained themselves); the pairs are ours.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from manyeyes.core.messages import Message, Part, TextPart, assistant, tool_result, user
from manyeyes.core.messages import ToolCall as Call
from manyeyes.reward.grm.evidence import of_messages
from manyeyes.reward.grm.rubric import TaskKind

Modality = Literal["text", "image", "trajectory"]
Draw = np.random.Generator
CITIES = ("Oslo", "Lima", "Cairo", "Quito", "Hanoi", "Dakar", "Riga", "Accra")
FRUITS = ("apples", "pears", "plums", "figs", "dates", "limes", "grapes", "melons")


class VerdictPair(NamedTuple):
    """Two works on one task.

    Attributes:
        criterion: by which the first is better.
        content: what they are about; pairs of two never share both task and answer, so a line between what is learned
            from and what is held out is drawn by it.
    """

    kind: TaskKind
    modality: Modality
    criterion: str
    content: str
    task: tuple[Part, ...]
    better: tuple[Part, ...]
    worse: tuple[Part, ...]


MakePair = Callable[[Draw], VerdictPair]


def sum_of_numbers(draw: Draw) -> VerdictPair:
    """The right result, and one that is a little off."""
    one, other = (int(number) for number in draw.integers(12, 99, 2))
    off = int(draw.choice([-10, -2, -1, 1, 2, 10]))
    said = "{one} times {other} is {product}."
    right, wrong = (said.format(one=one, other=other, product=one * other + d) for d in (0, off))
    asked = f"What is {one} times {other}?"
    return _texts("chat", "helpfulness", f"{min(one, other)} {max(one, other)}", asked, right, wrong)


def list_of_so_many(draw: Draw) -> VerdictPair:
    """A list of as many things as were asked for, and one with one more or one fewer."""
    count = int(draw.integers(3, 7))
    names = [str(name) for name in draw.permutation(FRUITS)]
    right, wrong = ("\n".join(f"- {name}" for name in names[:n]) for n in (count, count + int(draw.choice([-1, 1]))))
    asked = f"Name exactly {count} fruits as a list, nothing else."
    return _texts("chat", "instructions", " ".join(names[:2]), asked, right, wrong)


def one_word(draw: Draw) -> VerdictPair:
    """The word, and the word wrapped in what nobody asked for."""
    city = str(draw.choice(CITIES))
    padded = (
        f"That is an excellent question! There are many cities in the world, and each has its own charm. Having "
        f"thought about it at length, and from several sides, I would say that the answer is {city}. I hope that "
        "this helps! Do not hesitate to ask me anything else."
    )
    asked = f"The parcel goes to {city}. To which city does the parcel go? One word will do."
    return _texts("chat", "detail", city, asked, city, padded)


def run_or_claim(draw: Draw) -> VerdictPair:
    """A coding agent that ran the tests, and one that only says so."""
    passed = int(draw.integers(3, 40))
    asked = "Fix the rounding in prices.py and make sure that the tests pass."
    edit = Call.of("bash", {"command": "sed -i 's/int/round/' prices.py"}, index=0)
    run = Call.of("bash", {"command": str(draw.choice(["pytest", "make test"]))}, index=1)
    done = f"The rounding is fixed, and all {passed} tests pass."
    edited = [assistant(calls=(edit,)), tool_result(edit, "")]
    ran = [*edited, assistant(calls=(run,)), tool_result(run, f"{passed} passed in 0.42s"), assistant(done)]
    return _conversations("coding", "readiness", f"{passed}", asked, ran, [*edited, assistant(done)])


def source_or_none(draw: Draw) -> VerdictPair:
    """A search agent that names where it found the number, and one that does not."""
    city, people = str(draw.choice(CITIES)), int(draw.integers(200, 900)) * 1000
    look = Call.of("search", {"query": f"population of {city} harbour district"}, index=0)
    found = tool_result(look, f"city-{city.lower()}.example/figures: the harbour district has {people:,} inhabitants")
    asked = f"How many people live in the harbour district of {city}? Name your source."
    said = f"{people:,} people"
    with_source = assistant(f"{said} (source: city-{city.lower()}.example/figures).")
    looked: list[Message] = [assistant(calls=(look,)), found]
    bare = [*looked, assistant(f"{said}.")]
    return _conversations("search", "relevance", f"{city} {people}", asked, [*looked, with_source], bare)


TEXT_PAIRS: tuple[MakePair, ...] = (sum_of_numbers, list_of_so_many, one_word, run_or_claim, source_or_none)


def _texts(kind: TaskKind, criterion: str, content: str, task: str, better: str, worse: str) -> VerdictPair:
    return VerdictPair(kind, "text", criterion, content, (TextPart(task),), (TextPart(better),), (TextPart(worse),))


def _conversations(
    kind: TaskKind, criterion: str, content: str, task: str, better: list[Message], worse: list[Message]
) -> VerdictPair:
    shown = [of_messages([user(task), *messages]) for messages in (better, worse)]
    return VerdictPair(kind, "trajectory", criterion, content, (TextPart(task),), *shown)
