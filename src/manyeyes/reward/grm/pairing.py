"""Which works of a group are compared: each with the next (K comparisons), or all (K(K - 1) / 2).

A work's score is the mean of what it got from its comparisons, 1 for a win, 1/2 for a tie. Comparisons that gave no
verdict are left out, for both.

Report: §4.4.2 (group-wise preferences); pairings as NeMo Gym's `genrm_compare` has them.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Literal

from manyeyes.core.errors import ConfigError

Pairing = Literal["circular", "all"]
Pair = tuple[int, int]


def pairs_of(count: int, pairing: Pairing) -> list[Pair]:
    """The comparisons of a group.

    Example:
        >>> pairs_of(4, "circular"), pairs_of(2, "circular"), len(pairs_of(4, "all"))
        ([(0, 1), (1, 2), (2, 3), (3, 0)], [(0, 1)], 6)
    """
    if pairing not in ("circular", "all"):
        raise ConfigError(f'pairing must be "circular" or "all", got {pairing!r}')
    if pairing == "all" or count < 3:
        return list(combinations(range(count), 2))
    return [(at, (at + 1) % count) for at in range(count)]


def mean_wins(count: int, won: Mapping[Pair, float]) -> list[float | None]:
    """The score of each work from comparisons that gave one; None for a work without any.

    Args:
        won: what the first of each pair got; the second got the rest of 1.

    Example:
        >>> mean_wins(3, {(0, 1): 1.0, (1, 2): 0.5})
        [1.0, 0.25, 0.5]
    """
    got: list[list[float]] = [[] for _ in range(count)]
    for (one, other), score in won.items():
        got[one].append(score)
        got[other].append(1 - score)
    return [sum(scores) / len(scores) if scores else None for scores in got]
