"""How attempts at tasks ended, and the critical steps of two arms on the tasks that both brought to an end.

An agent whose context is full has taken fewer steps than its task needs, and looks quick. So steps are compared task by
task where both arms' attempts ended by themselves (or at the budget that a swarm has to keep), and how the others ended
stands beside it. One that its budget ended has taken few steps, too: `as_good` leaves out what it did worse.

Report: §3 (critical steps), §5.2.
"""

from collections.abc import Collection, Mapping, Sequence
from statistics import mean
from typing import NamedTuple

from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.post_attempts import Attempt, attempts
from manyeyes.recipes.reproduce.post_curves import Figures, last_figures
from manyeyes.recipes.reproduce.verdict import Difference, interval

STOP = "stop_"
"""In front of the share of attempts that ended so, in the figures of a measurement (`rl_measure.figures_of`)."""
BY_ITSELF = "done"
Asked = Mapping[tuple[str, str], Attempt]
"""Attempts of a measurement by place and task."""


class Steps(NamedTuple):
    """Critical steps of two arms on the same tasks.

    Attributes:
        tasks: that both brought to an end, one number a seed.
        one, other: mean steps, of the seeds in which there are any.
    """

    tasks: list[int]
    one: list[float]
    other: list[float]

    @property
    def shares(self) -> list[float]:
        """Steps of one over those of the other, by seed."""
        return [a / b for a, b in zip(self.one, self.other, strict=True)]

    @property
    def share(self) -> Difference | None:
        """Their mean with its interval; None where no task was brought to an end by both."""
        return interval(self.shares) if self.one else None

    @property
    def everywhere(self) -> bool:
        """Whether each seed has such tasks."""
        return all(self.tasks)


def steps_on_both(
    one: Sequence[Asked], other: Sequence[Asked], places: Collection[str], *, as_good: bool = False
) -> Steps:
    """Of two arms, a measurement a seed each.

    Args:
        as_good: only tasks at which the first one's reward is no lower.
    """
    seeds = [_of_both(a, b, places, as_good) for a, b in zip(one, other, strict=True)]
    told = [own for own in seeds if own]
    return Steps([len(own) for own in seeds], *([mean(pair[side] for pair in own) for own in told] for side in (0, 1)))


def _of_both(one: Asked, other: Asked, places: Collection[str], as_good: bool) -> list[tuple[float, float]]:
    keys = [key for key in one if key[0] in places and key in other]
    ended = [(one[key], other[key]) for key in keys if one[key].ended and other[key].ended]
    kept = [(a, b) for a, b in ended if not as_good or (a.reward or 0.0) >= (b.reward or 0.0)]
    return [(a.critical, b.critical) for a, b in kept if a.critical is not None and b.critical is not None]


def asked_of(runs: Sequence[RunFolder], *, step: int = 0) -> list[Asked]:
    """Attempts of a measurement of each run.

    Raises:
        DataError: a run holds none.
    """
    return [attempts(run, step=step) for run in runs]


def ends_of(runs: Sequence[RunFolder], name: str) -> dict[str, float]:
    """Share of the judged attempts at a benchmark that ended in each way, mean of the seeds; the commonest first.

    Raises:
        DataError: a run does not tell it.
    """
    return ends_in([last_figures(run) for run in runs], name)


def ends_in(seeds: Sequence[Figures], name: str) -> dict[str, float]:
    """The same from figures, a measurement a seed."""
    prefix, sure = f"{name}/{STOP}", f"{name}/{STOP}{BY_ITSELF}"
    ways = {key.removeprefix(prefix) for one in seeds for key in one if key.startswith(prefix)} | {BY_ITSELF}
    shares = {way: mean(one[sure] if way == BY_ITSELF else one.get(prefix + way, 0.0) for one in seeds) for way in ways}
    return dict(sorted(shares.items(), key=lambda found: (-found[1], found[0])))


def said(ends: Mapping[str, float], *, budget: bool = True) -> str:
    """How attempts ended, for people.

    Args:
        budget: whether there was one that may have ended them.

    Example:
        >>> said({"done": 0.9, "context_overflow": 0.1})
        'by itself or its budget 90 %, context overflow 10 %'
    """
    words = {BY_ITSELF: "by itself or its budget" if budget else "by itself"}
    return ", ".join(f"{words.get(way, way.replace('_', ' '))} {100 * share:.0f} %" for way, share in ends.items())
