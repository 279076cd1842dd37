"""Configurations of runs as plain data for `config.json`, and back: what is not known there is refused, never dropped.

"kind" tells runs apart: "rl", "rft"; those of stages have none.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from manyeyes.core.errors import ConfigError

Config = TypeVar("Config")


def to_plain(run: Any, kind: str) -> dict[str, Any]:
    """A run as plain data."""
    return {"kind": kind} | msgspec.to_builtins(run)


def from_plain(data: dict[str, Any], cls: type[Config], *, kind: str, called: str) -> Config:
    """Reads `to_plain`'s data.

    Args:
        called: what people call such a run, with its article.

    Raises:
        ConfigError: it is of another kind; it was written by another version, or by hand and wrongly.
    """
    if (found := data.get("kind")) != kind:
        raise ConfigError(f"config.json is not {called}: expected kind {kind!r}, got {found!r}")
    given = {key: value for key, value in data.items() if key != "kind"}
    try:
        run = msgspec.convert(given, type=cls)
    except msgspec.ValidationError as error:
        raise ConfigError(f"config.json is not {called} of this version: {error}") from None
    if unknown := list(_unknown(given, msgspec.to_builtins(run))):
        raise ConfigError(f"config.json is not {called} of this version, which knows no {', '.join(unknown)}")
    return run


def _unknown(given: Any, known: Any, path: str = "") -> Iterator[str]:
    """Paths of names in plain data that reading it has left out."""
    if isinstance(given, dict) and isinstance(known, dict):
        for name, value in given.items():
            where = f"{path}.{name}".lstrip(".")
            if name in known:
                yield from _unknown(value, known[name], where)
            else:
                yield where
    elif isinstance(given, list | tuple) and isinstance(known, list | tuple):
        for number, (one, other) in enumerate(zip(given, known, strict=False)):
            yield from _unknown(one, other, f"{path}.{number}")
