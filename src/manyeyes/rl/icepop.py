"""IcePop: PPO's clip for the policy's steps, and a double-sided mask for what training and inference disagree about.

    k   = pi_train(before this batch) / pi_infer         rho = pi_theta / pi_train(before this batch)
    J   = 1/N sum_t M(k) min( rho A, clip(rho, 1 - low, 1 + high) A ),     M(k) = k inside the band, else 0

k is a number without gradient. Eq. 1 bounds the product rho k; on the first step on a batch (rho = 1) both have the
same gradient but for the square. Later steps need the trainer's log-probabilities from before the first
(`logprobs.batch_logprobs`), given to `learn_rl` as `proximal_BT`.

Source: Ling team, 2025 (Ring; bounds 0.5 and 5), the report's reference [79]. Shapes: N tokens.
"""

from dataclasses import dataclass, field

from manyeyes.rl.band import Band
from manyeyes.rl.clipping import clipped, pessimistic, require_bounds
from manyeyes.rl.corrections import token_mask
from manyeyes.rl.learned_tokens import LearnedTokens, ratio
from manyeyes.rl.objective import Loss
from manyeyes.rl.token_count import TokenCount


@dataclass(frozen=True, slots=True)
class IcePop:
    """See the module.

    Attributes:
        band: of k.
        low, high: bounds of the clip.

    Example:
        >>> IcePop().band.beta, IcePop().low
        (5.0, 0.2)
    """

    band: Band = field(default_factory=lambda: Band(0.5, 5.0))
    low: float = 0.2
    high: float = 0.2

    def __post_init__(self) -> None:
        require_bounds(self.low, self.high)

    def __call__(self, tokens: LearnedTokens, count: TokenCount) -> Loss:
        """See the module."""
        apart = token_mask((tokens.proximal_N - tokens.sampled_N).detach(), self.band)
        ratio_N = ratio(tokens.logprobs_N - tokens.proximal_N.detach())
        gain_N = pessimistic(ratio_N, tokens.advantages_N, low=self.low, high=self.high)
        policy = -(tokens.weights_N * apart.weight_T * gain_N).sum() / count.whole
        beyond_N = clipped(ratio_N, tokens.advantages_N, low=self.low, high=self.high)
        whole = max(count.tokens, 1)
        shares = {"masked": (~apart.mask_T).sum() / whole, "clip_share": (beyond_N & apart.mask_T).sum() / whole}
        return Loss(policy, {"policy": policy.detach()} | shares)
