"""The chunked loss equals the plain one, with its gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from manyeyes.model.cross_entropy import chunked_cross_entropy

from .nearness import FORMATS, assert_near


def case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(37, 16, generator=generator), torch.randn(50, 16, generator=generator)
    targets = torch.randint(0, 50, (37,), generator=generator)
    weights = torch.rand(37, generator=generator) * (torch.rand(37, generator=generator) < 0.6)
    return hidden, head, targets, weights


@pytest.mark.parametrize("chunk", [1, 8, 37, 500])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_equals_plain_cross_entropy(chunk: int, scale: float) -> None:
    hidden, head, targets, weights = case()
    ours, plain = ([x.clone().requires_grad_() for x in (hidden, head)] for _ in range(2))
    loss = chunked_cross_entropy(*ours, targets_N=targets, weights_N=weights, chunk=chunk)
    expected = (F.cross_entropy(plain[0] @ plain[1].T, targets, reduction="none") * weights).sum()
    torch.testing.assert_close(loss, expected)
    (loss * scale).backward()
    (expected * scale).backward()
    for mine, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("chunk", [1, 8, 37, 500])
def test_gradients_of_half_precision_are_those_of_plain_cross_entropy(chunk: int, dtype: torch.dtype) -> None:
    """The head's gradient is summed over chunks in fp32."""
    hidden, head, targets, weights = case()
    ours = [hidden.to(dtype).requires_grad_(), head.clone().requires_grad_()]
    plain = [hidden.to(dtype).float().requires_grad_(), head.to(dtype).float().requires_grad_()]
    loss = chunked_cross_entropy(*ours, targets_N=targets, weights_N=weights, chunk=chunk)
    expected = (F.cross_entropy(plain[0] @ plain[1].T, targets, reduction="none") * weights).sum()
    loss.backward()
    expected.backward()
    assert_near(loss, expected, 0.01)
    for mine, other in zip(ours, plain, strict=True):
        assert mine.grad is not None and other.grad is not None and mine.grad.dtype == mine.dtype
        assert_near(mine.grad, other.grad, 0.02)


def test_rows_without_weight_get_no_gradient_and_may_hold_any_target() -> None:
    hidden, head, targets, weights = case()
    targets[weights == 0] = -100
    hidden.requires_grad_()
    chunked_cross_entropy(hidden, head, targets_N=targets, weights_N=weights).backward()
    assert hidden.grad is not None
    assert not hidden.grad[weights == 0].any() and bool(hidden.grad[weights > 0].any(1).all())


def test_nothing_to_learn_is_zero() -> None:
    hidden, head, targets, _ = case()
    head.requires_grad_()
    loss = chunked_cross_entropy(hidden, head, targets_N=targets, weights_N=torch.zeros(37))
    loss.backward()
    assert float(loss.detach()) == 0 and head.grad is not None and not head.grad.any()


def test_hopeless_targets_have_a_finite_loss() -> None:
    hidden, head = torch.tensor([[200.0]]), torch.tensor([[1.0], [-1.0]])
    loss = chunked_cross_entropy(hidden, head, targets_N=torch.tensor([1]), weights_N=torch.ones(1))
    assert float(loss) == pytest.approx(400.0)


def test_without_gradients_nothing_is_kept() -> None:
    hidden, head, targets, weights = case()
    assert not chunked_cross_entropy(hidden, head, targets_N=targets, weights_N=weights).requires_grad
