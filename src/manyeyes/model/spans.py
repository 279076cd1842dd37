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


NOTHING: tuple[int, int] = (0, 0)
"""Positions of nothing."""


class Span(NamedTuple):
    """One sample in a batch: positions start..stop of a row (of `rows` rows from `row`, where nothing is packed).

    `before` are the positions of an earlier span of the row that it continues: what it sees beside its own past.
    """

    row: int
    rows: int
    start: int
    stop: int
    before: tuple[int, int] = NOTHING

    @property
    def length(self) -> int:
        """Positions of the sample."""
        return self.stop - self.start

    @property
    def seen(self) -> int:
        """Positions that its last one sees."""
        return self.length + self.before[1] - self.before[0]


class Tile(NamedTuple):
    """Queries start..stop of some rows, which see keys from `key_start` on to `stop`, behind those of `before`.

    `mask` [stop-start, stop-mask_start] is 0 or -inf for the keys from `mask_start` on; earlier keys are all visible.
    """

    row: int
    rows: int
    start: int
    stop: int
    key_start: int
    mask_start: int
    mask: Tensor
    before: tuple[int, int] = NOTHING

    @property
    def unmasked(self) -> int:
        """Keys that all of its queries see: the first ones."""
        return self.before[1] - self.before[0] + self.mask_start - self.key_start


def spans_of(
    segments_BT: Tensor | None, *, rows: int, length: int, continues_BT: Tensor | None = None
) -> tuple[Span, ...]:
    """The samples of a batch: runs of equal segment ids in each row; id -1 is padding and belongs to no span.

    Args:
        continues_BT: the id of the earlier segment that a position's own continues, -1 for none.

    Raises:
        ValueError: a segment continues one that does not stand before it.

    Example:
        >>> spans_of(torch.tensor([[0, 0, 1, -1]]), rows=1, length=4)[1].length
        1
        >>> spans_of(torch.tensor([[0, 0, 1]]), rows=1, length=3, continues_BT=torch.tensor([[-1, -1, 0]]))[1].before
        (0, 2)
    """
    if segments_BT is None:
        return (Span(0, rows, 0, length),)
    found: list[Span] = []
    earlier_BT = None if continues_BT is None else continues_BT.tolist()
    for row, ids in enumerate(segments_BT.tolist()):
        start, places = 0, {-1: NOTHING}
        for segment, run in groupby(ids):
            stop = start + len(list(run))
            if segment >= 0:
                earlier = -1 if earlier_BT is None else earlier_BT[row][start]
                if earlier not in places:
                    raise ValueError(
                        f"segment {segment} of row {row} continues segment {earlier}, which does not stand before it; "
                        "a segment continues an earlier one of its row"
                    )
                found.append(Span(row, 1, start, stop, places[earlier]))
                places[segment] = (start, stop)
            start = stop
    return tuple(found)


def owners(spans: tuple[Span, ...], *, rows: int, length: int) -> Tensor:
    """int64 [B, T]: the number of the span that a position belongs to, -1 for none."""
    owner_BT = torch.full((rows, length), -1)
    for number, span in enumerate(spans):
        owner_BT[span.row : span.row + span.rows, span.start : span.stop] = number
    return owner_BT


def continued(spans: tuple[Span, ...], *, rows: int, length: int) -> Tensor:
    """int64 [B, T]: the number of the span that a position's own continues, -1 for none."""
    number_of = {(span.row, span.start, span.stop): number for number, span in enumerate(spans)}
    continued_BT = torch.full((rows, length), -1)
    for span in spans:
        if span.before != NOTHING:
            continued_BT[span.row, span.start : span.stop] = number_of[span.row, *span.before]
    return continued_BT


def whole_samples(spans: tuple[Span, ...]) -> Tensor | None:
    """fp32 [S, P]: 1 where a span (P) is part of a sample (S): the last one of it, or what that continues.

    What is continued is no sample by itself. None where nothing continues anything.

    Example:
        >>> whole_samples((Span(0, 1, 0, 4), Span(0, 1, 4, 6, (0, 4)), Span(0, 1, 6, 9, (0, 4)))).tolist()
        [[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    number_of = {(span.row, span.start, span.stop): number for number, span in enumerate(spans)}
    before = [-1 if span.before == NOTHING else number_of[span.row, *span.before] for span in spans]
    begun = set(before) - {-1}
    if not begun:
        return None
    samples = [number for number in range(len(spans)) if number not in begun]
    pieces_SP = torch.zeros(len(samples), len(spans))
    for sample, number in enumerate(samples):
        pieces_SP[sample, number] = 1.0
        if before[number] >= 0:
            pieces_SP[sample, before[number]] = 1.0
    return pieces_SP


def tiles_of(spans: tuple[Span, ...]) -> tuple[Tile, ...]:
    """Tiles that cover these spans; short neighbouring spans share a tile."""
    return tuple(tile for block in touching(spans) for tile in _tiles_of_block(block))


def touching(spans: tuple[Span, ...]) -> list[list[Span]]:
    """Spans of the same rows grouped so that each begins where the one before ends, and all continue the same one."""
    blocks: list[list[Span]] = []
    for span in spans:
        last = blocks[-1][-1] if blocks else None
        if last is not None and (last.row, last.rows, last.stop, last.before) == (
            span.row, span.rows, span.start, span.before,
        ):  # fmt: skip
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
        tiles.append(Tile(row, rows, start, stop, key_start, mask_start, mask, block[0].before))
    return tiles
