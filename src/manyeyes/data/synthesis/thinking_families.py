"""The families of text problems, by name and capability, and how one problem of a split is drawn.

Whether a question is trained on or held out is decided by a hash of its words, here and nowhere else: supervised
dialogues (`thinking`) and tasks of reinforcement learning (`agent.environments.thoughts`) keep to the same line.

Report: §4.4.1 (pipelines for each domain), Fig. 5.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.data.collection import Split
from manyeyes.data.held_out import split_of
from manyeyes.data.synthesis.generator import HELD_OUT, PATIENCE
from manyeyes.data.synthesis.thinking_code import branch, call, loop, table, trace, update
from manyeyes.data.synthesis.thinking_lists import count, largest, parity, smallest
from manyeyes.data.synthesis.thinking_lookups import hops, most, prices
from manyeyes.data.synthesis.thinking_numbers import chain, equation, story, sum_of
from manyeyes.data.synthesis.thinking_problem import Capability, Draw, Problem


class Family(NamedTuple):
    """Problems of one kind."""

    capability: Capability
    draw: Draw


FAMILIES: dict[str, Family] = {
    "sum": Family("reasoning", sum_of),
    "chain": Family("reasoning", chain),
    "equation": Family("reasoning", equation),
    "story": Family("reasoning", story),
    "largest": Family("reasoning", largest),
    "smallest": Family("reasoning", smallest),
    "count": Family("reasoning", count),
    "parity": Family("reasoning", parity),
    "hops": Family("knowledge", hops),
    "most": Family("knowledge", most),
    "prices": Family("knowledge", prices),
    "trace": Family("coding", trace),
    "update": Family("coding", update),
    "loop": Family("coding", loop),
    "table": Family("coding", table),
    "branch": Family("coding", branch),
    "call": Family("coding", call),
}
LEVELS = (1, 2, 3)
"""Levels that are trained on; families have higher ones, too."""


def families(names: Sequence[str] | None = None, capability: Capability | None = None) -> tuple[str, ...]:
    """Names of families: the given ones, those of a capability, or all.

    Raises:
        ConfigError: a name that is none, or nothing is left.

    Example:
        >>> families(capability="knowledge"), families(("sum", "call"), "coding")
        (('hops', 'most', 'prices'), ('call',))
    """
    chosen = tuple(FAMILIES) if names is None else tuple(names)
    if unknown := [name for name in chosen if name not in FAMILIES]:
        raise ConfigError(f"no family is called {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    left = tuple(name for name in chosen if capability in (None, FAMILIES[name].capability))
    if not left:
        raise ConfigError(f"none of {', '.join(chosen) or 'no families'} is of capability {capability!r}")
    return left


def problem(family: str, rng: np.random.Generator, *, level: int, split: Split) -> Problem:
    """One problem of a family.

    Args:
        level: from 1.

    Raises:
        ConfigError: a level below 1.
        DataError: no question of this family and level belongs to the split.
    """
    if level < 1:
        raise ConfigError(f"levels of problems begin at 1, got {level}")
    draw = FAMILIES[family].draw
    for _ in range(PATIENCE):
        drawn = draw(rng, level)
        if split_of(f"thinking/{drawn.question}", per_mille=HELD_OUT) == split:
            return drawn
    raise DataError(f"{family}: no question of level {level} belongs to split {split!r}")
