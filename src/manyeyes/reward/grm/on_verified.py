"""A grader's score on top of a verified reward: what rules found comes first, taste within what they left open.

    reward = (1 - share)·v + share·min(g, cap + (1 - cap)·v)        v verified, g graded, all from 0 to 1

A verified failure (v = 0) earns at most share·cap, whatever a grader says of it; a verified success (v = 1) at least
1 - share. With the defaults the worst right answer (0.5) is worth four times the most charming wrong one (0.125). The
reward never falls when v or g rises, and is never negative, as Toggle needs.

Report: §4.4.2 (GRMs are applied on top of verified rewards); the formula is an open choice here.
"""

import math

from manyeyes.core.errors import ConfigError

SHARE = 0.5
CAP = 0.25


def on_verified(verified: float, graded: float, *, share: float = SHARE, cap: float = CAP) -> float:
    """The reward of both.

    Args:
        share: of the reward that is the grader's.
        cap: what a grader can give a verified failure at most.

    Raises:
        ConfigError: one of the numbers is not from 0 to 1.

    Example:
        >>> on_verified(1.0, 1.0), on_verified(1.0, 0.0), on_verified(0.0, 1.0), on_verified(0.0, 0.0)
        (1.0, 0.5, 0.125, 0.0)
    """
    for name, value in {"verified": verified, "graded": graded, "share": share, "cap": cap}.items():
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise ConfigError(f"{name} must be from 0 to 1, got {value}")
    return (1 - share) * verified + share * min(graded, cap + (1 - cap) * verified)
