"""Votes: a grader asked by one rubric, what it said, and the middle of several.

    Grader    parts in, the reply's text out; anything that it raises is a missing vote

A vote is missing when the grader failed, was late, or gave no verdict that can be read, twice. Missing votes are
counted, with the reason, and never stand for a bad one.

Report: §4.4.2 (several rubrics); the middle is the median, which one extreme grader cannot move far.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple, TypeVar

from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ImagePart, Part, TextPart
from manyeyes.reward.grm.question import Question
from manyeyes.reward.grm.rubric import Rubric
from manyeyes.reward.grm.verdict import Side
from manyeyes.reward.judge import Ask

Grader = Callable[[tuple[Part, ...]], Awaitable[str]]
"""Text and pictures in, the reply's text out: one user message to any model."""
Read = TypeVar("Read")
CONSISTENT = {("A", "B"), ("B", "A"), ("tie", "tie")}
"""Verdicts on a pair and on the same pair turned around that say one thing."""
GONE_SECONDS = 5.0
"""How long a vote that is called off may take to end."""


class Transcript(NamedTuple):
    """One question and its reply, for people.

    Attributes:
        grader, rubric: names.
        order: "AB" or "BA" for comparisons, else "".
        question, reply: cut to what may be kept of each; pictures are named by their size.
        why: why there is no verdict in it; "" when there is one.
    """

    grader: str
    rubric: str
    order: str
    question: str
    reply: str
    why: str = ""


class Vote(NamedTuple):
    """What one grader found by one rubric: the weighted score, and the value of each criterion, all from 0 to 1."""

    score: float
    parts: dict[str, float]

    @classmethod
    def of(cls, rubric: Rubric, values: dict[str, float]) -> "Vote":
        """By the rubric's weights."""
        return cls(rubric.score(values), values)


def without_pictures(ask: Ask) -> Grader:
    """A grader of a model that reads text only; it is told where a picture stood, and of what size."""

    async def grade(parts: tuple[Part, ...]) -> str:
        return await ask(text_of(parts))

    return grade


def text_of(parts: Sequence[Part]) -> str:
    """Parts as text; a picture by its size."""
    return "".join(part.text if isinstance(part, TextPart) else _named(part) for part in parts)


def middle(votes: Sequence[Vote]) -> Vote:
    """The median of the scores; of each criterion the mean over the votes that have it."""
    names = dict.fromkeys(name for vote in votes for name in vote.parts)
    parts = {name: fmean(vote.parts[name] for vote in votes if name in vote.parts) for name in names}
    return Vote(median(vote.score for vote in votes), parts)


def agreed(forth: Side, back: Side) -> float:
    """What the first of a pair gets, from the verdicts on A = first and on A = second.

    Example:
        >>> agreed("A", "B"), agreed("A", "A"), agreed("A", "tie"), agreed("B", "A")
        (1.0, 0.5, 0.5, 0.0)
    """
    if (forth, back) == ("A", "B"):
        return 1.0
    return 0.0 if (forth, back) == ("B", "A") else 0.5


async def in_time(asked: Sequence[Coroutine[Any, Any, Read | None]], seconds: float | None) -> list[Read | None]:
    """What each gives, None for those that are late; these are called off."""
    tasks = [asyncio.ensure_future(one) for one in asked]
    try:
        await asyncio.wait(tasks, timeout=seconds)
        return [task.result() if task.done() else None for task in tasks]
    finally:
        late = [task for task in tasks if task.cancel()]
        if late:
            await asyncio.wait(late, timeout=GONE_SECONDS)


async def ask_grader(
    names: tuple[str, str, str], grader: Grader, question: Question, read: Callable[[str], Read | None], *,
    attempts: int, kept: int, tell: Callable[[Transcript], None],
) -> Read | None:  # fmt: skip
    """The first verdict that can be read; None where there is none. Raises nothing but a wrong configuration.

    Args:
        names: of grader, rubric and order.
        kept: characters of question and reply that the transcript keeps.
        tell: called with the transcript of each attempt.
    """
    shown = clipped(text_of(question.parts), kept)
    for _ in range(attempts):
        try:
            reply = await grader(question.parts)
        except ConfigError:
            raise
        except asyncio.CancelledError:
            tell(Transcript(*names, shown, "", "no reply in time, it was called off"))
            raise
        except Exception as error:  # the boundary: whatever a model's client raises is a missing vote
            tell(Transcript(*names, shown, "", f"{type(error).__name__}: {str(error)[:300]}"))
            continue
        verdict = read(reply) if isinstance(reply, str) else None
        said = clipped(reply, kept) if isinstance(reply, str) else f"(a {type(reply).__name__})"
        tell(Transcript(*names, shown, said, "" if verdict is not None else "no verdict that can be read"))
        if verdict is not None:
            return verdict
    return None


def clipped(text: str, most: int) -> str:
    """The beginning and the end of a text that is too long.

    Example:
        >>> clipped("abcdefghij", 6)
        'abc … hij'
    """
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[len(text) - half :]}"


def _named(part: Part) -> str:
    if isinstance(part, ImagePart):
        return f"(a picture of {part.image.width}x{part.image.height})"
    return "(a clip)"
