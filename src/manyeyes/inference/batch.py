"""One step's tokens as tensors: ragged rows behind each other, and how each of them attends.

    rows of one token, by length | short chunks, by size | long chunks

Rows of about the same length share a `Group`, whose padded latents stay in cache; a chunk so long that rebuilding keys
and values costs less than absorbing its queries is a `LongChunk`.

Report: App. D.

Shapes: N tokens of a step, g rows of a group, T most new tokens and S most tokens of its rows, H heads, R rope pairs.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manyeyes.inference.scheduler import Chunk
from manyeyes.model.config import TextConfig

GROUP_NUMBERS = 400_000
"""Numbers of gathered latents in a group on the CPU: 1.6 MB, about the cache of a core (measured: half or twice as many
are equal, four times slower by a quarter)."""
GROUP_NUMBERS_ELSEWHERE = 64_000_000
_START = attrgetter("start")


class Group(NamedTuple):
    """Rows start..stop of the step's tokens, read with their latents side by side.

    Attributes:
        rows: g.
        blocks: their blocks, padded to equally many: int64 [g * k], or [g, k] where a kernel reads them in place.
        mask: 0 or -inf, [g, 1, S] for rows of one token, else [g, T * H, S].
        padded: for rows of several tokens, the token of each [g * T] place; None where T is 1.
        places: and the place of each token.
        lengths: for tokens that a kernel reads in place, what each of them sees [g]; `mask` is empty then.
    """

    start: int
    stop: int
    rows: int
    blocks: Tensor
    mask: Tensor
    padded: Tensor | None
    places: Tensor | None
    lengths: Tensor | None = None


class LongChunk(NamedTuple):
    """Tokens start..stop, which continue `past` tokens; `blocks` hold them all."""

    start: int
    stop: int
    past: int
    blocks: Tensor


class Batch(NamedTuple):
    """One step.

    Attributes:
        chunks: in the order of their tokens.
        id_N, position_N, slot_N: of each token.
        absorbed: the first so many tokens are those of `groups`, the rest of `long`.
        last_M: the tokens behind which something is sampled.
    """

    chunks: list[Chunk]
    id_N: Tensor
    position_N: Tensor
    slot_N: Tensor
    absorbed: int
    groups: list[Group]
    long: list[LongChunk]
    last_M: Tensor


def longest_absorbed(config: TextConfig) -> int:
    """New tokens up to which absorbed queries cost less than keys and values that are built again."""
    c = config
    saved = 2 * c.kv_lora_rank + c.qk_rope_head_dim - c.qk_head_dim - c.v_head_dim
    return max(1, c.kv_lora_rank * (c.qk_nope_head_dim + c.v_head_dim) // max(1, saved))


def batch_of(
    chunks: Sequence[Chunk],
    config: TextConfig,
    *,
    block_tokens: int,
    device: torch.device,
    in_place: bool = False,
    each_alone: bool = False,
) -> Batch:
    """A step's chunks as tensors.

    Args:
        in_place: rows of one token are one group, whose blocks a kernel reads where they are.
        each_alone: it reads each token of longer chunks so, too; a chunk is a group.
    """
    limit = max(chunk.count for chunk in chunks) if each_alone else longest_absorbed(config)
    single = sorted((chunk for chunk in chunks if chunk.count == 1), key=_START)
    more = sorted((chunk for chunk in chunks if chunk.count > 1), key=lambda chunk: (chunk.count > limit, chunk.stop))
    ordered = [*single, *more]
    starts = np.concatenate([[0], np.array([chunk.count for chunk in ordered]).cumsum()])
    at = [chunk.start for chunk in single]
    position_N = np.concatenate([at, *(np.arange(chunk.start, chunk.stop) for chunk in more)]).astype(np.int64)
    id_N = [chunk.sequence.ids[start] for chunk, start in zip(single, at, strict=True)]
    block_N = [chunk.sequence.blocks[start // block_tokens] for chunk, start in zip(single, at, strict=True)]
    for chunk in more:
        id_N += chunk.sequence.ids[chunk.start : chunk.stop]
        table = np.array(chunk.sequence.blocks)
        block_N += table[np.arange(chunk.start, chunk.stop) // block_tokens].tolist()
    tables = [chunk.sequence.blocks for chunk in ordered]
    absorbed = sum(chunk.count <= limit for chunk in ordered)

    def moved(values: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(values).to(device)

    layout = _Layout(ordered, tables, starts, config, block_tokens, device, in_place, each_alone)
    return Batch(
        ordered,
        moved(np.array(id_N, np.int64)),
        moved(position_N),
        moved(np.array(block_N, np.int64) * block_tokens + position_N % block_tokens),
        int(starts[absorbed]),
        [layout.group(first, last) for first, last in layout.groups(absorbed)],
        [layout.long(number) for number in range(absorbed, len(ordered))],
        moved(np.array([starts[i + 1] - 1 for i, chunk in enumerate(ordered) if chunk.samples], np.int64)),
    )


class _Layout(NamedTuple):
    """Chunks in their order, and what groups are made from."""

    chunks: list[Chunk]
    tables: list[list[int]]
    starts: NDArray[np.int64]
    config: TextConfig
    block_tokens: int
    device: torch.device
    in_place: bool
    each_alone: bool

    def groups(self, absorbed: int) -> Iterator[tuple[int, int]]:
        """First and last+1 chunk of each group: rows of one token apart from others, none larger than the cache."""
        most = GROUP_NUMBERS if self.device.type == "cpu" else GROUP_NUMBERS_ELSEWHERE
        width = self.config.kv_lora_rank + self.config.qk_rope_head_dim
        first = 0
        for number in range(1, absorbed + 1):
            whole = number == absorbed or (self.chunks[number].count > 1) != (self.chunks[first].count > 1)
            whole |= self.each_alone and self.chunks[first].count > 1
            if whole or self._size(first, number + 1, width) > most:
                yield first, number
                first = number

    def _size(self, first: int, last: int, width: int) -> int:
        """Numbers that a group gathers or scores, whichever are more."""
        chunks = self.chunks[first:last]
        if self.in_place and chunks[0].count == 1:
            return 0
        new = max(chunk.count for chunk in chunks) if chunks[0].count > 1 else 1
        return len(chunks) * chunks[-1].stop * max(width, new * self.config.num_attention_heads)

    def group(self, first: int, last: int) -> Group:
        """Chunks first..last-1 as one group."""
        chunks, rows = self.chunks[first:last], last - first
        start, stop = int(self.starts[first]), int(self.starts[last])
        if self.each_alone and chunks[0].count > 1:
            return self._alone(first)
        most = max(len(table) for table in self.tables[first:last])
        blocks = np.zeros((rows, most), np.int64)
        for row, table in enumerate(self.tables[first:last]):
            blocks[row, : len(table)] = table
        stop_g = np.array([chunk.stop for chunk in chunks], np.int64)
        key_S = np.arange(most * self.block_tokens)
        if chunks[0].count == 1 and self.in_place:
            return _in_place(start, torch.from_numpy(blocks), stop_g)
        flat = torch.from_numpy(blocks.ravel()).to(self.device)
        if chunks[0].count == 1:
            mask_g1S = _hidden(key_S >= stop_g[:, None, None])
            return Group(start, stop, rows, flat, mask_g1S.to(self.device), None, None)
        count_g = np.array([chunk.count for chunk in chunks])
        new_T = np.arange(count_g.max())
        query_gT = (stop_g - count_g)[:, None] + np.minimum(new_T, count_g[:, None] - 1)
        mask_gTS = _hidden(key_S > query_gT[..., None])
        mask = mask_gTS.repeat_interleave(self.config.num_attention_heads, 1)
        offset_g = self.starts[first:last] - start
        padded_gT = offset_g[:, None] + np.minimum(new_T, count_g[:, None] - 1)
        places = np.flatnonzero(new_T < count_g[:, None])
        padded = torch.from_numpy(padded_gT.ravel()).to(self.device)
        return Group(start, stop, rows, flat, mask.to(self.device), padded, torch.from_numpy(places).to(self.device))

    def _alone(self, number: int) -> Group:
        """One chunk whose tokens each are a row, over the same blocks."""
        chunk, table = self.chunks[number], torch.tensor(self.tables[number])
        seen_g = np.arange(chunk.start + 1, chunk.stop + 1)
        return _in_place(int(self.starts[number]), table.expand(chunk.count, -1), seen_g)

    def long(self, number: int) -> LongChunk:
        """One chunk that rebuilds keys and values."""
        chunk, table = self.chunks[number], self.tables[number]
        blocks = torch.tensor(table[: -(-chunk.stop // self.block_tokens)], device=self.device)
        return LongChunk(int(self.starts[number]), int(self.starts[number + 1]), chunk.start, blocks)


def _in_place(start: int, blocks_gk: Tensor, seen_g: NDArray[np.int64]) -> Group:
    rows = len(seen_g)
    return Group(start, start + rows, rows, blocks_gk, torch.empty(0), None, None, torch.from_numpy(seen_g))


def _hidden(hidden: NDArray[np.bool_]) -> Tensor:
    return torch.zeros(hidden.shape).masked_fill_(torch.from_numpy(hidden), -torch.inf)
