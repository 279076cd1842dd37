"""`Constraint`: something that an answer can be asked to be and that a program can verify: "exactly three bullets".

    params = constraint.draw(rng)                 {"count": 3}
    constraint.asked(params, wording=1)           "Put your answer into 3 bullet points, no more and no fewer."
    constraint.holds(answer, params)              True or False

and how a `Draft` of an answer is changed so that the constraint holds (`agent.prompting.draft`), which shows for a set
of constraints that one answer can keep them all.

Report: App. D (module for instruction following); Zhou et al., "Instruction-Following Evaluation for Large Language
Models", 2023 (verifiable instructions).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Params = Mapping[str, Any]
"""Plain JSON."""
_LATIN = r"[0-9A-Za-z_\u00c0-\u024f]"
_END = re.compile(r"(?<![.!?])[.!?]++(?=[\s\"'*)\]`]|$)|[。！？]+")


@dataclass(frozen=True, slots=True)
class Constraint:
    """A kind of constraint.

    Attributes:
        name: of the reward's part.
        aspect: of the answer; a set holds at most one constraint of an aspect.
        wordings: the same in other words; fields in braces are parameters.
        draw: parameters.
        holds: whether an answer keeps it.
        drafted: fields of a `Draft` that make it hold.
    """

    name: str
    aspect: str
    wordings: tuple[str, ...]
    draw: Callable[[np.random.Generator], dict[str, Any]]
    holds: Callable[[str, Params], bool]
    drafted: Callable[[Params], dict[str, Any]]

    def asked(self, params: Params, *, wording: int) -> str:
        """The constraint in words."""
        told = {name: _told(value) for name, value in params.items()}
        return self.wordings[wording].format(**told)


def some_count(low: int, high: int) -> Callable[[np.random.Generator], dict[str, Any]]:
    """Draws a count."""
    return lambda rng: {"count": int(rng.integers(low, high + 1))}


def nothing(rng: np.random.Generator) -> dict[str, Any]:
    """Draws nothing: there is nothing to choose."""
    return {}


def some_of(pool: Sequence[str], low: int, high: int, name: str) -> Callable[[np.random.Generator], dict[str, Any]]:
    """Draws several of a pool."""
    return lambda rng: {name: rng.permutation(pool)[: rng.integers(low, high + 1)].tolist()}


def one_of(pool: Sequence[str], name: str) -> Callable[[np.random.Generator], dict[str, Any]]:
    """Draws one of a pool."""
    return lambda rng: {name: str(rng.choice(pool))}


def words(text: str) -> list[str]:
    """Words, as blanks part them."""
    return text.split()


def mentions(text: str, word: str) -> int:
    """How often a word stands alone in a text, in either case; scripts that set no blanks may stand around it.

    Example:
        >>> mentions("Evidence, evidences", "evidence"), mentions("这是evidence。", "evidence")
        (1, 1)
    """
    return len(re.findall(rf"(?<!{_LATIN}){re.escape(word)}(?!{_LATIN})", text, re.IGNORECASE))


def lines(text: str) -> list[str]:
    """Lines that are not blank, without blanks around them."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def paragraphs(text: str) -> list[str]:
    """Stretches that blank lines part."""
    return [part.strip() for part in re.split(r"\n[ \t]*\n", text.strip()) if part.strip()]


def sentences(text: str) -> int:
    """Ends of sentences; a point within a number is none.

    Example:
        >>> sentences("It is 3.5. Why? Because..."), sentences("这是答案。对！")
        (3, 2)
    """
    return len(_END.findall(text))


def numbers(text: str, pattern: str) -> list[int]:
    """The number in each line that begins like this, in order."""
    found = (re.match(pattern, line, re.IGNORECASE) for line in lines(text))
    return [int(match[1]) for match in found if match]


def _told(value: Any) -> Any:
    if isinstance(value, list):
        quoted = [f'"{one}"' for one in value]
        return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
    return value
