"""GRPO and DAPO against their formulas in numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.rl.grpo import Grpo
from manyeyes.rl.token_count import TokenCount

from .rollout_samples import tokens_of

COUNT = TokenCount(tokens=40, sequences=4)
RATIOS = st.lists(st.floats(-3, 3) | st.floats(-0.3, 0.3), min_size=4, max_size=20)


@given(values=RATIOS, seed=st.integers(0, 99))
def test_token_mean_is_the_formula_and_its_gradient(values: list[float], seed: int) -> None:
    tokens = tokens_of(values, seed=seed)
    loss = Grpo()(tokens, COUNT)
    rho, a = np.exp(tokens.log_ratio_N.detach().numpy()), tokens.advantages_N.numpy()
    assert float(loss.value.detach()) == pytest.approx(
        -np.minimum(rho * a, np.clip(rho, 0.8, 1.28) * a).sum() / 40, rel=1e-9
    )
    (slope,) = torch.autograd.grad(-loss.value, tokens.logprobs_N)
    stopped = ((rho > 1.28) & (a > 0)) | ((rho < 0.8) & (a < 0))
    np.testing.assert_allclose(slope.numpy(), np.where(stopped, 0, rho * a) / 40, rtol=1e-9, atol=1e-15)
    assert float(loss.figures["masked"]) == pytest.approx(stopped.sum() / 40)


@given(values=RATIOS)
def test_sequence_mean_weighs_every_sequence_alike(values: list[float]) -> None:
    tokens = tokens_of(values)
    rho, a, at = np.exp(tokens.log_ratio_N.detach().numpy()), tokens.advantages_N.numpy(), tokens.sequence_N.numpy()
    gain = np.minimum(rho * a, np.clip(rho, 0.8, 1.2) * a)
    expected = -sum(gain[at == s].mean() for s in range(tokens.sequences)) / 4
    assert float(Grpo(high=0.2, mean_over="sequence")(tokens, COUNT).value.detach()) == pytest.approx(
        expected, rel=1e-9
    )


def test_far_ratios_give_finite_gradients() -> None:
    tokens = tokens_of([900.0, -900.0, 0.0])
    (slope,) = torch.autograd.grad(Grpo()(tokens, COUNT).value, tokens.logprobs_N)
    assert bool(slope.isfinite().all())


def test_bounds_without_room_are_refused() -> None:
    with pytest.raises(ConfigError, match="clip bounds"):
        Grpo(low=0.0)
