"""RMSNorm with fp32 statistics and a backward pass that keeps one number a row.

    y = x * r * w,  r = (mean(x^2) + eps)^(-1/2)
    dx = r * (dy * w - x * r^2 / D * sum(dy * w * x)),   dw = sum over rows of dy * x * r

Both row sums of the backward pass are matrix-vector products of dy * x, so it is formed once.

Report: §4.1 (K2 backbone); RMSNorm: Zhang and Sennrich, 2019.

Shapes: N rows, D width.
"""

from typing import Any

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """`rms_norm` with its weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalises the last dimension."""
        return rms_norm(x, self.weight, self.eps)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Normalises the last dimension; output in the format of `x`."""
    y: Tensor = _RMSNormFunction.apply(x, weight, eps)  # pyright: ignore[reportAssignmentType]
    return y


class _RMSNormFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        x32 = x.float()
        norm = torch.linalg.vector_norm(x32, dim=-1, keepdim=True)
        r = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, r)
        return (x32 * r).mul_(weight).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, r = ctx.saved_tensors
        width = x.shape[-1]
        x_ND, dy_ND, r_N1 = x.reshape(-1, width).float(), grads[0].reshape(-1, width).float(), r.view(-1, 1)
        w_D = weight.float()
        product_ND = dy_ND * x_ND
        dw_D = (r_N1.T @ product_ND)[0]
        lean_N1 = (product_ND @ w_D)[:, None].mul_(r_N1 * r_N1).div_(width)
        dx_ND = torch.mul(dy_ND, w_D, out=product_ND).addcmul_(x_ND, lean_N1, value=-1).mul_(r_N1)
        return dx_ND.view(x.shape).to(x.dtype), dw_D.to(weight.dtype), None
