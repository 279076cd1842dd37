"""Which number format the arithmetic runs in: decided by what the hardware does fast, never by hope.

Weights are kept in fp32 (master weights) and cast where they are used, so the modules below are where the
compute format meets the storage format. bf16 is emulated on CPUs without AVX512-BF16 or AMX and is then slower than
fp32, so there fp32 is the default.

Report: §4.1 (bf16 training); App. C.
"""

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
    bias = None if bias is None else bias.to(x.dtype)
    return F.linear(x, weight.to(x.dtype), bias)


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
