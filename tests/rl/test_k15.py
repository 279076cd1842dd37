"""K1.5's gradient is that of its square, -(A - tau L)^2 / (2 tau), over whole sequences."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.rl.k15 import K15
from manyeyes.rl.learned_tokens import LearnedTokens
from manyeyes.rl.token_count import TokenCount

from .rollout_samples import tokens_of

COUNT = TokenCount(tokens=40, sequences=5)


@pytest.mark.parametrize("per_token", [False, True])
@given(values=st.lists(st.floats(-3, 3), min_size=3, max_size=20), tau=st.floats(1e-3, 1.0))
def test_the_gradient_is_that_of_the_square(per_token: bool, values: list[float], tau: float) -> None:
    tokens = tokens_of(values)
    (mine,) = torch.autograd.grad(K15(tau, per_token)(tokens, COUNT).value, tokens.logprobs_N)
    (theirs,) = torch.autograd.grad(plain_square(tokens, tau, per_token), tokens.logprobs_N)
    torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)


def plain_square(tokens: LearnedTokens, tau: float, per_token: bool) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for s in range(tokens.sequences):
        inside = tokens.sequence_N == s
        log_ratio = tokens.log_ratio_N[inside].mean() if per_token else tokens.log_ratio_N[inside].sum()
        total = total + (tokens.advantages_N[inside][0] - tau * log_ratio) ** 2 / (2 * tau)
    return total / 5


def test_the_closed_form_of_one_sequence() -> None:
    tokens = tokens_of([0.1, 0.2, 0.3], sequences=1)
    (slope,) = torch.autograd.grad(-K15(0.5)(tokens, TokenCount(sequences=1)).value, tokens.logprobs_N)
    torch.testing.assert_close(slope, tokens.advantages_N - 0.5 * 0.6)


def test_a_square_that_repels_is_refused() -> None:
    with pytest.raises(ConfigError, match="tau"):
        K15(tau=float("nan"))
