"""Where samples lie in packed rows, and the tiles of queries that attention works through.

Shapes: B rows, T positions.

Report: App. C.1 (packing with block-diagonal attention).
"""

from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

TILE = 64
"""Queries in a tile, so few that its scores stay in cache. Larger tiles multiply faster but mask more of what they
compute (measured: 128 is equal on samples of 512, worse on short ones; 256 is never better)."""


class Span(NamedTuple):
    """One sample in a batch: positions start..stop of a row (of `rows` rows from `row`, where nothing is packed)."""

    row: int
    rows: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        """Positions of the sample."""
        return self.stop - self.start


class Tile(NamedTuple):
    """Queries start..stop of some rows, which see keys from `key_start` on to `stop`.

    `mask` [stop-start, stop-mask_start] is 0 or -inf for the keys from `mask_start` on; earlier keys are all visible.
    """

    row: int
    rows: int
    start: int
    stop: int
    key_start: int
    mask_start: int
    mask: Tensor


def spans_of(segments_BT: Tensor | None, *, rows: int, length: int) -> tuple[Span, ...]:
    """The samples of a batch: runs of equal segment ids in each row; id -1 is padding and belongs to no span.

    Example:
        >>> spans_of(torch.tensor([[0, 0, 1, -1]]), rows=1, length=4)
        (Span(row=0, rows=1, start=0, stop=2), Span(row=0, rows=1, start=2, stop=3))
    """
    if segments_BT is None:
        return (Span(0, rows, 0, length),)
    found: list[Span] = []
    for row, ids in enumerate(segments_BT.tolist()):
        start = 0
        for segment, run in groupby(ids):
            stop = start + len(list(run))
            if segment >= 0:
                found.append(Span(row, 1, start, stop))
            start = stop
    return tuple(found)


def owners(spans: tuple[Span, ...], *, rows: int, length: int) -> Tensor:
    """int64 [B, T]: the number of the span that a position belongs to, -1 for none."""
    owner_BT = torch.full((rows, length), -1)
    for number, span in enumerate(spans):
        owner_BT[span.row : span.row + span.rows, span.start : span.stop] = number
    return owner_BT


def tiles_of(spans: tuple[Span, ...]) -> tuple[Tile, ...]:
    """Tiles that cover these spans; short neighbouring spans share a tile."""
    return tuple(tile for block in touching(spans) for tile in _tiles_of_block(block))


def touching(spans: tuple[Span, ...]) -> list[list[Span]]:
    """Spans of the same rows grouped so that each begins where the one before ends."""
    blocks: list[list[Span]] = []
    for span in spans:
        last = blocks[-1][-1] if blocks else None
        if last is not None and (last.row, last.rows, last.stop) == (span.row, span.rows, span.start):
            blocks[-1].append(span)
        else:
            blocks.append([span])
    return blocks


def _tiles_of_block(block: list[Span]) -> list[Tile]:
    row, rows, begin, end = block[0].row, block[0].rows, block[0].start, block[-1].stop
    first = torch.cat([torch.full((span.length,), span.start) for span in block])
    position = torch.arange(begin, end)
    tiles: list[Tile] = []
    for start in range(begin, end, TILE):
        stop = min(start + TILE, end)
        first_q = first[start - begin : stop - begin, None]
        key_start = int(first_q[0])
        mask_start = start if int(first_q[-1]) == key_start else key_start
        key, query = position[mask_start - begin : stop - begin], position[start - begin : stop - begin, None]
        hidden = (key > query) | (key < first_q)
        mask = torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)
        tiles.append(Tile(row, rows, start, stop, key_start, mask_start, mask))
    return tiles
