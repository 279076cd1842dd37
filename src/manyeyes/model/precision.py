"""Which number format the arithmetic runs in: decided by what the hardware does fast, never by hope.

Weights are kept in fp32 (master weights) and cast where they are used, so the modules below are where the
compute format meets the storage format. bf16 is emulated on CPUs without AVX512-BF16 or AMX and is then slower than
fp32, so there fp32 is the default.

Report: §4.1 (bf16 training); App. C.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fast_bf16(device: torch.device | str = "cpu") -> bool:
    """Whether bf16 matrix products are faster than fp32 ones on this device."""
    if torch.device(device).type != "cpu":
        return True
    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("avx512_bf16") or abilities.get("amx_tile") or abilities.get("amx_bf16"))


def default_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """The compute format to use when the user names none."""
    return torch.bfloat16 if fast_bf16(device) else torch.float32


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias` in the format of `x`; gradients arrive in the format of the weights."""
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    if not _onednn_is_faster(x, weight):
        return F.linear(x, weight, bias)
    y: Tensor = _OneDnnLinear.apply(x, weight, bias)  # pyright: ignore[reportAssignmentType]
    return y


def product(x: Tensor, weight: Tensor) -> Tensor:
    """`x @ weight.T` outside of autograd, by whichever library is faster."""
    if _onednn_is_faster(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return x @ weight.T


def _onednn_is_faster(x: Tensor, weight: Tensor) -> bool:
    """oneDNN's fp32 product beats the BLAS behind `F.linear` by 5 to 15% on many rows, and loses on few (measured)."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() >= _MANY_ROWS * x.shape[-1]
        and weight.numel() >= _BIG_WEIGHT
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


_MANY_ROWS = 192
_BIG_WEIGHT = 16384


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        dy_NO, x_ND = grads[0].flatten(0, -2), x.flatten(0, -2)
        dx = (dy_NO @ weight).view(x.shape) if ctx.needs_input_grad[0] else None
        d_weight = dy_NO.T @ x_ND if ctx.needs_input_grad[1] else None
        return dx, d_weight, dy_NO.sum(0) if ctx.needs_input_grad[2] else None


class Linear(nn.Linear):
    """`nn.Linear` that computes in the format of its input."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        return linear(input, self.weight, self.bias)


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` that computes in the format of its input."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalises the last dimension."""
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)
