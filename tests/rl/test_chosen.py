"""Log-probabilities of chosen rows, their gradient and entropy are those of a plain softmax over everything."""

import pytest
import torch
from torch import Tensor

from manyeyes.rl.chosen import chosen_rows

NEVER = torch.tensor([3, 5])


def case(rows: int = 50) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    hidden, head = torch.randn(rows, 16, requires_grad=True), torch.randn(40, 16, requires_grad=True)
    temperature = torch.where(torch.arange(rows) % 2 == 0, 0.7, 1.3)
    return hidden, head, torch.randint(6, 40, (rows,)), temperature, torch.randn(rows)


def plain(hidden: Tensor, head: Tensor, targets: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    scores = (hidden @ head.T).index_fill(1, NEVER, -torch.inf) / temperature[:, None]
    log_p = scores.log_softmax(1)
    entropy = -torch.where(log_p.isfinite(), log_p.exp() * log_p, 0.0).sum(1)
    return log_p.gather(1, targets[:, None])[:, 0], entropy


@pytest.mark.parametrize("chunk", [1, 7, 50, 256])
def test_it_is_a_plain_softmax(chunk: int) -> None:
    hidden, head, targets, temperature, weights = case()
    ours = chosen_rows(
        hidden, head, targets_N=targets, temperature_N=temperature, never=NEVER, chunk=chunk, entropy=True
    )
    theirs, entropy = plain(hidden, head, targets, temperature)
    torch.testing.assert_close(ours.logprobs_N, theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.entropy_N, entropy.detach(), atol=1e-5, rtol=1e-5)
    assert not ours.entropy_N.requires_grad
    mine = torch.autograd.grad((ours.logprobs_N * weights).sum(), (hidden, head))
    for one, other in zip(mine, torch.autograd.grad((theirs * weights).sum(), (hidden, head)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("frozen", ["hidden", "head"])
def test_a_frozen_side_has_no_gradient(frozen: str) -> None:
    hidden, head, targets, temperature, weights = case()
    (hidden if frozen == "hidden" else head).requires_grad_(False)
    found = chosen_rows(hidden, head, targets_N=targets, temperature_N=temperature, never=NEVER)
    (found.logprobs_N * weights).sum().backward()
    assert (hidden.grad is None) == (frozen == "hidden") and (head.grad is None) == (frozen == "head")
    assert not found.entropy_N.any()


def test_half_precision_states_have_gradients_in_their_own_formats() -> None:
    hidden, head, targets, temperature, weights = case()
    half = hidden.detach().bfloat16().requires_grad_()
    found = chosen_rows(half, head, targets_N=targets, temperature_N=temperature, never=NEVER)
    assert found.logprobs_N.dtype == torch.float32
    ours = torch.autograd.grad((found.logprobs_N * weights).sum(), (half, head))
    rounded_hidden = half.detach().float().requires_grad_()
    rounded_head = head.detach().bfloat16().float().requires_grad_()
    theirs, _ = plain(rounded_hidden, rounded_head, targets, temperature)
    expected = torch.autograd.grad((theirs * weights).sum(), (rounded_hidden, rounded_head))
    assert ours[0].dtype == torch.bfloat16 and ours[1].dtype == torch.float32
    for one, other in zip(ours, expected, strict=True):
        assert float((one.float() - other).norm() / other.norm()) < 0.05


def test_no_rows_are_no_error() -> None:
    hidden, head = torch.zeros(0, 16, requires_grad=True), torch.randn(40, 16, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    found = chosen_rows(hidden, head, targets_N=none, temperature_N=torch.zeros(0), never=NEVER, entropy=True)
    found.logprobs_N.sum().backward()
    assert head.grad is not None and not head.grad.any()
