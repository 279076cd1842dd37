"""`is_right`: whether a judged attempt was right, decided at one place.

    the verdict names a part `right`     the judge has decided: 1 is right, whatever the reward
    it does not                          a reward of at least the threshold is right. Where a group judge gave the
                                         reward, it is the one from before that (`right_part.ALONE`), and where there
                                         was none nobody is right

A reward is a shade where it also says how near an answer comes: that of a right answer may well be 0.95, and that of a
wrong one, too. The curriculum, Toggle's budgets, rejection sampling and the figures of a step all ask here.

Report: §4.4.2 ("correct" answers of Eq. 2; rewards with several parts).
"""

import math
from collections.abc import Mapping
from typing import Protocol

from manyeyes.agent.right_part import ALONE, GIVEN, RIGHT

PART = RIGHT
"""Name of the part by which a judge says it."""


class Judged(Protocol):
    """An attempt with its verdict: a `Trajectory`, or its summary in a store."""

    @property
    def reward(self) -> float | None:
        """None without a verdict."""
        ...

    @property
    def rewards(self) -> Mapping[str, float]:
        """Named parts."""
        ...

    @property
    def masked(self) -> str:
        """Why it counts for nothing; "" where it counts."""
        ...


def is_right(one: Judged, *, least: float) -> bool:
    """Whether it was right; without a verdict it was not.

    Args:
        least: the least reward of a right attempt, where its judge does not say.

    Example:
        >>> from manyeyes.core.trajectory import Trajectory
        >>> is_right(Trajectory("a", "a", reward=0.95, rewards={"near": 0.9, "right": 1.0}), least=1.0)
        True
        >>> is_right(Trajectory("a", "a", reward=0.95), least=1.0)
        False
    """
    if one.masked or one.reward is None or not math.isfinite(one.reward):
        return False
    said, own = one.rewards.get(PART), one.rewards.get(ALONE, -math.inf) if GIVEN in one.rewards else one.reward
    return own >= least if said is None or not math.isfinite(said) else said >= 1.0
