"""MoonViT-3D: one vision transformer for images and video chunks, native resolution, packed.

All patches of a batch stand in one sequence (NaViT). A chunk of up to 4 frames attends over space and time at once
with the weights that images use; then its frames are averaged, so a chunk costs the language model one image.
Items of equal grid are laid side by side, so that attention is one batched call for each grid, not one for each item.

Report: §4.2.

Shapes: N patches, C channels, P patch side, D width, H heads, M tokens (2x2 patches each), R rotary pairs.
"""

from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manyeyes.core.media import Grid
from manyeyes.model.config import VisionConfig
from manyeyes.model.precision import LayerNorm, Linear, linear
from manyeyes.model.rope import rotate
from manyeyes.model.vision_positions import frame_vectors, grid_turns, table_at


class MediaBatch(NamedTuple):
    """Patches of all items behind each other (uint8 pixels, or floats already normalised to -1..1), and their grids."""

    patches_NCPP: Tensor
    grids: tuple[Grid, ...]


class Group(NamedTuple):
    """Items of one grid, side by side."""

    grid: Grid
    items: int

    @property
    def patches(self) -> int:
        """Rows of all items together."""
        return self.items * self.grid.patches


class Packed(NamedTuple):
    """What every block must know about the packed sequence."""

    groups: tuple[Group, ...]
    turns_NR: Tensor


class PositionTable(nn.Module):
    """The learned [H, W, D] table."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        shape = (config.init_pos_emb_height, config.init_pos_emb_width, config.vt_hidden_size)
        self.weight = nn.Parameter(torch.empty(shape))


class PatchEmbed(nn.Module):
    """Pixels to features, plus the position of each patch."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.vt_hidden_size, config.patch_size, config.patch_size)
        self.pos_emb = PositionTable(config)

    def forward(self, patches_NCPP: Tensor, groups: tuple[Group, ...]) -> Tensor:
        """Normalised patches to [N, D]."""
        x_ND = linear(patches_NCPP.flatten(1), self.proj.weight.flatten(1), self.proj.bias)
        positions = [self._positions(group.grid).repeat(group.items, 1) for group in groups]
        return x_ND + torch.cat(positions).to(x_ND.dtype)

    def _positions(self, grid: Grid) -> Tensor:
        place_LD = table_at(self.pos_emb.weight, grid.h, grid.w)
        frame_tD = frame_vectors(grid.t, place_LD.shape[-1], device=place_LD.device)
        return (frame_tD[:, None] + place_LD).flatten(0, 1)


class VisionMlp(nn.Module):
    """Two layers with biases and tanh-GELU."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc0 = Linear(config.vt_hidden_size, config.vt_intermediate_size)
        self.fc1 = Linear(config.vt_intermediate_size, config.vt_hidden_size)

    def forward(self, x_ND: Tensor) -> Tensor:
        """[N, D] → [N, D]."""
        inner = F.gelu(self.fc0(x_ND), approximate="tanh")
        return self.fc1(inner)


class VisionBlock(nn.Module):
    """Pre-norm attention within each item, then the MLP."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width = config.vt_hidden_size
        self.heads = config.vt_num_attention_heads
        self.norm0 = LayerNorm(width, eps=1e-5)
        self.norm1 = LayerNorm(width, eps=1e-5)
        self.wqkv = Linear(width, 3 * width)
        self.wo = Linear(width, width)
        self.mlp = VisionMlp(config)

    def forward(self, x_ND: Tensor, packed: Packed) -> Tensor:
        """[N, D] → [N, D]."""
        x_ND = x_ND + self._attend(self.norm0(x_ND), packed)
        return x_ND + self.mlp(self.norm1(x_ND))

    def _attend(self, x_ND: Tensor, packed: Packed) -> Tensor:
        qkv_N3Hd = self.wqkv(x_ND).unflatten(-1, (3, self.heads, -1))
        qk_N2Hd = rotate(qkv_N3Hd[:, :2], packed.turns_NR[:, None, None])
        sizes = [group.patches for group in packed.groups]
        parts = [
            attend_equal(qk, v, group)
            for qk, v, group in zip(qk_N2Hd.split(sizes), qkv_N3Hd[:, 2].split(sizes), packed.groups, strict=True)
        ]
        return self.wo(parts[0] if len(parts) == 1 else torch.cat(parts))


class Encoder(nn.Module):
    """All blocks and the final norm."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.vt_num_hidden_layers))
        self.final_layernorm = LayerNorm(config.vt_hidden_size, eps=1e-5)

    def forward(self, x_ND: Tensor, packed: Packed) -> Tensor:
        """[N, D] → [N, D]."""
        for block in self.blocks:
            x_ND = block(x_ND, packed)
        return self.final_layernorm(x_ND)


class MoonViT3D(nn.Module):
    """`vision_tower` of the checkpoint."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.encoder = Encoder(config)

    def forward(self, media: MediaBatch, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """Features [M, 4, D] of the 2x2 patches of every token, items in their order, frames averaged away."""
        check_media(media, self.config)
        if not media.grids:
            return media.patches_NCPP.new_zeros((0, 4, self.config.vt_hidden_size), dtype=dtype)
        order = sorted(range(len(media.grids)), key=lambda i: media.grids[i])
        grids = [media.grids[i] for i in order]
        groups = tuple(Group(grid, len(list(same))) for grid, same in groupby(grids))
        patches_NCPP = reordered(media.patches_NCPP, [g.patches for g in media.grids], order)
        turns = [
            grid_turns(g.grid, self.config.head_dim, device=patches_NCPP.device).repeat(g.items, 1) for g in groups
        ]
        x_ND = self.patch_embed(normalised(patches_NCPP, dtype), groups)
        x_ND = self.encoder(x_ND, Packed(groups, torch.cat(turns)))
        sizes = [group.patches for group in groups]
        merged = torch.cat([pool_and_merge(x, group) for x, group in zip(x_ND.split(sizes), groups, strict=True)])
        back = [order.index(i) for i in range(len(order))]
        return reordered(merged, [grid.tokens for grid in grids], back)


def check_media(media: MediaBatch, config: VisionConfig) -> None:
    """Raises ValueError where patches and grids do not fit each other or the model."""
    longest = max((grid.t for grid in media.grids), default=1)
    if longest > config.init_pos_emb_time:
        raise ValueError(
            f"a chunk has {longest} frames, but the vision tower knows positions of {config.init_pos_emb_time} "
            "(init_pos_emb_time); cut clips into chunks of at most so many frames"
        )
    expected = (sum(grid.patches for grid in media.grids), 3, config.patch_size, config.patch_size)
    if tuple(media.patches_NCPP.shape) != expected:
        raise ValueError(f"grids {media.grids} need patches of shape {expected}, got {tuple(media.patches_NCPP.shape)}")


def normalised(patches_NCPP: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 pixels to -1..1; floats are taken as they are."""
    if patches_NCPP.dtype == torch.uint8:
        return patches_NCPP.float().div_(255).sub_(0.5).div_(0.5).to(dtype)
    return patches_NCPP.to(dtype)


def reordered(x: Tensor, sizes: list[int], order: list[int]) -> Tensor:
    """The runs of `x` with these sizes, in another order."""
    if order == sorted(order):
        return x
    parts = x.split(sizes)
    return torch.cat([parts[i] for i in order])


def attend_equal(qk_N2Hd: Tensor, v_NHd: Tensor, group: Group) -> Tensor:
    """Attention within each item of one group: [N, D]."""
    q, k = qk_N2Hd.unflatten(0, (group.items, -1)).permute(2, 0, 3, 1, 4)
    v = v_NHd.unflatten(0, (group.items, -1)).transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1).flatten(1)


def pool_and_merge(x_ND: Tensor, group: Group) -> Tensor:
    """Mean over frames, then 2x2 patches side by side (top left, top right, bottom left, bottom right): [M, 4, D]."""
    t, h, w = group.grid
    x = x_ND.view(group.items, t, h // 2, 2, w // 2, 2, -1).mean(1)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(group.items * group.grid.tokens, 4, -1)
