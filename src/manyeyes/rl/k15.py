"""K1.5: policy mirror descent, a square over whole sequences.

    L = sum_t l_t                  J = 1/S sum_s [ A L - tau/2 L^2 ]

That is K1.5's gradient, A grad log pi(y) - tau/2 grad (log pi(y)/pi_old(y))^2; up to a constant it is K2's square
-(A - tau L)^2 / (2 tau). No clip, no mask: one token on which training and inference disagree moves its whole sequence,
which is what Eq. 1 mends. With `per_token` L is the mean over the sequence, not the sum.

Source: Kimi K1.5 (arXiv 2501.12599, §2.3); Kimi K2 (arXiv 2507.20534, §3.2.3). The value of tau is published in
neither; others use 0.01 to 0.1. Shapes: S sequences.
"""

from dataclasses import dataclass

from manyeyes.rl.learned_tokens import LearnedTokens
from manyeyes.rl.objective import Loss, require_tau
from manyeyes.rl.token_count import TokenCount


@dataclass(frozen=True, slots=True)
class K15:
    """See the module.

    Attributes:
        tau: weight of the square.
        per_token: whether L is a mean over the sequence's tokens.

    Example:
        >>> K15()
        K15(tau=0.01, per_token=False)
    """

    tau: float = 0.01
    per_token: bool = False

    def __post_init__(self) -> None:
        require_tau(self.tau)

    def __call__(self, tokens: LearnedTokens, count: TokenCount) -> Loss:
        """See the module."""
        over = tokens.means if self.per_token else tokens.sums
        log_ratio_S, advantages_S = over(tokens.log_ratio_N), tokens.means(tokens.advantages_N)
        whole = max(count.sequences, 1)
        policy = -(advantages_S * log_ratio_S).sum() / whole
        squared = self.tau / 2 * log_ratio_S.square().sum() / whole
        return Loss(policy + squared, {"policy": policy.detach(), "squared": squared.detach()})
