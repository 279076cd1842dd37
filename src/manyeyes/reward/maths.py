"""Is a mathematical answer the right one? Numbers and equal texts at once, anything else by math-verify.

    maths_value(answer, truth)              True, False, or None: it takes algebra to say
    await maths_reward(answer, truth, verifier=verifier)       1 or 0

Numbers are compared exactly (0.333 is not 1/3, and 41.9999 is not 42), whatever they are written as. Report: §4.4.2
(rule-based outcome rewards for verifiable problems); the rules are an open choice here.
"""

import re
from fractions import Fraction
from typing import Protocol

from manyeyes.reward.final_answer import final_answer

_FRACTION = re.compile(r"(-?)\\[dt]?frac(?:\{(-?\d{1,40})\}|(\d))(?:\{(\d{1,40})\}|(\d))")
_NUMBER = re.compile(r"([-+]?)(\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:/(\d{1,400}(?:\.\d{1,400})?))?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:(?:,|\{,\}|\\,)\d{3})+(?:\.\d+)?")
_LOOKS = re.compile(r"(?:\\left|\\right|\\[,;:! ]|\\displaystyle|[$\s]|\\text\{\s*\}|\\[()\[\]])+")
_ENDS = " .。,;"


class Equality(Protocol):
    """Whoever can do algebra, such as `maths_verifier.MathsVerifier`."""

    async def same(self, answer: str, truth: str) -> bool | None:
        """Whether two expressions are the same; None where it could not be found out in bounded time.

        Raises:
            JudgeError: there is no verdict, for reasons that lie neither in the answer nor in the truth.
            DataError: the truth is no expression.
        """
        ...


async def maths_reward(text: str, truth: str, *, verifier: Equality) -> float:
    """1 where a text's final answer is the truth, else 0; what cannot be verified in bounded time is not right.

    Args:
        text: what the model wrote.
        truth: the right answer: a number, or LaTeX.
        verifier: asked only where `maths_value` cannot tell.
    """
    answer = final_answer(text)
    value = maths_value(answer, truth)
    return float(value if value is not None else await verifier.same(answer, truth) is True)


def maths_value(answer: str, truth: str) -> bool | None:
    """Whether an answer is the truth, without algebra; None where that does not settle it.

    Args:
        answer: a final answer, or a text that holds one.

    Example:
        >>> maths_value(r"$\\frac12$", "0.5"), maths_value("1,200", "1201"), maths_value("2x", "x+x")
        (True, False, None)
    """
    said, true = plain(final_answer(answer)), plain(truth)
    if not said or said == true:
        return bool(said)
    number, right = read_number(said), read_number(true)
    return None if number is None or right is None else number == right


def plain(expression: str) -> str:
    """LaTeX without what only looks: blanks, dollars, sizes of brackets, a full stop at the end.

    Example:
        >>> plain(r"\\left( 1, 2 \\right)."), plain("4 2")
        ('(1,2)', '4 2')
    """
    return _LOOKS.sub(_left_out, expression).strip(_ENDS).replace("−", "-").replace("\\dfrac", "\\frac")


def read_number(expression: str) -> Fraction | None:
    """The number that a plain expression is; None where it is none.

    Example:
        >>> read_number("1,200"), read_number("-3/4"), read_number(r"\\frac{1}{0}")
        (Fraction(1200, 1), Fraction(-3, 4), None)
    """
    if _THOUSANDS.fullmatch(expression):
        expression = re.sub(r"\{,\}|\\,|,", "", expression)
    found = _NUMBER.fullmatch(_FRACTION.sub(_as_slash, expression))
    if found is None:
        return None
    sign, above, below = found.groups()
    denominator = Fraction(below or 1)
    return Fraction(f"{sign}{above.rstrip('.')}") / denominator if denominator else None


def _left_out(found: re.Match[str]) -> str:
    """Nothing, but between two digits: 4 and 2 side by side are not 42, and only a thin space joins thousands."""
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    if not (before.isdigit() and after.isdigit()):
        return ""
    return found[0] if found[0] == "\\," else " "


def _as_slash(found: re.Match[str]) -> str:
    sign, above, above_digit, below, below_digit = found.groups()
    text = f"{sign}{above or above_digit}/{below or below_digit}"
    return text.removeprefix("--")
