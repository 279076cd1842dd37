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
    """Problems of one kind.

    Attributes:
        capability: that they ask for.
        draw: one of a level.
        highest: level: above it names run out, or nothing becomes harder.
    """

    capability: Capability
    draw: Draw
    highest: int


FAMILIES: dict[str, Family] = {
    "sum": Family("reasoning", sum_of, 6),
    "chain": Family("reasoning", chain, 7),
    "equation": Family("reasoning", equation, 9),
    "story": Family("reasoning", story, 7),
    "largest": Family("reasoning", largest, 5),
    "smallest": Family("reasoning", smallest, 5),
    "count": Family("reasoning", count, 5),
    "parity": Family("reasoning", parity, 5),
    "hops": Family("knowledge", hops, 9),
    "most": Family("knowledge", most, 6),
    "prices": Family("knowledge", prices, 9),
    "trace": Family("coding", trace, 6),
    "update": Family("coding", update, 9),
    "loop": Family("coding", loop, 3),
    "table": Family("coding", table, 6),
    "branch": Family("coding", branch, 4),
    "call": Family("coding", call, 3),
}
LEVELS = (1, 2, 3)
"""Levels that are trained on; most families have higher ones, too."""


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


def require_levels(names: Sequence[str], levels: Sequence[int]) -> None:
    """Raises ConfigError where a family has no such level."""
    for name in names:
        if wrong := [level for level in levels if not 1 <= level <= FAMILIES[name].highest]:
            raise ConfigError(f"{name} has levels 1 to {FAMILIES[name].highest}, got {wrong[0]}")


def problem(family: str, rng: np.random.Generator, *, level: int, split: Split) -> Problem:
    """One problem of a family.

    Args:
        level: from 1 to the family's highest.

    Raises:
        ConfigError: a level that the family does not have.
        DataError: no question of this family and level belongs to the split.
    """
    require_levels((family,), (level,))
    draw = FAMILIES[family].draw
    for _ in range(PATIENCE):
        drawn = draw(rng, level)
        if split_of(f"thinking/{drawn.question}", per_mille=HELD_OUT) == split:
            return drawn
    raise DataError(f"{family}: no question of level {level} belongs to split {split!r}")
