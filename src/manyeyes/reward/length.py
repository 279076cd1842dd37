"""Budget control: what brevity is worth, as K1.5 and K2 reward it.

    K1.5   λ = 1/2 - (length - shortest) / (longest - shortest)      right: λ, wrong: min(0, λ); all alike: 0
    K2     a task has a budget of tokens; beyond it an answer is cut, and worth `penalty` less

Rewards that Toggle multiplies by 0 or 1 must not be negative (0 times a punishment is a prize): `non_negative=True`
moves K1.5's terms up to 0..1 and keeps a penalised reward at 0 or more. Lengths are sampled tokens.

Report: §4.4.2 (budget control, which gives no formula); Kimi K1.5, 2025, §2.3.3; Kimi K2, 2025, §3.2.3 (no constants).
"""

from collections.abc import Sequence
from typing import NamedTuple

from manyeyes.core.errors import ConfigError


def k15_length_rewards(lengths: Sequence[int], correct: Sequence[bool], *, non_negative: bool = False) -> list[float]:
    """The length term of each answer in a group; from -1/2 to 1/2.

    Args:
        lengths: sampled tokens of each answer; the shortest and the longest are of the whole group.
        correct: which are right: a wrong answer earns nothing by being short.
        non_negative: λ + 1/2 for right answers and 0 for wrong ones instead: from 0 to 1, all alike 1/2 (right).

    Raises:
        ConfigError: not one length for each answer, or a negative one.

    Example:
        >>> k15_length_rewards([100, 200, 300], [True, True, False])
        [0.5, 0.0, -0.5]
    """
    if len(lengths) != len(correct) or min(lengths, default=0) < 0:
        raise ConfigError(f"expected one length from 0 on for each of {len(correct)} answers, got {list(lengths)}")
    terms = _k15_terms(lengths)
    if non_negative:
        return [term + 0.5 if right else 0.0 for term, right in zip(terms, correct, strict=True)]
    return [term if right else min(0.0, term) for term, right in zip(terms, correct, strict=True)]


def _k15_terms(lengths: Sequence[int]) -> list[float]:
    shortest, longest = min(lengths, default=0), max(lengths, default=0)
    span = longest - shortest
    return [0.5 - (length - shortest) / span for length in lengths] if span else [0.0] * len(lengths)


class Budget(NamedTuple):
    """What a task may cost.

    Attributes:
        tokens: sampled at most; sampling is cut there, so that `length > tokens` or `cut` says it was too much.
        penalty: taken off then.
        ramp: tokens before the budget over which the penalty grows from 0; 0 for a step.
    """

    tokens: int
    penalty: float = 0.5
    ramp: int = 0

    def penalty_of(self, length: int, *, cut: bool = False) -> float:
        """From 0 (within) to `penalty` (beyond).

        Example:
            >>> [Budget(100, ramp=20).penalty_of(length) for length in (80, 90, 100, 101)]
            [0.0, 0.25, 0.5, 0.5]
        """
        if cut or length > self.tokens:
            return self.penalty
        over = length - (self.tokens - self.ramp)
        return self.penalty * over / self.ramp if self.ramp and over > 0 else 0.0


def budgeted(reward: float, length: int, budget: Budget, *, cut: bool = False, non_negative: bool = False) -> float:
    """A reward less what its length costs.

    Args:
        cut: the answer was truncated at its budget.
        non_negative: never below 0, or below the reward where that is less.

    Example:
        >>> [budgeted(reward, 120, Budget(100)) for reward in (1.0, 0.0)]
        [0.5, -0.5]
        >>> budgeted(0.0, 120, Budget(100), non_negative=True)
        0.0
    """
    worth = reward - budget.penalty_of(length, cut=cut)
    return max(worth, min(0.0, reward)) if non_negative else worth
