"""Dotted overrides on any recipe: `stages.joint.steps=200 seed=1` on a nested frozen dataclass.

A path walks dataclass fields; an item of a tuple is addressed by its `name` field or its number. The value is read as
JSON (a bare word is a string), then converted to the field's declared type, so a wrong type or a misspelt name is one
clear line and never a silent new field. Tables such as a mixture's weights take new names; whether these are known is
for `readiness` to say. A name in a table of plain values is all the rest of the path, so that a file can be named:
`stages.sft.mixture.segments.0.weights.my_data.jsonl=1`.
"""

import dataclasses
import difflib
import json
import typing
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from manyeyes.core.errors import ConfigError

Config = TypeVar("Config")
PLAIN = (bool, int, float, str)
"""Values that nothing lies below."""


def apply_overrides(config: Config, overrides: Iterable[str]) -> Config:
    """The config with each `path=value` applied in order.

    Raises:
        ConfigError: no "=", an unknown path (the nearest names are suggested), or a value of the wrong type.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Run:
        ...     seed: int = 0
        >>> apply_overrides(Run(), ["seed=3"])
        Run(seed=3)
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise ConfigError(
                f"override {override!r}: expected PATH=VALUE, for example seed=1 or stages.joint.steps=200"
            )
        config = _set(config, path.split("."), text, override)
    return config


def _set(node: Any, path: Sequence[str], text: str, override: str, declared: Any = None) -> Any:
    if not path:
        return _convert(text, declared, override)
    head, rest = path[0], path[1:]
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        hints = typing.get_type_hints(type(node))
        _check_name(head, list(hints), override)
        return dataclasses.replace(node, **{head: _set(getattr(node, head), rest, text, override, hints[head])})
    if isinstance(node, tuple) and node:
        names = [str(getattr(item, "name", number)) for number, item in enumerate(node)]
        index = int(head) if head.isdecimal() and int(head) < len(node) else None
        if index is None:
            _check_name(head, names, override)
            index = names.index(head)
        changed = _set(node[index], rest, text, override, type(node[index]))
        return (*node[:index], changed, *node[index + 1 :])
    if isinstance(node, dict):
        declared = _value_type(declared)
        if declared in PLAIN:
            head, rest = ".".join(path), ()
        return {**node, head: _set(node.get(head), rest, text, override, declared)}
    raise ConfigError(f"override {override!r}: {head!r} has nothing below it; it is {type(node).__name__}")


def _check_name(name: str, known: list[str], override: str) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3) or known
    raise ConfigError(f"override {override!r}: no {name!r} here; did you mean {', '.join(near)}?")


def _value_type(declared: Any) -> Any:
    arguments = typing.get_args(declared)
    return arguments[1] if len(arguments) == 2 else Any


def _convert(text: str, declared: Any, override: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, too deep
        value = {"True": True, "False": False, "None": None}.get(text, text)
    try:
        return msgspec.convert(value, type=declared, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"override {override!r}: {error}") from None
