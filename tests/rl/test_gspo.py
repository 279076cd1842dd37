"""GSPO against its formula in numpy: whole sequences are kept or clipped."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.rl.gspo import Gspo
from manyeyes.rl.token_count import TokenCount

from .rollout_samples import tokens_of

COUNT = TokenCount(tokens=40, sequences=4)


@given(values=st.lists(st.floats(-0.01, 0.01) | st.floats(-2, 2), min_size=3, max_size=20), seed=st.integers(0, 99))
def test_value_and_gradient_are_the_formula(values: list[float], seed: int) -> None:
    tokens = tokens_of(values, seed=seed)
    loss = Gspo()(tokens, COUNT)
    (slope,) = torch.autograd.grad(-loss.value, tokens.logprobs_N)
    value, expected = 0.0, np.zeros(len(values))
    for s in range(tokens.sequences):
        inside = tokens.sequence_N.numpy() == s
        a = tokens.advantages_N.numpy()[inside][0]
        ratio = np.exp(tokens.log_ratio_N.detach().numpy()[inside].mean())
        value -= min(ratio * a, np.clip(ratio, 1 - 3e-4, 1 + 4e-4) * a) / 4
        stopped = (ratio > 1 + 4e-4 and a > 0) or (ratio < 1 - 3e-4 and a < 0)
        expected[inside] = 0 if stopped else ratio * a / inside.sum() / 4
    assert float(loss.value.detach()) == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-9, atol=1e-15)
