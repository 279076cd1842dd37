"""Whether a model that learned under budgets still gains from more tokens where a problem needs them.

    within each cap      right after the unconstrained phase - right without budgets, at the same step
    hardest level        right with Toggle - right without, at the end of both runs; tokens against the easiest level

The report's fear is a model that has learned to reason no further than its budgets and fails where more tokens would
help. So two things are asked, in the mean of the seeds: within no cap of tokens it is behind the run without budgets by
more than a point, and at the hardest level it is not either. What is right within few tokens is right within more as
well, so that accuracy grows with the cap says nothing by itself.

Told, and deciding nothing: how much longer answers are where problems are harder, which they are for any model; and
whether they get longer again in the unconstrained phase: where reinforcement learning without budgets shortens
answers, too, nothing asks for longer ones.

Report: §4.4.2 (Toggle's second phase scales with tokens); how that is read is a choice here.
"""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from manyeyes.recipes.reproduce.fig5_pairs import BEFORE, CAPS, WITH, WITHOUT, Found, over_questions, under_caps
from manyeyes.recipes.reproduce.post_findings import points, threshold
from manyeyes.recipes.reproduce.verdict import Difference, paired

FREE = "after the unconstrained phase"
THEN = "without, as that phase ends"
KEPT = 0.01
"""Accuracy by which it may lie below the run without budgets."""


class Capped(NamedTuple):
    """Answers of an arm at a step.

    Attributes:
        right: accuracy within a cap, one number a seed, by cap.
        tokens: mean length, one number a seed.
    """

    right: dict[str, list[float]]
    tokens: list[float]


def capped(seeds: Sequence[Found]) -> Capped:
    """Of attempts, a measurement a seed."""
    judged = [[one for one in found.values() if one.reward is not None] for found in seeds]
    return Capped(under_caps(seeds), [round(mean(one.tokens for one in own), 2) for own in judged])


class Scaling(NamedTuple):
    """What the budgets have left.

    Attributes:
        worst: the cap within which it is most behind.
        behind: accuracy there against that without budgets.
        hard: accuracy at the hardest level against that without budgets, paired by seed.
        asked: the same over the questions there.
        grown: tokens at the hardest level against the easiest, one number a seed.
        usual: the same without budgets.
        longer: tokens of an answer after the unconstrained phase against the end of the brief phase that follows.
    """

    worst: int
    behind: Difference
    hard: Difference
    asked: Difference
    grown: list[float]
    usual: list[float]
    longer: Difference

    @property
    def kept(self) -> bool:
        """It is nowhere behind by more than a point, in the mean of the seeds."""
        return min(self.behind.mean, self.hard.mean) >= -KEPT


def scaling_of(caps: Mapping[str, Capped], levels: Sequence[Mapping[str, Any]]) -> Scaling:
    """From the answers of all arms.

    Args:
        levels: what `fig5_pairs.compare` says of each level, the easiest first.
    """
    free, without, brief = caps[FREE], caps[THEN], caps[WITH]
    apart = {cap: paired(free.right[str(cap)], without.right[str(cap)]) for cap in CAPS}
    worst = min(CAPS, key=lambda cap: (apart[cap].mean, -cap))
    right, easy, hard = levels[-1]["accuracy"], levels[0]["tokens"], levels[-1]["tokens"]
    grown, usual = ([b - a for a, b in zip(easy[arm], hard[arm], strict=True)] for arm in (WITH, WITHOUT))
    at_hardest, longer = paired(right[WITH], right[WITHOUT]), paired(free.tokens, brief.tokens)
    asked = over_questions(levels[-1])
    return Scaling(worst, apart[worst], at_hardest, asked, grown, usual, longer)


def sentence(caps: Mapping[str, Capped], levels: Sequence[Mapping[str, Any]]) -> str:
    """What showed."""
    found = scaling_of(caps, levels)
    longer, largest = found.longer, str(CAPS[-1])
    reach = "" if longer.seeds < 2 else f", 95 % interval {longer.low:+.1f} to {longer.high:+.1f}"
    free, without, brief = (100 * mean(caps[arm].right[largest]) for arm in (FREE, THEN, WITH))
    before, after = (mean(caps[arm].tokens) for arm in (BEFORE, THEN))
    return (
        f"Scaling with tokens {FREE}, in the mean kept within {100 * KEPT:.0f} point at every cap, and at the hardest "
        f"level after the last brief phase: {threshold(found.kept, seeds=longer.seeds)}; against the run without "
        f"Toggle it is furthest behind within {found.worst} tokens, {points(found.behind)}; within {largest} tokens "
        f"{free:.1f} % are right, without Toggle {without:.1f} %, after the brief phase {brief:.1f} %. At the hardest "
        f"level {points(found.asked, of='questions')}, {points(found.hard)}, and answers take {mean(found.grown):.0f} "
        f"tokens more than at the easiest, without Toggle {mean(found.usual):.0f}. Answers after the unconstrained "
        f"phase are {longer.mean:+.1f} tokens longer than after the brief phase that follows{reach}; without budgets "
        f"they went from {before:.0f} to {after:.0f} by then."
    )
