"""Rewards for answers that can be compared: what an answer says at last, and whether it is the truth.

Report: §4.4.2 (outcome rewards); the formats are an open choice here.
"""

import re
from fractions import Fraction

from manyeyes.agent.judge import Case, Rewards
from manyeyes.core.errors import ConfigError
from manyeyes.reward.answers import signed_match
from manyeyes.reward.final_answer import final_answer

_NUMBER = re.compile(
    r"([-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:e[-+]?[0-9]{1,3})?)(?:/([1-9][0-9]{0,40}))?",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def same_answer(case: Case) -> float:
    """1 where the final answer is the truth, or one of several, as words and the signs of numbers compare; else 0.

    Raises:
        ConfigError: the task has no truth to compare with.
    """
    return signed_match(final_answer(case.outcome.text), _truth(case))


def same_number(case: Case) -> float:
    """1 where the final answer is the number that the truth is, exactly, however it is written; else 0.

    Raises:
        ConfigError: the truth is no number.
    """
    truths = [_number(one) for one in _truth(case)]
    if len(truths) != 1 or truths[0] is None:
        raise ConfigError(f"the task {case.task.id!r} needs one number as its truth, got {case.task.truth!r}")
    return float(_number(final_answer(case.outcome.text)) == truths[0])


def exact() -> Rewards:
    """A judge for words; for the registry."""
    return Rewards(correct=same_answer)


def number() -> Rewards:
    """A judge for numbers; for the registry."""
    return Rewards(correct=same_number)


def _truth(case: Case) -> list[str]:
    truth = case.task.truth
    if truth is None:
        raise ConfigError(f"the task {case.task.id!r} has no truth that an answer could be compared with")
    return [str(one) for one in truth] if isinstance(truth, list | tuple) else [str(truth)]


def _number(text: str) -> Fraction | None:
    """Signs, thousands, decimals, powers of ten and fractions; a comma that parts no thousands is no number."""
    plain = _THOUSANDS.sub("", text).replace("\N{MINUS SIGN}", "-").strip(" $\\").removesuffix(".")
    found = _NUMBER.fullmatch(plain)
    return Fraction(found[1]) / int(found[2] or 1) if found else None
