"""Whether the unconstrained phase lets a model use more tokens again: accuracy under caps, and how long answers are.

    gain(arm, seed) = right within the largest cap - right within the middle cap

What is right within few tokens is right within more as well, so a gain is never below 0 and says nothing by itself. It
is compared with that of the same run without budgets, at the same step, seed by seed. The middle cap is the largest
that is no longer than the mean answer of either, so that about half of the answers of both are still under way there.
That budgets are let go of shows in the length of answers: longer than at the end of the brief phase that follows.

Report: §4.4.2 (Toggle's second phase scales with tokens); how that is read is a choice here.
"""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import NamedTuple

from manyeyes.recipes.reproduce.fig5_pairs import CAPS, WITH, WITHOUT, Found, under_caps
from manyeyes.recipes.reproduce.post_findings import points, threshold
from manyeyes.recipes.reproduce.verdict import Difference, paired

FREE = "after the unconstrained phase"
KEPT = 0.01
"""Accuracy by which a gain may lie below that of the run without budgets, and that it must have at least."""


class Capped(NamedTuple):
    """Answers of an arm at a step.

    Attributes:
        right: accuracy within a cap, one number a seed, by cap.
        tokens: mean length, one number a seed.
    """

    right: dict[str, list[float]]
    tokens: list[float]

    def gain(self, cap: int) -> list[float]:
        """From a cap to the largest, one number a seed."""
        return [b - a for a, b in zip(self.right[str(cap)], self.right[str(CAPS[-1])], strict=True)]


def capped(seeds: Sequence[Found]) -> Capped:
    """Of attempts, a measurement a seed."""
    judged = [[one for one in found.values() if one.reward is not None] for found in seeds]
    return Capped(under_caps(seeds), [round(mean(one.tokens for one in own), 2) for own in judged])


class Scaling(NamedTuple):
    """What the unconstrained phase has kept.

    Attributes:
        middle: the cap that gains are counted from.
        free, without: gain of either, one number a seed.
        longer: tokens of an answer against the end of the last brief phase.
        in_all: whether they are longer in every seed.
    """

    middle: int
    free: list[float]
    without: list[float]
    longer: Difference
    in_all: bool

    @property
    def difference(self) -> Difference:
        """Gain against that without budgets."""
        return paired(self.free, self.without)

    @property
    def kept(self) -> bool:
        """Answers are longer again in every seed, and more tokens help as they do without budgets."""
        return self.in_all and self.difference.mean >= -KEPT and mean(self.free) >= KEPT


def scaling_of(caps: Mapping[str, Capped]) -> Scaling:
    """From the answers of all arms."""
    free, without, brief = caps[FREE], caps[WITHOUT], caps[WITH]
    length = min(mean(free.tokens), mean(without.tokens))
    middle = max((cap for cap in CAPS if cap <= length), default=CAPS[0])
    longer = paired(free.tokens, brief.tokens)
    in_all = all(a > b for a, b in zip(free.tokens, brief.tokens, strict=True))
    return Scaling(middle, free.gain(middle), without.gain(middle), longer, in_all)


def sentence(caps: Mapping[str, Capped]) -> str:
    """What showed."""
    found = scaling_of(caps)
    longer, largest = found.longer, str(CAPS[-1])
    reach = "" if longer.seeds < 2 else f", 95 % interval {longer.low:+.1f} to {longer.high:+.1f}"
    free, without, brief = (100 * mean(caps[arm].right[largest]) for arm in (FREE, WITHOUT, WITH))
    seeds = "in all seeds" if found.in_all else "not in all seeds"
    return (
        f"Scaling with tokens {FREE}: {threshold(found.kept, seeds=longer.seeds)}; answers are {longer.mean:+.1f} "
        f"tokens longer than at the end of the brief phase{reach} ({seeds}); "
        f"from {found.middle} to {largest} tokens accuracy gains {100 * mean(found.free):.1f} points, without Toggle "
        f"{100 * mean(found.without):.1f}: {points(found.difference)}; within {largest} tokens {free:.1f} % are right, "
        f"without Toggle {without:.1f} %, after the brief phase {brief:.1f} %."
    )
