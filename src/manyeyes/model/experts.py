"""All routed experts of a layer as one differentiable step: rows sorted by expert in, weighted outputs out.

    y_m = down_e(silu(gate_e(x_m)) * up_e(x_m) * weight_m)        e = the expert of row m

The routing weight multiplies in the narrow middle instead of after `down`: the same by linearity. Only x, gate and up
are kept; the backward pass works in place on what it recomputes.

Report: §4.1 (K2 backbone).

Shapes: M routed rows sorted by expert, E experts, D width, I expert width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def expert_outputs(
    x_MD: Tensor, weight_M: Tensor, *, gate_EID: Tensor, up_EID: Tensor, down_EDI: Tensor, counts_E: Tensor
) -> Tensor:
    """Weighted outputs [M, D]; the first `counts_E[0]` rows belong to expert 0, the next to expert 1, and so on."""
    matrices = (m.to(x_MD.dtype) for m in (gate_EID, up_EID, down_EDI))
    ends_E = counts_E.cumsum(0).to(torch.int32)
    y: Tensor = _Experts.apply(x_MD, weight_M, *matrices, ends_E)  # pyright: ignore[reportAssignmentType]
    return y


def grouped(x_MK: Tensor, matrix_EKO: Tensor, ends_E: Tensor) -> Tensor:
    """x @ matrix[e] for the rows of each expert e: [M, O]."""
    return F.grouped_mm(x_MK, matrix_EKO, offs=ends_E)


def grouped_outer(dy_MO: Tensor, x_MK: Tensor, ends_E: Tensor) -> Tensor:
    """dy.T @ x over the rows of each expert: [E, O, K]; 0 for an expert without rows."""
    return F.grouped_mm(dy_MO.T, x_MK, offs=ends_E)


class _Experts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_MD: Tensor, weight_M: Tensor, gate_EID: Tensor, up_EID: Tensor, down_EDI: Tensor, ends_E: Tensor
    ) -> Tensor:
        gate_MI = grouped(x_MD, gate_EID.transpose(1, 2), ends_E)
        up_MI = grouped(x_MD, up_EID.transpose(1, 2), ends_E)
        inner_MI = F.silu(gate_MI).mul_(up_MI).mul_(weight_M[:, None])
        ctx.save_for_backward(x_MD, weight_M, gate_EID, up_EID, down_EDI, ends_E, gate_MI, up_MI)
        return grouped(inner_MI, down_EDI.transpose(1, 2), ends_E)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_MD, weight_M, gate_EID, up_EID, down_EDI, ends_E, gate_MI, up_MI = ctx.saved_tensors
        needs_x, needs_weight, needs_gate, needs_up, needs_down, _ = ctx.needs_input_grad
        dy_MD, weight_M1 = grads[0].contiguous(), weight_M[:, None]
        silu_MI = F.silu(gate_MI)
        inner_MI = silu_MI * up_MI
        d_inner_MI = grouped(dy_MD, down_EDI, ends_E)
        d_weight_M = (d_inner_MI * inner_MI).float().sum(-1).to(weight_M.dtype) if needs_weight else None
        d_down_EDI = grouped_outer(dy_MD, inner_MI.mul_(weight_M1), ends_E) if needs_down else None
        d_inner_MI.mul_(weight_M1)
        d_up_MI = silu_MI.mul_(d_inner_MI)
        d_gate_MI = torch.ops.aten.silu_backward(d_inner_MI.mul_(up_MI), gate_MI)
        dx_MD = grouped(d_gate_MI, gate_EID, ends_E).add_(grouped(d_up_MI, up_EID, ends_E)) if needs_x else None
        d_gate_EID = grouped_outer(d_gate_MI, x_MD, ends_E) if needs_gate else None
        d_up_EID = grouped_outer(d_up_MI, x_MD, ends_E) if needs_up else None
        return dx_MD, d_weight_M, d_gate_EID, d_up_EID, d_down_EDI, None
