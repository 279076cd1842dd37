"""All routed experts of a layer as one differentiable step on the CPU: rows sorted by expert in, weighted outputs out.

    y_m = down_e(silu(gate_e(x_m)) * up_e(x_m) * weight_m)        e = the expert of row m

One product per expert and matrix, all written in place; activations run over all rows at once. Only x, gate and up are
kept. The gradients of x through gate and up accumulate inside the product.

Report: §4.1 (K2 backbone).

Shapes: M routed rows sorted by expert, E experts, D width, I expert width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from manyeyes.model.feed_forward import weighted_swiglu
from manyeyes.model.grouped_linear import grouped_linear


def expert_outputs(
    x_MD: Tensor, weight_M: Tensor, *, gate_EID: Tensor, up_EID: Tensor, down_EDI: Tensor, counts_E: Tensor
) -> Tensor:
    """Weighted outputs [M, D] of the experts that own the rows; `counts_E` rows belong to each."""
    if x_MD.device.type == "cpu":
        matrices = (m.to(x_MD.dtype) for m in (gate_EID, up_EID, down_EDI))
        y: Tensor = _Experts.apply(x_MD, weight_M, *matrices, counts_E.tolist())  # pyright: ignore[reportAssignmentType]
        return y
    gate_MI, up_MI = grouped_linear(x_MD, gate_EID, counts_E), grouped_linear(x_MD, up_EID, counts_E)
    return grouped_linear(weighted_swiglu(gate_MI, up_MI, weight_M), down_EDI, counts_E)


class _Experts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_MD: Tensor, weight_M: Tensor, gate_EID: Tensor, up_EID: Tensor, down_EDI: Tensor, counts: list[int]
    ) -> Tensor:
        gate_MI, up_MI = (x_MD.new_empty(x_MD.shape[0], gate_EID.shape[1]) for _ in range(2))
        y_MD = torch.empty_like(x_MD)
        parts = (t.split(counts) for t in (x_MD, gate_MI, up_MI))
        for x, gate, up, gate_ID, up_ID in zip(*parts, gate_EID.unbind(), up_EID.unbind(), strict=True):
            torch.mm(x, gate_ID.T, out=gate)
            torch.mm(x, up_ID.T, out=up)
        inner_MI = F.silu(gate_MI).mul_(up_MI).mul_(weight_M[:, None])
        for inner, y, down_DI in zip(inner_MI.split(counts), y_MD.split(counts), down_EDI.unbind(), strict=True):
            torch.mm(inner, down_DI.T, out=y)
        ctx.save_for_backward(x_MD, weight_M, gate_EID, up_EID, down_EDI, gate_MI, up_MI)
        ctx.counts = counts
        return y_MD

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, None]:
        x_MD, weight_M, gate_EID, up_EID, down_EDI, gate_MI, up_MI = ctx.saved_tensors
        counts, weight_M1, dy_MD = ctx.counts, weight_M[:, None], grads[0].contiguous()
        d_down_EDI, d_gate_EID, d_up_EID = (torch.empty_like(m) for m in (down_EDI, gate_EID, up_EID))
        silu_MI = F.silu(gate_MI)
        inner_MI = silu_MI * up_MI
        d_inner_MI = torch.empty_like(inner_MI)
        for dy, d_inner, down_DI in zip(dy_MD.split(counts), d_inner_MI.split(counts), down_EDI.unbind(), strict=True):
            torch.mm(dy, down_DI, out=d_inner)
        d_weight_M = (d_inner_MI * inner_MI).sum(-1, dtype=weight_M.dtype)
        inner_MI.mul_(weight_M1)
        for dy, inner, d_down_DI in zip(dy_MD.split(counts), inner_MI.split(counts), d_down_EDI.unbind(), strict=True):
            torch.mm(dy.T, inner, out=d_down_DI)
        d_inner_MI.mul_(weight_M1)
        d_up_MI = silu_MI.mul_(d_inner_MI)
        d_gate_MI = torch.ops.aten.silu_backward(d_inner_MI.mul_(up_MI), gate_MI)
        dx_MD = torch.empty_like(x_MD)
        parts = (t.split(counts) for t in (x_MD, d_gate_MI, d_up_MI, dx_MD))
        stacks = (m.unbind() for m in (gate_EID, up_EID, d_gate_EID, d_up_EID))
        for x, d_gate, d_up, dx, gate_ID, up_ID, d_gate_ID, d_up_ID in zip(*parts, *stacks, strict=True):
            torch.mm(d_gate.T, x, out=d_gate_ID)
            torch.mm(d_up.T, x, out=d_up_ID)
            torch.mm(d_gate, gate_ID, out=dx)
            dx.addmm_(d_up, up_ID)
        return dx_MD, d_weight_M, d_gate_EID, d_up_EID, d_down_EDI, None
