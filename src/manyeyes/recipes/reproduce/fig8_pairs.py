"""Tables that one agent and a swarm have both filled: critical steps to a target item-F1, table by table.

Means of two arms are over the same tables, or they would compare easy ones with hard ones; how many those are, and the
share of all that each arm brought so far, stand beside them. Steps to the end say something only where the table is
filled as well: who gives up at once is quick.

Report: §5.2, Figure 8.
"""

from collections.abc import Sequence
from statistics import mean
from typing import NamedTuple

from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.post_attempts import trajectories
from manyeyes.recipes.reproduce.post_ends import BY_ITSELF
from manyeyes.recipes.reproduce.post_swarm import TASKS, WIDE
from manyeyes.swarm import parl_plan
from manyeyes.swarm.row_moments import Moment, first_reached, moments

TARGETS = (0.3, 0.4, 0.5, 0.6, 0.7)
SINGLE, SWARM = "single", "swarm"
GOOD = TARGETS[-1]
"""Item-F1 of both from which either table counts as filled, whichever is better."""


class Told(NamedTuple):
    """How one table was filled.

    Attributes:
        rows: of the table.
        steps: critical steps at the end.
        f1: of the answer.
        reached: critical steps at which each target was reached.
        found: after each answer.
        ended: whether the main agent ended by itself or at its budget, and not by a full context.
    """

    rows: int
    steps: int
    f1: float
    reached: dict[float, int | None]
    found: list[Moment]
    ended: bool = True


ByTask = dict[tuple[int, str], Told]
"""By seed and task."""
Means = dict[str, float]
"""Of some tables: how many ("tables"; with 0 there is nothing else), steps of each arm, "faster"."""


class Pair(NamedTuple):
    """One table, filled by both.

    Attributes:
        seed: of the trained run.
    """

    seed: int
    single: Told
    swarm: Told

    @property
    def rows(self) -> int:
        """Of the table."""
        return self.single.rows

    @property
    def comparable(self) -> bool:
        """Whether steps to the end can be compared: both ended, and the swarm is as good as one agent, or both good."""
        single, swarm = self.single.f1, self.swarm.f1
        as_good = 0 < swarm >= single or min(single, swarm) >= GOOD
        return as_good and self.single.ended and self.swarm.ended

    def reached(self, target: float) -> bool:
        """Whether both reached it."""
        return self.single.reached[target] is not None and self.swarm.reached[target] is not None


def told_by(runs: Sequence[RunFolder], *, table: bool) -> ByTask:
    """From the stored attempts of measurements, a run a seed; `table` says whether agents share one."""
    found: ByTask = {}
    for seed, run in enumerate(runs):
        for one in trajectories(run, WIDE):
            if one.masked or one.reward is None:
                continue
            truth = table_of(one.task)
            at = moments(one, truth, table=table)
            reached, ended = first_reached(at, TARGETS), one.stop == BY_ITSELF
            found[seed, one.task] = Told(len(truth.rows), at[-1].steps, at[-1].f1, reached, at, ended)
    return found


def table_of(task: str) -> parl_plan.Plan:
    """The table of a task, by its id; it is drawn as the benchmark draws it."""
    seed, number = map(int, task.rsplit("/", 2)[1:])
    options = TASKS[WIDE][1]
    return parl_plan.plan_at(number, seed=seed, split="test", rows=options["rows"], families=options["families"])


def to_target(pairs: Sequence[Pair], target: float) -> Means:
    """Steps to a target, over the tables in which both reached it; and the share of all that each reached."""
    both = [one for one in pairs if one.reached(target)]
    return _means(
        [one.single.reached[target] or 0 for one in both], [one.swarm.reached[target] or 0 for one in both]
    ) | {
        f"{SINGLE}_reaches": mean(one.single.reached[target] is not None for one in pairs),
        f"{SWARM}_reaches": mean(one.swarm.reached[target] is not None for one in pairs),
    }


def to_end(pairs: Sequence[Pair]) -> Means:
    """Steps to the end, and item-F1 there; of no tables nothing."""
    if not pairs:
        return {"tables": 0}
    found = _means([one.single.steps for one in pairs], [one.swarm.steps for one in pairs])
    return found | {f"{arm}_f1": mean(getattr(one, arm).f1 for one in pairs) for arm in (SINGLE, SWARM)}


def _means(single: Sequence[int], swarm: Sequence[int]) -> Means:
    """Of the same tables."""
    if not single:
        return {"tables": 0}
    each = mean(a / b for a, b in zip(single, swarm, strict=True))
    return {"tables": len(single), SINGLE: mean(single), SWARM: mean(swarm), "faster": each}


def growth(pairs: Sequence[Pair]) -> Means:
    """By how much steps grow from the lowest target to the highest, on the tables in which both reached both."""
    first, last = TARGETS[0], TARGETS[-1]
    same = [one for one in pairs if one.reached(first) and one.reached(last)]
    if not same:
        return {"tables": 0}
    low, high = to_target(same, first), to_target(same, last)
    return {"tables": len(same), SINGLE: high[SINGLE] / low[SINGLE], SWARM: high[SWARM] / low[SWARM]}


def by_seed(pairs: Sequence[Pair], seeds: int) -> list[list[Pair]]:
    """The tables of each trained run, those without any too."""
    return [[one for one in pairs if one.seed == seed] for seed in range(seeds)]


def faster_by_seed(pairs: Sequence[Pair], target: float, seeds: int) -> list[float]:
    """Times sooner at a target, of the trained runs that reach it on a table that one agent brings so far too."""
    each = [to_target(own, target) for own in by_seed(pairs, seeds) if own]
    return [one["faster"] for one in each if one["tables"]]
