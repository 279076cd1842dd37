"""Answers that must be JSON: the same value as the truth, whole or by its parts.

An answer is the last fenced block, else the whole text, and must be JSON and nothing else. NaN, Infinity and a name
that an object holds twice are no JSON here. Values compare as JSON does: 1 is 1.0, true is not 1, order counts in lists
and not in objects.

Report: §4.4.2 (outcome rewards), App. D (format constraints); the comparison is an open choice here.
"""

import json
from collections import Counter
from typing import Any, NoReturn

from manyeyes.reward.final_answer import last_block
from manyeyes.reward.matching import f1

NO_JSON = object()
LONGEST = 1_000_000
"""Characters of an answer; a longer one is none."""


def json_reward(text: str, truth: Any) -> float:
    """1 where the text is the JSON value `truth`, else 0."""
    found = read_json(text)
    return float(found is not NO_JSON and same_json(found, truth))


def json_f1(text: str, truth: Any) -> float:
    """F1 over the leaves of the value, each with the path that leads to it; 0 where the text is no JSON.

    Example:
        >>> json_f1('{"name": "Oslo", "people": 3}', {"name": "Oslo", "people": 4})
        0.5
    """
    found = read_json(text)
    if found is NO_JSON:
        return 0.0
    said, true = Counter(_leaves(found)), Counter(_leaves(truth))
    return f1((said & true).total(), said.total(), true.total())


def read_json(text: str) -> Any:
    """The value that a text is; `NO_JSON` where it is none.

    Example:
        >>> read_json('Here:\\n```json\\n[1, 2]\\n```'), read_json('{"a": NaN}') is NO_JSON
        ([1, 2], True)
    """
    if len(text) > LONGEST:
        return NO_JSON
    block = last_block(text)
    try:
        return json.loads(
            text if block is None else block, parse_constant=_no_constant, object_pairs_hook=_no_name_twice
        )
    except (ValueError, RecursionError):
        return NO_JSON


def same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same.

    Example:
        >>> same_json({"a": [1, True]}, {"a": [1.0, True]}), same_json(1, True)
        (True, False)
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, dict) and value:
        return [leaf for name, inner in value.items() for leaf in _leaves(inner, (*path, name))]
    if isinstance(value, list) and value:
        return [leaf for at, inner in enumerate(value) for leaf in _leaves(inner, (*path, at))]
    return [(path, json.dumps(_as_whole(value) if isinstance(value, float) else value))]


def _as_whole(value: float) -> float:
    return int(value) if value.is_integer() else value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return found
