"""`BriefInGroup`: a group judge that adds K1.5's length term to each attempt's own reward.

    reward = own + weight · λ      right: λ = 1/2 - (length - shortest) / (longest - shortest);  wrong: at most 0

Lengths are what Toggle counts: tokens that live agents sampled. With `non_negative`, as Toggle needs, λ goes from 0 to
1 for right answers and is 0 for wrong ones. Who was right the attempt's own judge says. Unlike a budget of Toggle it
holds in every step, so together with Toggle there is no phase without it.

Report: §4.4.2 (budget control, which gives no formula); Kimi K1.5, 2025, §2.3.3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from manyeyes.agent.budget_judge import tokens_of
from manyeyes.agent.group_judge import Said, case_of, counted, own_verdict
from manyeyes.agent.judge import Verdict
from manyeyes.agent.right_part import right_of
from manyeyes.agent.rollouts.group import Group
from manyeyes.core.errors import ConfigError
from manyeyes.reward.length import k15_length_rewards


@dataclass(frozen=True, slots=True)
class BriefInGroup:
    """See the module.

    Attributes:
        weight: of the term.
        least: the least reward of a right attempt, where its judge does not say (`right_of`).
        non_negative: terms from 0 to 1.

    Raises:
        ConfigError: a weight that is none.

    Example:
        >>> BriefInGroup(weight=0.1).non_negative
        True
    """

    weight: float = 0.2
    least: float = 1.0
    non_negative: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ConfigError(f"the weight of brevity must be finite and at least 0, got {self.weight}")

    async def __call__(self, group: Group) -> Sequence[Said]:
        """See `GroupJudge`; parts "term" and "tokens"."""
        members = counted(group)
        own = [own_verdict(group.trajectories[at]) for at in members]
        right = [right_of(one, least=self.least) >= 1.0 for one in own]
        lengths = [tokens_of(case_of(group, at)) for at in members]
        terms = k15_length_rewards(lengths, right, non_negative=self.non_negative)
        verdicts: list[Said] = [None] * len(group.trajectories)
        for at, alone, length, term in zip(members, own, lengths, terms, strict=True):
            verdicts[at] = Verdict(alone.reward + self.weight * term, {"term": term, "tokens": float(length)})
        return verdicts
