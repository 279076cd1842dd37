"""GRPO, and DAPO's changes to it: a ratio per token, clipped as in PPO.

    J = mean of min( rho A, clip(rho, 1 - low, 1 + high) A )

    "token"       one mean over all tokens of the step (DAPO)                        the default
    "sequence"    the mean over each sequence, then over sequences (GRPO)

GRPO divides the advantage by the group's standard deviation (`AdvantageRule(scale="std")`), with low = high = 0.2 and a
KL term against a reference model; DAPO drops that term, as here. The ratio is to the policy that sampled, as the engine
told.

Source: Shao et al., 2024 (DeepSeekMath, arXiv 2402.03300); Yu et al., 2025 (DAPO, arXiv 2503.14476).
Shapes: N tokens, S sequences.
"""

from dataclasses import dataclass
from typing import Literal

from manyeyes.rl.clipping import clipped, pessimistic, require_bounds
from manyeyes.rl.learned_tokens import LearnedTokens, ratio
from manyeyes.rl.objective import Loss
from manyeyes.rl.token_count import TokenCount


@dataclass(frozen=True, slots=True)
class Grpo:
    """See the module.

    Attributes:
        low, high: bounds of the clip; DAPO's.
        mean_over: "token" or "sequence".

    Example:
        >>> Grpo(), Grpo(high=0.2, mean_over="sequence")
        (Grpo(low=0.2, high=0.28, mean_over='token'), Grpo(low=0.2, high=0.2, mean_over='sequence'))
    """

    low: float = 0.2
    high: float = 0.28
    mean_over: Literal["token", "sequence"] = "token"

    def __post_init__(self) -> None:
        require_bounds(self.low, self.high)

    def __call__(self, tokens: LearnedTokens, count: TokenCount) -> Loss:
        """See the module."""
        ratio_N, advantages_N = ratio(tokens.log_ratio_N), tokens.advantages_N
        gain_N = pessimistic(ratio_N, advantages_N, low=self.low, high=self.high)
        if self.mean_over == "token":
            policy = -(tokens.weights_N * gain_N).sum() / count.whole
        else:
            policy = -tokens.means(gain_N).sum() / max(count.sequences, 1)
        beyond_N = clipped(ratio_N, advantages_N, low=self.low, high=self.high)
        return Loss(policy, {"policy": policy.detach(), "masked": beyond_N.sum() / max(count.tokens, 1)})
