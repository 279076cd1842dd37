"""Whether a model that learned under budgets still gains from more tokens where a problem needs them.

    within each cap      right after the unconstrained phase - right without budgets, at the same step
    hardest level        right with Toggle - right without; tokens there against those of the easiest level

The report's fear is a model that has learned to reason no further than its budgets and fails where more tokens would
help. So three things are asked: within no cap of tokens it is behind the run without budgets by more than a point, it
is not at the hardest level either, and its answers grow with the level in every seed. What is right within few tokens
is right within more as well, so that accuracy grows with the cap says nothing by itself.

Whether answers get longer again in the unconstrained phase is told, and decides nothing: where reinforcement learning
without budgets shortens answers, too, nothing asks for longer ones.

Report: §4.4.2 (Toggle's second phase scales with tokens); how that is read is a choice here.
"""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from manyeyes.recipes.reproduce.fig5_pairs import BEFORE, CAPS, WITH, WITHOUT, Found, under_caps
from manyeyes.recipes.reproduce.post_findings import points, threshold
from manyeyes.recipes.reproduce.verdict import Difference, paired

FREE = "after the unconstrained phase"
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
        hard: accuracy at the hardest level against that without budgets.
        grown: tokens at the hardest level against the easiest, one number a seed.
        longer: tokens of an answer after the unconstrained phase against the end of the brief phase that follows.
    """

    worst: int
    behind: Difference
    hard: Difference
    grown: list[float]
    longer: Difference

    @property
    def kept(self) -> bool:
        """It is nowhere behind by more than a point, and takes more tokens for what is harder, in every seed."""
        return min(self.behind.mean, self.hard.mean) >= -KEPT and min(self.grown) > 0


def scaling_of(caps: Mapping[str, Capped], levels: Sequence[Mapping[str, Any]]) -> Scaling:
    """From the answers of all arms.

    Args:
        levels: what `fig5_pairs.compare` says of each level, the easiest first.
    """
    free, without, brief = caps[FREE], caps[WITHOUT], caps[WITH]
    apart = {cap: paired(free.right[str(cap)], without.right[str(cap)]) for cap in CAPS}
    worst = min(CAPS, key=lambda cap: (apart[cap].mean, -cap))
    right, easy, hard = levels[-1]["accuracy"], levels[0]["tokens"][WITH], levels[-1]["tokens"][WITH]
    return Scaling(
        worst, apart[worst], paired(right[WITH], right[WITHOUT]), [b - a for a, b in zip(easy, hard, strict=True)],
        paired(free.tokens, brief.tokens),
    )  # fmt: skip


def sentence(caps: Mapping[str, Capped], levels: Sequence[Mapping[str, Any]]) -> str:
    """What showed."""
    found = scaling_of(caps, levels)
    longer, largest = found.longer, str(CAPS[-1])
    reach = "" if longer.seeds < 2 else f", 95 % interval {longer.low:+.1f} to {longer.high:+.1f}"
    free, without, brief = (100 * mean(caps[arm].right[largest]) for arm in (FREE, WITHOUT, WITH))
    before, after = (mean(caps[arm].tokens) for arm in (BEFORE, WITHOUT))
    return (
        f"Scaling with tokens {FREE}, kept within {100 * KEPT:.0f} point at every cap and at the hardest level: "
        f"{threshold(found.kept, seeds=longer.seeds)}; against the run without Toggle it is furthest behind within "
        f"{found.worst} tokens, {points(found.behind)}; within {largest} tokens {free:.1f} % are right, without Toggle "
        f"{without:.1f} %, after the brief phase {brief:.1f} %. At the hardest level {points(found.hard)}, and answers "
        f"take {mean(found.grown):.0f} tokens more than at the easiest. Answers after the unconstrained phase are "
        f"{longer.mean:+.1f} tokens longer than after the brief phase that follows{reach}; without budgets they went "
        f"from {before:.0f} to {after:.0f}."
    )
