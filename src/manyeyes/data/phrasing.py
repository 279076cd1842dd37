"""Text augmentation: a user's prompt said in other words or typed carelessly, independent questions in another order.

Prompts that a source takes from a family below (`DESCRIBE[0]`, or one with a name in it) may be exchanged for another
of the same family. Only what users say changes; what the assistant says, and documents, stay as they are.

Report: App. C.1 (random augmentation of the visual and the text modality).
"""

import functools
import re
from typing import NamedTuple

import numpy as np

from manyeyes.data.record import Piece, Shown, Turn

DESCRIBE = (
    "Describe the picture.",
    "What does the picture show?",
    "What can you see here?",
    "Write a caption for this image.",
    "What is in this picture?",
)
READ = (
    "Read the text.",
    "What does it say?",
    "Write down the text in the picture.",
    "What is written here?",
)
READ_NUMBER = (
    "Read the number.",
    "What number is this?",
    "Which number is written here?",
    "Write down the digits.",
)
LOCATE = (
    "Where is the {}?",
    "Find the {}.",
    "Give the box of the {}.",
    "Locate the {}.",
)
COUNT = (
    "How many {} are there?",
    "Count the {}.",
    "What is the number of {}?",
)
TELL = (
    "Tell me about {}.",
    "What do you know about {}?",
    "Give me some facts about {}.",
)

FAMILIES = (DESCRIBE, READ, READ_NUMBER, LOCATE, COUNT, TELL)


class Phrase(NamedTuple):
    """A prompt recognised as member of a family, with the name that stands in its gap."""

    family: tuple[str, ...]
    gap: str


@functools.lru_cache(maxsize=65536)
def recognise(prompt: str) -> Phrase | None:
    """The family that `prompt` was taken from, or None.

    Example:
        >>> recognise("Where is the red car?").gap
        'red car'
    """
    for family, pattern in _PATTERNS:
        if found := pattern.fullmatch(prompt):
            return Phrase(family, found[1] if found.re.groups else "")
    return None


_PATTERNS = tuple(
    (family, re.compile(re.escape(member).replace(r"\{\}", "([^?!.]+)"))) for family in FAMILIES for member in family
)


def rephrase(prompt: str, rng: np.random.Generator) -> str:
    """The prompt in other words or typed otherwise; white space around it is kept.

    Example:
        >>> text = rephrase("Describe the picture.", np.random.default_rng(0))
        >>> text.strip(" .?").capitalize() in {member.strip(".?").capitalize() for member in DESCRIBE}
        True
    """
    body = prompt.strip()
    if not body or "\n" in body or "`" in body:
        return prompt
    if phrase := recognise(body):
        other = phrase.family[int(rng.integers(len(phrase.family)))].replace("{}", phrase.gap)
    else:
        other = body
    return prompt.replace(body, _typed(other, rng))


def _typed(text: str, rng: np.random.Generator) -> str:
    lower, bare, spaced = (rng.random(3) < (0.15, 0.15, 0.05)).tolist()
    if lower and text[1:2].islower():
        text = text[0].lower() + text[1:]
    if bare:
        text = text.rstrip("?.")
    return text + " " if spaced else text


def reorder(turns: tuple[Turn, ...], rng: np.random.Generator) -> tuple[Turn, ...]:
    """Question-answer pairs in another order; what opens the conversation (system turn, pictures) stays in front.

    Turns that are not strict pairs of user and assistant after an optional system turn are left alone.
    """
    start = 1 if turns[0].role == "system" else 0
    pairs = [turns[i : i + 2] for i in range(start, len(turns), 2)]
    if len(pairs) < 2 or any([turn.role for turn in pair] != ["user", "assistant"] for pair in pairs):
        return turns
    opening, question = _split_opening(pairs[0][0].pieces)
    pairs[0] = (Turn("user", question), pairs[0][1])
    mixed = [turn for i in rng.permutation(len(pairs)).tolist() for turn in pairs[i]]
    mixed[0] = Turn("user", opening + mixed[0].pieces)
    return turns[:start] + tuple(mixed)


def _split_opening(pieces: tuple[Piece, ...]) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    last = max((i + 1 for i, piece in enumerate(pieces) if isinstance(piece, Shown)), default=0)
    return pieces[:last], pieces[last:]
