"""RMSNorm equals its formula; rotary positions have the released frequencies and depend on distance only."""

import math

import pytest
import torch

from manyeyes.model.config import k25, tiny
from manyeyes.model.rms_norm import rms_norm
from manyeyes.model.rope import Rope, rotate, rotate_

from .nearness import FORMATS, assert_near, ratio


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_rms_norm_and_gradients_equal_torch() -> None:
    inputs = (draw(3, 5, 24) * 3, 1 + draw(24, seed=1))
    ours, naive = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    y, expected = rms_norm(ours[0], ours[1], 1e-5), torch.nn.functional.rms_norm(naive[0], (24,), naive[1], 1e-5)
    torch.testing.assert_close(y, expected)
    dy = draw(3, 5, 24, seed=2)
    y.backward(dy)
    expected.backward(dy)
    for mine, other in zip(ours, naive, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-5, rtol=1e-5)


def test_rms_norm_of_zeros_is_finite() -> None:
    x = torch.zeros(2, 8, requires_grad=True)
    rms_norm(x, torch.ones(8), 1e-6).sum().backward()
    assert x.grad is not None and bool(x.grad.isfinite().all())


def test_released_yarn_numbers() -> None:
    rope = Rope.of(k25().text)
    assert rope.softmax_scale == pytest.approx(0.1446796, rel=1e-6)
    assert rope.magnitude == 1.0
    plain = [50000.0 ** (-2 * i / 64) for i in range(32)]
    assert list(rope.inv_freq[:9]) == pytest.approx(plain[:9])
    assert list(rope.inv_freq[20:]) == pytest.approx([f / 64 for f in plain[20:]])
    assert rope.inv_freq[14] == pytest.approx(plain[14] * (0.5 + 0.5 / 64))


def test_without_yarn_the_scale_is_plain() -> None:
    text = k25().text.with_context(4096)
    assert Rope.of(text).softmax_scale == pytest.approx(192**-0.5)


def test_products_depend_on_distance_only() -> None:
    rope = Rope.of(tiny().text)
    q, k = draw(1, 1, 16), draw(1, 1, 16, seed=1)

    def product(i: int, j: int) -> float:
        turns = rope.turns(torch.tensor([[i, j]]))
        return float((rotate(q, turns[:, :1]) * rotate(k, turns[:, 1:])).sum())

    assert product(7, 3) == pytest.approx(product(104, 100), abs=1e-4)
    assert abs(product(7, 3) - product(9, 3)) > 1e-3


def test_a_pair_turns_by_position_times_frequency() -> None:
    rope = Rope.of(tiny().text)
    x = torch.zeros(1, 1, 16)
    x[..., 2] = 1.0
    angle = 5 * rope.inv_freq[1]
    turned = rotate(x, rope.turns(torch.tensor([[5]])))[0, 0]
    assert turned[2:4].tolist() == pytest.approx([math.cos(angle), math.sin(angle)])
    assert torch.equal(rotate_(x.clone(), rope.turns(torch.tensor([[5]])))[0, 0], turned)


@pytest.mark.parametrize("dtype", FORMATS)
def test_in_place_and_in_every_format_a_turn_is_the_same(dtype: torch.dtype) -> None:
    turns, x = Rope.of(tiny().text).turns(torch.arange(9)[None]), draw(1, 9, 16).to(dtype)
    turned, buffer = rotate(x, turns), torch.zeros(2, 1, 9, 16, dtype=dtype)
    buffer[1] = x
    assert turned.dtype == dtype
    assert torch.equal(rotate_(buffer[1], turns), turned) and torch.equal(buffer[1], turned)
    assert not buffer[0].any()
    assert_near(turned, rotate(x.float(), turns), 0.005)
    assert ratio(turned, x) > 0.3
