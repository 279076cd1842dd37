"""Advantages: what each attempt's reward is above or below its group's.

    mean             A_j = r_j - mean_k r_k           own reward included, no standard deviation     Eq. 1, the default
    leave_one_out    A_j = r_j - mean_(k != j) r_k    = K / (K - 1) of the above                     (RLOO)
    none             A_j = r_j

    scale="std"      divided by the group's standard deviation (GRPO)

An attempt without a verdict, or with one that is no number, is no member: it is left out of the mean and counted. A
group with too few members teaches nothing. One whose advantages are all 0 says of no attempt that it is better: with a
baseline that is a group of equal rewards, without one a group of rewards of 0. Both are named.

Report: §4.4.2, Eq. 1. Shapes: K attempts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Trajectory

Kind = Literal["told", "equal", "quorum", "empty"]
"""told: an advantage is not 0; equal: all are; quorum: too few members; empty: none."""
Credit = Callable[[Trajectory, float], Sequence[float]]
"""The advantage of each agent by number, from that of the rollout (`to_all`, `to_main`)."""
RewardOf = Callable[[Trajectory, int], float | None]
"""What a judged attempt is worth at the update in which it is learned (so many are finished before), from its verdict's
named parts; None for no verdict. A pure function, so that a resumed run finds the same."""


@dataclass(frozen=True, slots=True)
class AdvantageRule:
    """How advantages are made.

    Attributes:
        baseline: what is taken off; see the module.
        scale: "none", or "std" (of the members, dividing by their number).
        quorum: members that a group needs; a baseline of one is its own reward.
        epsilon: beside the standard deviation.
    """

    baseline: Literal["mean", "leave_one_out", "none"] = "mean"
    scale: Literal["none", "std"] = "none"
    quorum: int = 2
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        if self.quorum < 1:
            raise ConfigError(f"a group needs at least one member, got a quorum of {self.quorum}")
        if self.baseline == "leave_one_out" and self.quorum < 2:
            raise ConfigError("leaving oneself out leaves nobody in a group of one: set a quorum of 2 or more")
        if self.baseline == "none" and self.scale == "std":
            raise ConfigError(
                "without a baseline equal rewards would be divided by a deviation of 0: set a baseline, or scale='none'"
            )
        if not self.epsilon > 0:
            raise ConfigError(f"epsilon must be above 0, got {self.epsilon}")


class GroupAdvantages(NamedTuple):
    """Of one group.

    Attributes:
        values: of each attempt; None where it is no member, or the group teaches nothing.
        kind: whether it teaches, and whether it says which way.
        mean: of the members' rewards; NaN without any.
        missing: attempts without a verdict.
        not_finite: attempts whose verdict is no finite number.
    """

    values: list[float | None]
    kind: Kind
    mean: float
    missing: int = 0
    not_finite: int = 0


def advantages_of(rewards: Sequence[float | None], rule: AdvantageRule = AdvantageRule()) -> GroupAdvantages:
    """Of the attempts at one task; never raises.

    Example:
        >>> advantages_of([1.0, 0.0, None, 1.0, 0.0]).values
        [0.5, -0.5, None, 0.5, -0.5]
        >>> advantages_of([1.0, None, math.nan]).kind
        'quorum'
    """
    members = [reward for reward in rewards if reward is not None and math.isfinite(reward)]
    missing = sum(reward is None for reward in rewards)
    mean = math.fsum(r / len(members) for r in members) if members else math.nan  # no sum overflows
    values: list[float | None] = [None] * len(rewards)
    if enough := len(members) >= rule.quorum:
        values = _values(rewards, members, mean, rule)
    kind = _told(values) if enough else "quorum" if members else "empty"
    return GroupAdvantages(values, kind, mean, missing, len(rewards) - len(members) - missing)


def judged(trajectory: Trajectory, step: int) -> float | None:
    """The judge's own word, whatever the update."""
    return trajectory.reward


def to_all(trajectory: Trajectory, advantage: float) -> list[float]:
    """Every agent gets the rollout's advantage; frozen ones carry no loss in any case."""
    return [advantage] * len(trajectory.agents)


def to_main(trajectory: Trajectory, advantage: float) -> list[float]:
    """The main agent alone is rewarded: live agents that it started get 0."""
    return [advantage if number == 0 else 0.0 for number in range(len(trajectory.agents))]


def _told(values: Sequence[float | None]) -> Kind:
    return "told" if any(values) else "equal"


def _values(
    rewards: Sequence[float | None], members: Sequence[float], mean: float, rule: AdvantageRule
) -> list[float | None]:
    # Equal rewards must come out as 0, not as what rounding left of a mean.
    mean = members[0] if min(members) == max(members) else mean
    factor = _factor(members, mean, rule)
    baseline = 0.0 if rule.baseline == "none" else mean
    return [None if r is None or not math.isfinite(r) else (r - baseline) * factor for r in rewards]


def _factor(members: Sequence[float], mean: float, rule: AdvantageRule) -> float:
    factor = len(members) / (len(members) - 1) if rule.baseline == "leave_one_out" else 1.0
    if rule.scale == "none":
        return factor
    spread = math.hypot(*((r - mean) / math.sqrt(len(members)) for r in members))  # no square overflows
    return factor / (spread + rule.epsilon)
