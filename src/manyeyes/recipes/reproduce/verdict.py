"""Whether a small experiment shows what the report's Table 1 and App. B.1 say, in numbers and in plain sentences.

Arms are compared within a seed, since these runs share weights, data order and questions:

    d_s = score(arm a, seed s) - score(arm b, seed s)      mean d ± t(n-1, 97.5 %) · sd(d) / sqrt(n)

"shown" needs the report's order of the means and an interval of early - late that leaves out 0; the same order with 0
inside is "consistent, within noise"; anything else is "not shown". Questions differ from seed to seed, so the spread
over seeds contains that of the questions, where there are enough of them to draw from.

The dip is read from the loss on held-out text: right before vision comes in, its worst point in the fifth of the run
that follows, and the end; in itself and against the early arm after equally many tokens.
Report: §2.1, Table 1; App. B.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Literal, NamedTuple

from scipy.stats import t as student

Outcome = Literal["shown", "consistent, within noise", "not shown", "one seed only"]


class Difference(NamedTuple):
    """A paired difference over seeds.

    Attributes:
        mean: of the differences.
        low, high: 95 % interval of the mean; infinite with one seed.
        seeds: how many.
    """

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def leaves_out_zero(self) -> bool:
        """The sign is beyond the noise."""
        return self.low > 0 or self.high < 0


def paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """a - b, seed by seed.

    Example:
        >>> paired([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
        Difference(mean=2.0, low=2.0, high=2.0, seeds=3)
    """
    return interval([x - y for x, y in zip(a, b, strict=True)])


def interval(values: Sequence[float]) -> Difference:
    """Mean and 95 % interval of some numbers, one a seed."""
    middle, count = mean(values), len(values)
    if count < 2:
        return Difference(middle, -math.inf, math.inf, count)
    reach = float(student.ppf(0.975, count - 1)) * stdev(values) / math.sqrt(count)
    return Difference(middle, middle - reach, middle + reach, count)


class Ordering(NamedTuple):
    """Early against mid against late on one score."""

    early_mid: Difference
    mid_late: Difference
    early_late: Difference
    outcome: Outcome


def ordering(early: Sequence[float], mid: Sequence[float], late: Sequence[float]) -> Ordering:
    """Whether early >= mid >= late, from one score a seed."""
    found = paired(early, mid), paired(mid, late), paired(early, late)
    in_order = found[0].mean >= 0 and found[1].mean >= 0 and found[2].mean > 0
    if found[2].seeds < 2:
        outcome: Outcome = "one seed only"
    elif not in_order:
        outcome = "not shown"
    else:
        outcome = "shown" if found[2].low > 0 else "consistent, within noise"
    return Ordering(*found, outcome)


def not_hurt(early: Sequence[float], other: Sequence[float]) -> Outcome:
    """Whether early fusion costs text nothing, against an arm that saw its vision later."""
    difference = paired(early, other)
    if difference.seeds < 2:
        return "one seed only"
    if difference.high < 0:
        return "not shown"
    return "shown" if difference.low > 0 else "consistent, within noise"


@dataclass(frozen=True, slots=True)
class Dip:
    """What vision's arrival did to the loss on held-out text in one run (nats; above 0 is worse).

    Attributes:
        before: loss at the last probe without vision.
        worst: highest loss in the window after it.
        end: loss at the run's end.
        gap_before, gap_worst, gap_end: the same against the early arm after equally many tokens.
        control: how far the early arm's loss rose in the same window; the worst of many probes rises a little anyway.
    """

    before: float
    worst: float
    end: float
    gap_before: float
    gap_worst: float
    gap_end: float
    control: float

    @property
    def rise(self) -> float:
        """How far the loss rose in itself."""
        return self.worst - self.before

    @property
    def relative_rise(self) -> float:
        """How far it fell behind the early arm, which went on learning meanwhile."""
        return self.gap_worst - self.gap_before

    @property
    def recovered(self) -> bool:
        """The end is no worse than before vision came in."""
        return self.end <= self.before


def dip(arm: Sequence[float], early: Sequence[float], vision: Sequence[float], *, window: float = 0.2) -> Dip | None:
    """The dip of one run, from its probes and those of the early arm of its seed at the same numbers of tokens.

    Args:
        arm, early: held-out text loss at each probe.
        vision: vision tokens drawn by the arm at each probe.
        window: share of the probes that "shortly after" means.

    Returns:
        None when vision was there from the first probe on, or never came.
    """
    without = sum(tokens == 0 for tokens in vision)
    count = min(len(arm), len(early))
    if not 0 < without < count:
        return None
    gap = [a - e for a, e in zip(arm, early, strict=False)]
    after = range(without, min(count, without + max(1, round(window * count))))
    return Dip(
        arm[without - 1], max(arm[i] for i in after), arm[count - 1],
        gap[without - 1], max(gap[i] for i in after), gap[count - 1],
        max(early[i] for i in after) - early[without - 1],
    )  # fmt: skip


def dip_outcome(dips: Sequence[Dip]) -> Outcome:
    """Whether the loss rose at vision's arrival, more than the early arm's, and came down again in all seeds."""
    if len(dips) < 2:
        return "one seed only"
    beyond_control = interval([one.rise - one.control for one in dips])
    rises = mean(one.rise for one in dips) > 0 and beyond_control.mean > 0
    if not rises or not all(one.recovered for one in dips):
        return "not shown"
    return "shown" if beyond_control.low > 0 else "consistent, within noise"
