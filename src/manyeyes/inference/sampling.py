"""From scores to a token: temperature, nucleus, and one uniform number per token from a named stream.

    p = softmax(logits / temperature), cut to the smallest set whose mass reaches top_p, renormalised
    token = first index whose cumulative p exceeds u,  u = stream(seed, "inference/sample", request)[position]

A request draws from its own stream, so what it says does not depend on what else is in the batch. Log-probabilities are
those of the distribution that was really sampled from; greedy decoding (temperature 0) reports the plain softmax. Ids
that the caller left out have a score of -inf, and no part in either.

Report: App. D (log-probabilities of every sampled token).
Shapes: B rows, V vocabulary.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen.

    Attributes:
        max_new_tokens: at most so many.
        temperature: 0 is greedy.
        top_p: nucleus mass, above 0 to 1.
        seed: of the request's random stream.

    Example:
        >>> SamplingParams(temperature=0.0).greedy
        True
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not 0.0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature must be 0 (greedy) or more and finite, got {self.temperature}")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"top_p must lie above 0 and at most at 1, got {self.top_p}")

    @property
    def greedy(self) -> bool:
        """Always the likeliest token."""
        return self.temperature == 0.0


GREEDY = SamplingParams()
"""At most 64 tokens, always the likeliest."""


class Choice(NamedTuple):
    """The chosen token of each row and its log-probability."""

    token_B: Tensor
    logprob_B: Tensor


def choose(logits_BV: Tensor, params: SamplingParams, uniform_B: Tensor) -> Choice:
    """One token for each row of scores.

    Args:
        uniform_B: one number in [0, 1) a row; not read when greedy.
    """
    if params.greedy:
        logprob_BV = logits_BV.float().log_softmax(-1)
        token_B = logits_BV.argmax(-1)  # of the scores: their last bits may be lost in the log-softmax
    else:
        below_BV = logits_BV.float() - logits_BV.float().amax(-1, keepdim=True)  # a tiny temperature must not overflow
        p_BV = nucleus((below_BV / params.temperature).softmax(-1), params.top_p)
        reached_BV = p_BV.double().cumsum(-1)
        token_B = (reached_BV <= uniform_B[:, None].double() * reached_BV[:, -1:]).sum(-1).clamp_max(p_BV.shape[1] - 1)
        logprob_BV = p_BV.log()
    return Choice(token_B, logprob_BV.gather(1, token_B[:, None])[:, 0])


def nucleus(p_BV: Tensor, top_p: float) -> Tensor:
    """The smallest set of tokens whose mass reaches `top_p`, renormalised; the likeliest token always stays."""
    if top_p >= 1.0:
        return p_BV
    sorted_BV, order_BV = p_BV.sort(dim=-1, descending=True, stable=True)
    before_BV = sorted_BV.cumsum(-1) - sorted_BV
    kept_BV = sorted_BV.where(before_BV < top_p, 0.0)
    out_BV = torch.zeros_like(p_BV).scatter(1, order_BV, kept_BV)
    return out_BV / out_BV.sum(-1, keepdim=True)
