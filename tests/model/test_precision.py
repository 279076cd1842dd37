"""Products equal torch's own, whichever library computes them, with gradients where they are wanted."""

import pytest
import torch

from manyeyes.model.precision import LayerNorm, Linear, default_dtype, fast_bf16, linear, product


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rows", [3, 512])
@pytest.mark.parametrize("biased", [False, True])
def test_linear_and_gradients_equal_torch(rows: int, biased: bool) -> None:
    inputs = (draw(2, rows, 128), draw(256, 128, seed=1), draw(256, seed=2))
    ours, plain = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    y = linear(ours[0], ours[1], ours[2] if biased else None)
    expected = torch.nn.functional.linear(plain[0], plain[1], plain[2] if biased else None)
    torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-5)
    dy = draw(2, rows, 256, seed=3)
    y.backward(dy)
    expected.backward(dy)
    for mine, other in zip(ours[: 2 + biased], plain, strict=False):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("rows", [3, 512])
def test_product_equals_matmul(rows: int) -> None:
    x, weight = draw(rows, 128), draw(256, 128, seed=1)
    torch.testing.assert_close(product(x, weight), x @ weight.T, atol=1e-4, rtol=1e-5)


def test_frozen_weights_get_no_gradient() -> None:
    layer, x = Linear(128, 256), draw(512, 128).requires_grad_()
    layer.requires_grad_(False)
    layer(x).sum().backward()
    assert x.grad is not None and layer.weight.grad is None and layer.bias.grad is None


def test_modules_compute_in_the_format_of_their_input() -> None:
    x = draw(4, 16).to(torch.bfloat16)
    assert Linear(16, 8)(x).dtype == torch.bfloat16
    assert LayerNorm(16)(x).dtype == torch.bfloat16


def test_half_precision_is_chosen_by_what_the_machine_does_fast() -> None:
    assert default_dtype("cpu") == (torch.bfloat16 if fast_bf16("cpu") else torch.float32)
    assert fast_bf16("cuda")
