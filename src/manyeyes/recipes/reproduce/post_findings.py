"""What an experiment found, in numbers and plain sentences: rises, falls and what stays, paired by seed.

    shown                      all seeds go the right way, and the 95 % interval of the mean leaves out 0
    consistent, within noise   the mean goes the right way
    not shown                  it does not
    one seed only              nothing is said about noise

A number that was asked for beforehand is "reached" or "not reached": a word about the figures as they were measured,
which says nothing about noise, so an interval stands beside it where there is one.

Seeds differ in weights learned, tasks drawn and questions asked, so their spread holds all three.

Report: none; see `verdict`.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from statistics import mean, stdev
from typing import Literal

from manyeyes.recipes.reproduce.verdict import Difference, Outcome, paired

Reached = Literal["reached", "not reached", "one seed only"]


def outcome_of(difference: Difference, values: Sequence[float] = ()) -> Outcome:
    """Whether a difference is above 0.

    Args:
        values: the single differences, where all have to be above 0 for "shown".
    """
    if difference.seeds < 2:
        return "one seed only"
    if difference.mean <= 0:
        return "not shown"
    return "shown" if difference.low > 0 and all(v > 0 for v in values) else "consistent, within noise"


def risen(before: Sequence[float], after: Sequence[float]) -> tuple[Difference, Outcome]:
    """after - before, and whether it rose."""
    values = [b - a for a, b in zip(before, after, strict=True)]
    difference = paired(after, before)
    return difference, outcome_of(difference, values)


def threshold(reached: bool, *, seeds: int) -> Reached:
    """Whether a number that is asked for was reached, where seeds are enough to say so."""
    if seeds < 2:
        return "one seed only"
    return "reached" if reached else "not reached"


def of_clusters(differences: Sequence[float], clusters: Sequence[Hashable]) -> Difference:
    """Mean of many single differences with its normal 95 % interval, where those of a cluster are alike.

    Answers to one question tell less than answers to as many, so the interval is that of independent clusters
    (cluster-robust, Liang and Zeger 1986): each counts as one.

    Args:
        clusters: the cluster of each difference.

    Returns:
        The interval; `seeds` is the number of clusters.
    """
    middle = mean(differences)
    sums: defaultdict[Hashable, float] = defaultdict(float)
    for difference, cluster in zip(differences, clusters, strict=True):
        sums[cluster] += difference - middle
    count = len(sums)
    if count < 2:
        return Difference(middle, -math.inf, math.inf, count)
    spread = math.fsum(value * value for value in sums.values()) * count / (count - 1)
    reach = 1.96 * math.sqrt(spread) / len(differences)
    return Difference(middle, middle - reach, middle + reach, count)


def points(found: Difference, *, of: str = "seeds") -> str:
    """A difference of shares as percentage points, with its interval.

    Example:
        >>> points(Difference(0.172, 0.15, 0.194, 3))
        '+17.2 points (95 % interval +15.0 to +19.4, 3 seeds)'
    """
    if not math.isfinite(found.low):
        return f"{100 * found.mean:+.1f} points (one {of.removesuffix('s')})"
    return (
        f"{100 * found.mean:+.1f} points (95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}, "
        f"{found.seeds:,} {of})"
    )


def spread(found: Difference, *, unit: str = "%", scale: float = 100.0, digits: int = 0) -> str:
    """A mean that is no difference, with its interval over seeds.

    Example:
        >>> spread(Difference(0.28, 0.21, 0.35, 3))
        '28 % (95 % interval 21 to 35, 3 seeds)'
    """
    middle = f"{scale * found.mean:.{digits}f} {unit}".strip()
    if not math.isfinite(found.low):
        return f"{middle} (one seed)"
    low, high = (f"{scale * value:.{digits}f}" for value in (found.low, found.high))
    return f"{middle} (95 % interval {low} to {high}, {found.seeds} seeds)"


def percent(values: Sequence[float]) -> str:
    """Mean of shares in percent, with the standard deviation over the seeds.

    Example:
        >>> percent([0.5, 0.6]), percent([0.5])
        ('55.0 ± 7.1', '50.0')
    """
    return f"{100 * mean(values):.1f}" + (f" ± {100 * stdev(values):.1f}" if len(values) > 1 else "")


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them.

    Example:
        >>> listed(["a", "b", "c"]), listed([])
        ('a, b and c', 'none')
    """
    if not names:
        return "none"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def summed(values: Sequence[Outcome]) -> str:
    """How often each outcome occurs.

    Example:
        >>> summed(["shown", "shown", "not shown"])
        '2 shown, 1 not shown'
    """
    return ", ".join(f"{values.count(one)} {one}" for one in dict.fromkeys(values))
