"""The SwiGLU feed-forward of dense layers and shared experts.

    FFN(x) = down(silu(gate(x)) * up(x))

The activation keeps only its two inputs; the backward pass recomputes silu, which costs less than storing it.

Report: §4.1 (K2 backbone); SwiGLU: Shazeer, 2020.

Shapes: D width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manyeyes.model.precision import Linear


class FeedForward(nn.Module):
    """Gate, up and down projections without biases."""

    def __init__(self, width: int, intermediate: int) -> None:
        super().__init__()
        self.gate_proj = Linear(width, intermediate, bias=False)
        self.up_proj = Linear(width, intermediate, bias=False)
        self.down_proj = Linear(intermediate, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] → [..., D]."""
        gate, up = self.gate_proj(x), self.up_proj(x)
        return self.down_proj(swiglu(gate, up))


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    y: Tensor = _SwiGLU.apply(gate, up)  # pyright: ignore[reportAssignmentType]
    return y


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        d_up = F.silu(gate).mul_(grads[0])
        return torch.ops.aten.silu_backward(grads[0] * up, gate), d_up
