"""The latent cache in blocks: kv_lora + rope numbers for each token of each layer, wherever its block lies.

A token's slot is block * block_tokens + offset. Reading gathers whole blocks, which is a copy of memory at full speed
and costs about a fifth of the attention that follows (measured); writing goes to the slots.

Report: App. D; DeepSeek-V2, 2024 (MLA).

Shapes: L layers, K blocks, b tokens a block, C latent and rope width, N new tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from manyeyes.model.config import TextConfig


class LatentStore:
    """One tensor [L, K, b * C]; memory is touched only where it is written."""

    def __init__(
        self, config: TextConfig, *, blocks: int, block_tokens: int, dtype: torch.dtype, device: torch.device | str
    ) -> None:
        self.width = config.kv_lora_rank + config.qk_rope_head_dim
        self.block_tokens = block_tokens
        shape = (config.num_hidden_layers, blocks, block_tokens * self.width)
        self.latents_LKB = torch.zeros(shape, dtype=dtype, device=device)
        self._gathered = self.latents_LKB.new_empty(0)

    def clear(self) -> None:
        """Everything 0 again: what is hidden is multiplied by 0, so not even there may a NaN stand."""
        self.latents_LKB.zero_()

    def write(self, layer: int, slot_N: Tensor, latent_NC: Tensor) -> None:
        """New tokens of one layer into their slots."""
        self.latents_LKB[layer].view(-1, self.width).index_copy_(0, slot_N, latent_NC)

    def finite(self, slot_N: Tensor) -> bool:
        """Whether some tokens are numbers; the last layer tells, as what goes wrong before it goes through it."""
        return bool(self.latents_LKB[-1].view(-1, self.width)[slot_N].isfinite().all())

    def read(self, layer: int, blocks: Tensor, rows: int) -> Tensor:
        """`rows` runs of equally many blocks, one behind the other: [rows, tokens, C], valid until the next reading."""
        shape = len(blocks), self.latents_LKB.shape[2]
        size = shape[0] * shape[1]
        if self._gathered.numel() < size:
            self._gathered = self.latents_LKB.new_empty(size)
        out = self._gathered[:size].view(shape)  # new memory for each would cost more than the copy
        return torch.index_select(self.latents_LKB[layer], 0, blocks, out=out).view(rows, -1, self.width)

    def copy(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Blocks (from, to) in all layers."""
        if pairs:
            source, target = torch.tensor(pairs, device=self.latents_LKB.device).unbind(1)
            self.latents_LKB[:, target] = self.latents_LKB[:, source]
