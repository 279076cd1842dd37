"""Eq. 1: the ratio inside a band, and a square that holds the policy near the one that sampled.

    J = 1/N sum_j sum_i [ Clip(rho, alpha, beta) (r_j - mean r)  -  tau l^2 ]        l = log pi_theta - log pi_old
    dJ/d log pi_theta  =  1/N (M rho A - 2 tau l)                                    rho = exp(l), M = inside the band

The loss is -J: the report says "minimise", but K1.5's gradient, from which Eq. 1 comes, only makes sense with J
maximised. Outside the band a token has no policy gradient whatever its advantage's sign (unlike PPO); the square acts
on it all the same. l is never clamped in the square.

Open in the report, and decided here: `Band` (the interval is of the ratio; outside it is 0), `squared_on` (every
generated token), no factor 1/2 before tau, N over the batch (`token_count`), the baseline (`advantage`), pi_old is what
the engine told of each token (never computed anew).

Report: §4.4.2, Eq. 1. Shapes: N tokens.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from manyeyes.core.errors import ConfigError
from manyeyes.rl.band import EQ_1, Band
from manyeyes.rl.corrections import token_mask
from manyeyes.rl.learned_tokens import LearnedTokens
from manyeyes.rl.token_count import TokenCount


class Loss(NamedTuple):
    """A micro-batch's part of a step's loss.

    Attributes:
        value: to be minimised; parts of micro-batches and ranks add up.
        figures: without gradient; they add up likewise. Shares are of all tokens (or sequences) of the step.
    """

    value: Tensor
    figures: dict[str, Tensor]


class Objective(Protocol):
    """Anything that tells the loss of some tokens; a frozen record of its settings."""

    def __call__(self, tokens: LearnedTokens, count: TokenCount) -> Loss:
        """Args: the tokens of a micro-batch, and the count of the whole step."""
        ...


@dataclass(frozen=True, slots=True)
class Eq1:
    """The objective of the report.

    Attributes:
        band: which tokens have a policy gradient.
        tau: weight of the square; 0 leaves it out.
        squared_on: "all" generated tokens, or those "inside" the band only.

    Example:
        >>> Eq1().tau, Eq1().band.alpha, Eq1().band.beta, Eq1().squared_on
        (0.001, 0.5, 2.0, 'all')
    """

    band: Band = EQ_1
    tau: float = 1e-3
    squared_on: Literal["all", "inside"] = "all"

    def __post_init__(self) -> None:
        require_tau(self.tau)

    def __call__(self, tokens: LearnedTokens, count: TokenCount) -> Loss:
        """See the module."""
        log_ratio_N = tokens.log_ratio_N
        kept = token_mask(log_ratio_N, self.band)
        policy = -(tokens.weights_N * kept.weight_T * tokens.advantages_N).sum() / count.whole
        near_N = log_ratio_N if self.squared_on == "all" else torch.where(kept.mask_T, log_ratio_N, 0.0)
        squared = self.tau * (tokens.weights_N * near_N.square()).sum() / count.whole
        masked = (~kept.mask_T).sum() / max(count.tokens, 1)
        figures = {"policy": policy.detach(), "squared": squared.detach(), "masked": masked}
        return Loss(policy + squared, figures)


def require_tau(tau: float) -> None:
    """Raises ConfigError where the weight of a square is below 0 or no number."""
    if not 0.0 <= tau < float("inf"):
        raise ConfigError(f"tau weighs a square and must be at least 0 and finite, got {tau}")
