"""GSPO: one ratio per sequence, the geometric mean of its tokens' ratios.

    s = exp( mean_t l_t )          J = 1/S sum_s min( s A, clip(s, 1 - low, 1 + high) A )

All tokens of a sequence are kept or clipped together, which spares a mixture of experts the noise of single tokens. The
bounds are tight because a mean over tokens hardly moves. A is the mean over the sequence's tokens (they are equal but
where agents are rewarded apart).

Source: Zheng et al., 2025 (arXiv 2507.18071; bounds 3e-4 and 4e-4). Shapes: S sequences.
"""

from dataclasses import dataclass

from manyeyes.rl.clipping import clipped, pessimistic, require_bounds
from manyeyes.rl.learned_tokens import LearnedTokens, ratio
from manyeyes.rl.objective import Loss
from manyeyes.rl.token_count import TokenCount


@dataclass(frozen=True, slots=True)
class Gspo:
    """See the module.

    Attributes:
        low, high: bounds of the clip.

    Example:
        >>> Gspo()
        Gspo(low=0.0003, high=0.0004)
    """

    low: float = 3e-4
    high: float = 4e-4

    def __post_init__(self) -> None:
        require_bounds(self.low, self.high)

    def __call__(self, tokens: LearnedTokens, count: TokenCount) -> Loss:
        """See the module."""
        ratio_S, advantages_S = ratio(tokens.means(tokens.log_ratio_N)), tokens.means(tokens.advantages_N)
        whole = max(count.sequences, 1)
        policy = -pessimistic(ratio_S, advantages_S, low=self.low, high=self.high).sum() / whole
        beyond_S = clipped(ratio_S, advantages_S, low=self.low, high=self.high)
        return Loss(policy, {"policy": policy.detach(), "masked": beyond_S.sum() / whole})
