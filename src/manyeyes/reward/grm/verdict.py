"""Reading a grader's verdict: the JSON object at the very end of its reply, exactly as it was asked for, or nothing.

A verdict that cannot be read is missing; it is never taken for a bad one. So are those with a level that does not
exist, a name too many or too few, a number that is none (NaN), or another mark than the question's.

Report: §4.4.2; formats are ours.
"""

import json
from typing import Any, Literal, NoReturn, cast

from manyeyes.reward.grm.question import SIDES
from manyeyes.reward.grm.rubric import Rubric

Side = Literal["A", "B", "tie"]
LONGEST = 20_000
"""Characters of a verdict's object."""


def read_levels(reply: str, rubric: Rubric, mark: str) -> dict[str, float] | None:
    """Values from 0 to 1 by criterion; None where the reply holds no verdict.

    Example:
        >>> from manyeyes.reward.grm.rubric import Criterion
        >>> rubric = Rubric("r", "", (Criterion("brief", "?", ("no", "nearly", "yes")),), {})
        >>> read_levels('Short. {"mark": "f0", "brief": 1}', rubric, "f0")
        {'brief': 0.5}
    """
    found = last_object(reply, mark)
    if found is None or found.keys() != {criterion.name for criterion in rubric.criteria}:
        return None
    if any(type(level) is not int for level in found.values()):
        return None
    if any(not 0 <= found[criterion.name] < len(criterion.levels) for criterion in rubric.criteria):
        return None
    return {criterion.name: criterion.value(found[criterion.name]) for criterion in rubric.criteria}


def read_sides(reply: str, rubric: Rubric, mark: str) -> dict[str, Side] | None:
    """Which of two is better, by criterion; None where the reply holds no verdict."""
    found = last_object(reply, mark)
    if found is None or found.keys() != {criterion.name for criterion in rubric.criteria}:
        return None
    if not all(isinstance(side, str) and side in SIDES for side in found.values()):
        return None
    return cast(dict[str, Side], found)


def last_object(reply: str, mark: str) -> dict[str, Any] | None:
    """The flat JSON object that a reply ends with and that repeats the mark, without it; None where there is none."""
    text = reply.strip().removesuffix("```").rstrip()
    start = text.rfind("{")
    if start < 0 or len(text) - start > LONGEST:
        return None
    try:
        found = json.loads(text[start:], parse_constant=_no_number, object_pairs_hook=_no_name_twice)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.pop("mark", None) == mark else None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in the verdict")
    return found
