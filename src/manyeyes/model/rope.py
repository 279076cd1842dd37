"""Rotary positions: plain RoPE, its YaRN extension for long context, and the rotation itself.

With d = qk_rope_head_dim, pair i of a head turns by `position * inv_freq[i]`, inv_freq[i] = theta^(-2i/d). YaRN
divides the frequencies of slow pairs by `factor`, keeps those of fast pairs and blends in between (a ramp over the
pairs that turn beta_slow..beta_fast times within the original context); it also sharpens the softmax by
(0.1 ln(factor) + 1)^2.

Pairs are interleaved (2i, 2i+1), as in the released weights, so a pair is one complex number and a turn one product.
Tables are computed from positions in every forward pass: no cache, no longest position, nothing to resize.

Report: §4.1, §4.3 (YaRN at each context stage); YaRN: Peng et al., 2023.

Shapes: B rows, T positions, R = d/2 pairs.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from manyeyes.model.config import TextConfig, YarnConfig


@dataclass(frozen=True, slots=True)
class Rope:
    """Frequencies of one context stage and the softmax scale that goes with them."""

    inv_freq: tuple[float, ...]
    magnitude: float
    softmax_scale: float

    @classmethod
    def of(cls, config: TextConfig) -> Self:
        """The rotation that a configuration asks for."""
        scale = config.qk_head_dim**-0.5
        plain = inverse_frequencies(config.qk_rope_head_dim, config.rope_theta)
        yarn = config.rope_scaling
        if yarn is None:
            return cls(plain, 1.0, scale)
        sharpen = mscale(yarn.factor, yarn.mscale_all_dim)
        magnitude = mscale(yarn.factor, yarn.mscale) / sharpen
        return cls(yarn_frequencies(plain, config.rope_theta, yarn), magnitude, scale * sharpen**2)

    def turns(self, positions_BT: Tensor) -> Tensor:
        """Unit complex numbers [B, T, R] by which the pairs at these positions are multiplied."""
        inv_freq = torch.tensor(self.inv_freq, dtype=torch.float32, device=positions_BT.device)
        angles = positions_BT.float()[..., None] * inv_freq
        return torch.polar(torch.full_like(angles, self.magnitude), angles)


def inverse_frequencies(dim: int, theta: float) -> tuple[float, ...]:
    """theta^(-2i/dim) for each pair i."""
    return tuple(theta ** (-2 * i / dim) for i in range(dim // 2))


def yarn_frequencies(plain: tuple[float, ...], theta: float, yarn: YarnConfig) -> tuple[float, ...]:
    """Slow pairs interpolated by `factor`, fast pairs kept, a linear ramp between."""
    dim = 2 * len(plain)

    def pair_that_turns(times: float) -> float:
        context = yarn.original_max_position_embeddings
        return dim * math.log(context / (times * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(pair_that_turns(yarn.beta_fast)), 0)
    high = min(math.ceil(pair_that_turns(yarn.beta_slow)), dim - 1)
    width = max(high - low, 0.001)
    ramp = [min(max((i - low) / width, 0.0), 1.0) for i in range(len(plain))]
    return tuple(f * (1 - r) + f / yarn.factor * r for f, r in zip(plain, ramp, strict=True))


def mscale(factor: float, weight: float) -> float:
    """YaRN's attention temperature: 0.1 * weight * ln(factor) + 1 for factor > 1."""
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turns the interleaved pairs of the last dimension (a new tensor, fp32 arithmetic)."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def rotate_(x: Tensor, turns: Tensor) -> Tensor:
    """`rotate` in place; used inside autograd functions on buffers that they own."""
    if x.dtype != torch.float32:
        return x.copy_(rotate(x, turns))
    torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(turns)
    return x
