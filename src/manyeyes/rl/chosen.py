"""log p of one target a row, without ever holding all logits; the gradient's weight may come afterwards.

    z = h W^T,  never = -inf      log p = (z_target - max) / T - log s,   s = sum_v exp((z_v - max) / T)
    dlog p / dz = (onehot - p) / T                p = exp((z - c) / T),   c = max + T log s is all that is kept

Cross-entropy (`model.cross_entropy`) knows each row's weight beforehand, and forms gradients in the forward pass. An
objective of log-probabilities does not: logits are computed again in the backward pass, and turn into probabilities and
then into their gradient in place.

Report: App. C (memory of the output layer); §4.4.2. Shapes: N rows, D width, V vocabulary, n rows of a chunk.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from manyeyes.model.precision import product

CHUNK = 256
"""Rows whose logits exist at a time."""
_FAR = -1e4
"""A logarithm whose exp is 0 and which, unlike -inf, can be multiplied by that."""


class Chosen(NamedTuple):
    """Of one target a row.

    Attributes:
        logprobs_N: fp32; -inf where the target could not be sampled.
        entropy_N: fp32, of the row's distribution in nats, without gradient; 0 where nobody asked.
    """

    logprobs_N: Tensor
    entropy_N: Tensor


def chosen_rows(
    hidden_ND: Tensor,
    head_VD: Tensor,
    *,
    targets_N: Tensor,
    temperature_N: Tensor,
    never: Tensor,
    chunk: int = CHUNK,
    entropy: bool = False,
) -> Chosen:
    """log p of one target a row, and how undecided the row is.

    Args:
        temperature_N: fp32, above 0.
        never: int64, ids that could not be sampled.
    """
    head = head_VD.to(hidden_ND.dtype)
    found: Any = _Chosen.apply(hidden_ND, head, targets_N.long(), temperature_N.float(), never, chunk, entropy)
    return Chosen(*found)


class _Chosen(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        head_VD: Tensor,
        targets_N: Tensor,
        temperature_N: Tensor,
        never: Tensor,
        chunk: int,
        entropy: bool,
    ) -> tuple[Tensor, Tensor]:
        logprobs_N, shift_N, entropy_N = (temperature_N.new_zeros(len(hidden_ND)) for _ in range(3))
        for start in range(0, len(hidden_ND), chunk):
            part = slice(start, start + chunk)
            temperature_n1, target_n1 = temperature_N[part, None], targets_N[part, None]
            z_nV = _scores(hidden_ND[part], head_VD, never)
            top_n1 = z_nV.amax(1, keepdim=True)
            _divide_(z_nV.sub_(top_n1), temperature_n1)  # in this order: a tiny temperature must not overflow
            target_n = z_nV.gather(1, target_n1)[:, 0]
            mass_nV = z_nV.clamp_min_(_FAR).exp()
            mass_n = mass_nV.sum(1)
            log_mass_n = mass_n.log()
            logprobs_N[part] = target_n - log_mass_n
            shift_N[part] = top_n1[:, 0] + temperature_n1[:, 0] * log_mass_n
            if entropy:
                entropy_N[part] = log_mass_n - torch.bmm(mass_nV[:, None], z_nV[:, :, None])[:, 0, 0] / mass_n
        ctx.save_for_backward(hidden_ND, head_VD, targets_N, temperature_N, never, shift_N)
        ctx.chunk = chunk
        ctx.mark_non_differentiable(entropy_N)
        return logprobs_N, entropy_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden_ND, head_VD, targets_N, temperature_N, never, shift_N = ctx.saved_tensors
        weight_N1 = (grads[0] / temperature_N)[:, None]
        d_hidden_ND = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        d_head_VD = torch.zeros_like(head_VD, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden_ND), ctx.chunk):
            part = slice(start, start + ctx.chunk)
            hidden_nD, weight_n1 = hidden_ND[part], weight_N1[part]
            z_nV = _divide_(_scores(hidden_nD, head_VD, never).sub_(shift_N[part, None]), temperature_N[part, None])
            d_z_nV = z_nV.exp_().mul_(-weight_n1).scatter_add_(1, targets_N[part, None], weight_n1).to(hidden_nD.dtype)
            if d_hidden_ND is not None:
                torch.mm(d_z_nV, head_VD, out=d_hidden_ND[part])
            if d_head_VD is not None:
                _add_product_(d_head_VD, d_z_nV.T, hidden_nD)
        return d_hidden_ND, None if d_head_VD is None else d_head_VD.to(head_VD.dtype), *[None] * 5


def _scores(hidden_nD: Tensor, head_VD: Tensor, never: Tensor) -> Tensor:
    return product(hidden_nD, head_VD).float().index_fill_(1, never, -torch.inf)


def _divide_(z_nV: Tensor, temperature_n1: Tensor) -> Tensor:
    return z_nV if bool((temperature_n1 == 1.0).all()) else z_nV.div_(temperature_n1)


def _add_product_(total: Tensor, a: Tensor, b: Tensor) -> None:
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total.add_(a @ b)
