"""Where a patch is: the learned table at any size, the frame vector, and 2D rotary turns.

The 2D table is resized by the bicubic rule (a = -0.75, borders repeated, align_corners=False). That rule is linear, so
it is two small matrix products with fixed weights: deterministic on every device, and so is its gradient.

Report: §4.2 (MoonViT-3D keeps MoonViT's positions and adds a temporal one).

Shapes: H, W rows and columns of the learned table; h, w of the grid; D width; R rotary pairs of a head.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manyeyes.core.media import Grid

_BICUBIC = -0.75


def table_at(table_HWD: Tensor, h: int, w: int) -> Tensor:
    """The position table resized to a grid of h x w patches, row by row: [h*w, D]."""
    rows, columns, width = table_HWD.shape
    if (rows, columns) != (h, w):
        down_hH = torch.tensor(bicubic_weights(rows, h), dtype=table_HWD.dtype, device=table_HWD.device)
        down_wW = torch.tensor(bicubic_weights(columns, w), dtype=table_HWD.dtype, device=table_HWD.device)
        tall_hWD = (down_hH @ table_HWD.reshape(rows, -1)).view(h, columns, width)
        table_HWD = down_wW @ tall_hWD
    return table_HWD.reshape(h * w, width)


@lru_cache(maxsize=4096)
def bicubic_weights(size_in: int, size_out: int) -> NDArray[np.float32]:
    """[size_out, size_in]: output i = sum_j weights[i, j] * input j."""
    scale = np.float64(np.float32(size_in / size_out))
    at = ((np.arange(size_out) + 0.5) * scale - 0.5).astype(np.float32)  # rounded once, as torch does
    floor = np.floor(at)
    t = (at - floor).astype(np.float64)
    taps = np.stack([_outer(t + 1), _inner(t), _inner(1 - t), _outer(2 - t)], axis=1)
    weights = np.zeros((size_out, size_in))
    for tap in range(4):
        column = np.clip(floor.astype(np.int64) + tap - 1, 0, size_in - 1)
        np.add.at(weights, (np.arange(size_out), column), taps[:, tap])
    return weights.astype(np.float32)


def _inner(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((_BICUBIC + 2) * x - (_BICUBIC + 3)) * x * x + 1


def _outer(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((_BICUBIC * x - 5 * _BICUBIC) * x + 8 * _BICUBIC) * x - 4 * _BICUBIC


def frame_vectors(frames: int, width: int, *, device: torch.device) -> Tensor:
    """[frames, D] fixed [sin | cos] of frame * 10000^(-2k/D); a lone frame adds nothing."""
    if frames == 1:
        return torch.zeros(1, width, device=device)
    omega = 10000.0 ** -(torch.arange(width // 2, dtype=torch.float32, device=device) / (width / 2))
    angles = torch.arange(frames, dtype=torch.float32, device=device)[:, None] * omega
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def grid_turns(grid: Grid, head_dim: int, *, device: torch.device) -> Tensor:
    """Complex turns [t*h*w, R] of 2D RoPE: even pairs by the column, odd pairs by the row, every frame alike."""
    frequency = 10000.0 ** -(torch.arange(0, head_dim, 4, dtype=torch.float32, device=device) / head_dim)
    row = torch.arange(grid.h, dtype=torch.float32, device=device)[:, None, None] * frequency
    column = torch.arange(grid.w, dtype=torch.float32, device=device)[None, :, None] * frequency
    shape = (grid.h, grid.w, head_dim // 4)
    angles = torch.stack([column.expand(shape), row.expand(shape)], dim=-1).reshape(grid.h * grid.w, head_dim // 2)
    return torch.polar(torch.ones_like(angles), angles).repeat(grid.t, 1)
