"""IcePop against its formula; on the first step on a batch its gradient is that of Eq. 1 without the square."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.rl.band import Band
from manyeyes.rl.icepop import IcePop
from manyeyes.rl.objective import Eq1
from manyeyes.rl.token_count import TokenCount

from .rollout_samples import tokens_of

COUNT = TokenCount(tokens=40)
RATIOS = st.lists(st.floats(-3, 3) | st.floats(-0.5, 0.5), min_size=3, max_size=20)


@given(values=RATIOS, seed=st.integers(0, 99))
def test_value_and_gradient_are_the_formula(values: list[float], seed: int) -> None:
    tokens = tokens_of(values, seed=seed)
    moved = np.random.default_rng(seed).normal(0, 0.3, len(values))
    tokens = tokens._replace(proximal_N=tokens.logprobs_N.detach() - torch.from_numpy(moved))
    loss = IcePop()(tokens, COUNT)
    (slope,) = torch.autograd.grad(-loss.value, tokens.logprobs_N)
    apart, a = (tokens.proximal_N - tokens.sampled_N).numpy(), tokens.advantages_N.numpy()
    k = np.where((apart >= np.log(0.5)) & (apart <= np.log(5)), np.exp(apart), 0)
    rho = np.exp(moved)
    assert float(loss.value.detach()) == pytest.approx(
        -(k * np.minimum(rho * a, np.clip(rho, 0.8, 1.2) * a)).sum() / 40
    )
    stopped = ((rho > 1.2) & (a > 0)) | ((rho < 0.8) & (a < 0))
    np.testing.assert_allclose(slope.numpy(), np.where(stopped, 0, k * rho * a) / 40, rtol=1e-7, atol=1e-13)


@given(values=RATIOS)
def test_the_first_step_is_eq_1_without_its_square(values: list[float]) -> None:
    tokens = tokens_of(values)
    band = Band(0.5, 2.0)
    slopes = [torch.autograd.grad(objective(tokens, COUNT).value, tokens.logprobs_N)[0]
              for objective in (IcePop(band), Eq1(band, tau=0.0))]  # fmt: skip
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-15)
