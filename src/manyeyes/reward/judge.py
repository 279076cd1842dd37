"""Asking a language model for a verdict: the seam between the scorers and whatever model grades.

A scorer never knows models; it is given `ask`, text in and text out. Whoever wires a run makes one from a `ChatModel`.
A judge that failed says nothing about the answer, so its failure is an error and not a score of 0.

    ManyeyesError
    └── JudgeError    a judge gave no verdict that can be read

Report: §5 (judged benchmarks), which does not name the graders' formats.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from manyeyes.core.errors import ManyeyesError

Verdict = TypeVar("Verdict")
Ask = Callable[[str], Awaitable[str]]
"""A prompt in, the reply's text out; its own errors pass through the scorers."""


class JudgeError(ManyeyesError):
    """A judge gave no verdict that can be read."""


async def ask_until_read(
    ask: Ask, prompt: str, read: Callable[[str], Verdict | None], *, what: str, attempts: int = 2
) -> Verdict:
    """The first reply that `read` understands.

    Args:
        what: names the verdict in the error; the reply itself is kept out of it, for it may quote a secret question.

    Raises:
        JudgeError: no attempt could be read.
    """
    for _ in range(attempts):
        verdict = read(await ask(prompt))
        if verdict is not None:
            return verdict
    raise JudgeError(f"expected {what} from the judge, {attempts} replies held none; ask again or use another model")
