"""`mark_of`: a short digest of what was asked, shown or looked at, by which an interrupted synthesis knows it again.

Report: none; what is remembered must be what would be asked for again.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from manyeyes.agent.record import plain_of
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, Tool

LAMBDA = "<lambda>"


def mark_of(*parts: Any) -> str:
    """32 hexadecimal digits.

    Args:
        parts: plain values, dataclasses and collections of them.

    Example:
        >>> mark_of("a", {"b": 1, "c": 2}) == mark_of("a", {"c": 2, "b": 1}) != mark_of("a", {"b": 1})
        True
    """
    return hashlib.blake2b(msgspec.json.encode(parts, order="sorted"), digest_size=16).hexdigest()


def plain(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Any]:
    """Messages and declarations as plain values; pictures by the digest of their bytes."""
    said = [plain_of(message, lambda content: hashlib.sha256(content).hexdigest()) for message in messages]
    return [said, [[tool.name, tool.description, tool.parameters] for tool in tools]]


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called where it was written: as much of it as can be known again in another process.

    Args:
        function: of a `partial` the plain values count that it was given, too.

    Raises:
        ConfigError: it is a lambda, and all of these are called the same.

    Example:
        >>> name_of(partial(round, ndigits=2))
        'builtins.round([],{"ndigits":2})'
    """
    inner = function.func if isinstance(function, partial) else function
    name = f"{inner.__module__}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"
    if name.endswith(LAMBDA):
        raise ConfigError(f"{name} in a stage: verdicts are remembered by the names of functions; give it one (def)")
    return name + _given(function) if isinstance(function, partial) else name


def _given(function: "partial[Any]") -> str:
    """The plain values of a partial; "" where it has none."""
    positions = [value for value in function.args if _is_plain(value)]
    named = {name: value for name, value in function.keywords.items() if _is_plain(value)}
    told = msgspec.json.encode((positions, named), order="sorted").decode()
    return f"({told[1:-1]})" if positions or named else ""


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | dict):
        return all(map(_is_plain, (*value, *value.values()) if isinstance(value, dict) else value))
    return value is None or isinstance(value, str | int | float | bool)
