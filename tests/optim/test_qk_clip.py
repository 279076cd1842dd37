"""QK-Clip on a small MLA written out for the purpose: clipped heads land on tau, everything else keeps every bit."""

import math
from dataclasses import dataclass

import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.optim.qk_clip import ClipTarget, clip_, shrink

HEADS, NOPE, ROPE, V_DIM, Q_RANK, KV_RANK, WIDTH, LENGTH = 6, 10, 4, 7, 12, 9, 20, 33
SCALE = 0.2


@dataclass
class Mla:
    """One attention layer, forward only, in double or single precision."""

    w: dict[str, torch.Tensor]

    @classmethod
    def random(cls, seed, dtype=torch.float32):
        g = torch.Generator().manual_seed(seed)
        shapes = {
            "q_a": (Q_RANK, WIDTH),
            "q_b": (HEADS * (NOPE + ROPE), Q_RANK),
            "kv_a": (KV_RANK + ROPE, WIDTH),
            "kv_b": (HEADS * (NOPE + V_DIM), KV_RANK),
        }
        return cls({name: torch.randn(shape, generator=g, dtype=dtype) for name, shape in shapes.items()})

    def logits(self, x_TD):
        """Scaled, causal [H, T, T]; masked positions are -inf."""
        q_nope, q_rope = (x_TD @ self.w["q_a"].T @ self.w["q_b"].T).view(-1, HEADS, NOPE + ROPE).split([NOPE, ROPE], -1)
        latent, k_rope = (x_TD @ self.w["kv_a"].T).split([KV_RANK, ROPE], -1)
        k_nope, _ = (latent @ self.w["kv_b"].T).view(-1, HEADS, NOPE + V_DIM).split([NOPE, V_DIM], -1)
        q_rope, k_rope = turned(q_rope), turned(k_rope[:, None])[:, 0]
        scores = torch.einsum("thn,shn->hts", q_nope, k_nope) + torch.einsum("thr,sr->hts", q_rope, k_rope)
        causal = torch.ones(len(x_TD), len(x_TD), dtype=torch.bool).tril()
        return (scores * SCALE).masked_fill(~causal, -math.inf)

    def values(self, x_TD):
        return (x_TD @ self.w["kv_a"][:KV_RANK].T @ self.w["kv_b"].T).view(-1, HEADS, NOPE + V_DIM)[..., NOPE:]

    def target(self):
        return ClipTarget(self.w["q_b"], self.w["kv_b"], n_heads=HEADS, nope=NOPE, rope=ROPE, v_dim=V_DIM)


def turned(x_THR):
    half = x_THR.shape[-1] // 2
    angle = torch.arange(len(x_THR), dtype=x_THR.dtype)[:, None, None] * torch.tensor([1.0, 0.1], dtype=x_THR.dtype)
    a, b = x_THR[..., :half], x_THR[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


def inputs(seed, dtype=torch.float32):
    return torch.randn(LENGTH, WIDTH, generator=torch.Generator().manual_seed(1000 + seed), dtype=dtype)


def maxima(layer, x):
    return layer.logits(x).amax((1, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(5))
def test_clipped_heads_land_on_tau_and_the_others_keep_every_bit(seed, dtype):
    layer, x = Mla.random(seed, dtype), inputs(seed, dtype)
    before = {name: weight.clone() for name, weight in layer.w.items()}
    top, values = maxima(layer, x), layer.values(x)
    tau = float(top.sort().values[HEADS // 2]) + 1e-3  # some heads above, some below
    clipped = top > tau
    assert clip_([layer.target()], top[None], tau) == int(clipped.sum()) > 0
    after = maxima(layer, x)
    torch.testing.assert_close(after[clipped], torch.full_like(after[clipped], tau), rtol=1e-5, atol=0)
    for name, width in (("q_b", NOPE + ROPE), ("kv_b", NOPE + V_DIM)):
        now, then = layer.w[name].view(HEADS, width, -1), before[name].view(HEADS, width, -1)
        assert torch.equal(now[~clipped], then[~clipped])
        assert not torch.equal(now[clipped], then[clipped])
    assert torch.equal(layer.w["q_a"], before["q_a"]) and torch.equal(layer.w["kv_a"], before["kv_a"])
    assert torch.equal(layer.values(x), values)
    assert torch.equal(after[~clipped], top[~clipped])


def test_nope_shares_the_shrinking_and_rope_takes_it_whole():
    layer = Mla.random(0)
    before = {name: weight.clone() for name, weight in layer.w.items()}
    clip_([layer.target()], torch.tensor([[400.0] + [1.0] * (HEADS - 1)]), 100.0)
    q, k = layer.w["q_b"][: NOPE + ROPE] / before["q_b"][: NOPE + ROPE], layer.w["kv_b"][:NOPE] / before["kv_b"][:NOPE]
    torch.testing.assert_close(q[:NOPE], torch.full_like(q[:NOPE], 0.5))
    torch.testing.assert_close(q[NOPE:], torch.full_like(q[NOPE:], 0.25))
    torch.testing.assert_close(k, torch.full_like(k, 0.5))


@pytest.mark.parametrize("top", [-5.0, 0.0, -math.inf, math.inf, math.nan, 99.9, 100.0])
def test_heads_that_are_not_above_tau_or_not_finite_are_left_alone(top):
    layer = Mla.random(1)
    before = {name: weight.clone() for name, weight in layer.w.items()}
    assert clip_([layer.target()], torch.full((1, HEADS), top), 100.0) == 0
    assert all(torch.equal(layer.w[name], before[name]) for name in before)
    assert torch.equal(shrink(torch.tensor([top]), 100.0), torch.ones(1))


def test_layers_are_clipped_one_by_one():
    layers = [Mla.random(seed) for seed in range(3)]
    before = [layer.w["q_b"].clone() for layer in layers]
    top = torch.full((3, HEADS), 5.0)
    top[1, 2] = 500.0
    assert clip_([layer.target() for layer in layers], top, 100.0) == 1
    same = [torch.equal(layer.w["q_b"], then) for layer, then in zip(layers, before, strict=True)]
    assert same == [True, False, True]


def test_bf16_weights_of_unclipped_heads_keep_every_bit():
    layer = Mla.random(2)
    q, kv = layer.w["q_b"].bfloat16(), layer.w["kv_b"].bfloat16()
    kept = q.clone()
    clip_([ClipTarget(q, kv, HEADS, NOPE, ROPE, V_DIM)], torch.tensor([[200.0] + [3.0] * (HEADS - 1)]), 100.0)
    assert torch.equal(q[NOPE + ROPE :], kept[NOPE + ROPE :])
    assert not torch.equal(q[: NOPE + ROPE], kept[: NOPE + ROPE])


@pytest.mark.parametrize("shape", [(2, HEADS), (1, HEADS + 1), (HEADS,)])
def test_maxima_of_another_model_are_refused(shape):
    with pytest.raises(ConfigError, match="1 layers and"):
        clip_([Mla.random(0).target()], torch.ones(shape), 100.0)


def test_a_threshold_must_be_positive():
    with pytest.raises(ConfigError, match="above 0"):
        clip_([Mla.random(0).target()], torch.ones(1, HEADS), 0.0)
