"""What may change between a saved plan and the run that goes on from it, and a message for what may not.

A plan is a function of its sources and settings, so going on with others would repeat or skip samples in silence.
Ratios, weights, segments and epoch caps only steer what is drawn next and may change at any resume. Some settings may
change if the caller says so; the seed and the sources already drawn from never may.

Report: App. C.1 (flexibility: ratios are adjusted on demand; determinism: no repeat, no skip).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from manyeyes.core.errors import DataError

FORMAT = 1
"""Version of the saved state."""

SETTINGS = ("seed", "row_length", "window", "tokenizer")
ON_REQUEST = ("row_length", "window", "tokenizer", "sources")
"""What a resume may change if asked to; "sources" = sources may be added."""


def require_same(then: Mapping[str, Any], now: Mapping[str, Any], *, allow: Collection[str]) -> None:
    """Compare a saved planner state with the state of a new planner.

    Raises:
        DataError: they differ in something that is not allowed, or the state is of another format.
    """
    if unknown := sorted(set(allow) - set(ON_REQUEST)):
        raise DataError(
            f"allow names {', '.join(unknown)}; what a resume may change on request is {', '.join(ON_REQUEST)}"
        )
    if then.get("format") != FORMAT:
        raise DataError(f"the saved plan has format {then.get('format')}; this version reads format {FORMAT}")
    refuse_changes([*_settings(then, now, allow), *_sources(then["sources"], now["sources"], allow)])


def refuse_changes(changes: Iterable[str]) -> None:
    """Raise if there are any.

    Raises:
        DataError: naming all changes, and which ones would be allowed.
    """
    if found := list(changes):
        raise DataError(
            f"cannot go on from the saved plan: {'; '.join(found)}. Undo this, or start a new run. Ratios, weights, "
            f"segments and epoch caps may change at any resume; with allow also {', '.join(ON_REQUEST)} (added ones)"
        )


def waiting(state: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """(source, draw, length) of the samples that waited for a row."""
    names = list(state["sources"])
    numbers = iter(state["waiting"])
    for number, back, length in zip(numbers, numbers, numbers, strict=True):
        name = names[number]
        yield name, state["sources"][name][2] - back, length


def _settings(then: Mapping[str, Any], now: Mapping[str, Any], allow: Collection[str]) -> Iterator[str]:
    for key in SETTINGS:
        if then[key] != now[key] and key not in allow:
            yield f"{key} was {then[key]!r} and is now {now[key]!r}"


def _sources(then: Mapping[str, Any], now: Mapping[str, Any], allow: Collection[str]) -> Iterator[str]:
    for name, (domain, size, *_) in then.items():
        if name not in now:
            yield f"source {name!r} is gone (keep it with weight 0)"
        elif [domain, size] != now[name][:2]:
            yield f"source {name!r} was {domain} with {size} samples and is now {now[name][0]} with {now[name][1]}"
    if "sources" not in allow:
        yield from (f"source {name!r} is new" for name in now if name not in then)
