"""Packing: several samples share one row of T tokens, and each still sees only itself.

`segments` keep the boundaries (attention is causal and within equal segments), `positions` restart at each sample, and
a sample's first token weighs nothing, since what stands before it is somebody else's. Which samples share a row is
decided in `window`; a packed row and its samples on their own give the same logits. A sample may continue an earlier
one of its row (`shared_beginnings`): it sees all of that one, and its positions go on from there.

Shapes: B rows of a batch, T tokens of a row, S samples of a row, L mixture layers, K experts a token.
Report: App. C.1 (packing happens while training).
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import DataError
from manyeyes.core.media import Media
from manyeyes.core.sample import Sample
from manyeyes.data.columns import Columns, end_to_end, row_on_row
from manyeyes.data.continuation import continues_of, seen_tokens, stacked
from manyeyes.data.window import WINDOW, Window

PADDING = -1
"""Segment id of the tokens behind the last sample."""


class Pack(NamedTuple):
    """One row of training input.

    Attributes:
        ids: int32 [T]; `pad_id` behind the last sample.
        positions: int32 [T]; counts from 0 within each sample, 0 on padding.
        segments: int32 [T]; 0, 1, ... by sample, -1 on padding. Tokens attend within equal ids only.
        weights: float32 [T]; weight of predicting `ids[t]` from before; 0 at each sample's first token and on padding.
        media: every sample's media in order.
        names: [S] the samples' names.
        media_counts: [S] how many of `media` belong to each sample.
        logprobs: float32 [T] or None; 0 where a sample has none (its weights are then all 0).
        advantages: float32 [T] or None, likewise.
        versions: int32 [T] or None, likewise, but `UNVERSIONED` where a sample has none.
        routing: uint16 [T, L, K] or None; `UNROUTED` where nobody knows.
        continues: int32 [T] or None where no sample continues another: the segment that a token's own continues, -1 for
            none.

    Example:
        >>> two = [Sample(ids=np.array([7, 8], np.int32), weights=np.array([0, 1], np.float32), name=n) for n in "ab"]
        >>> row = pack(two, 5, pad_id=0)
        >>> row.ids.tolist(), row.positions.tolist(), row.segments.tolist()
        ([7, 8, 7, 8, 0], [0, 1, 0, 1, 0], [0, 0, 1, 1, -1])
        >>> row.boundaries.tolist(), row.tokens, row.fill
        ([0, 2, 4], 4, 0.8)
    """

    ids: NDArray[np.int32]
    positions: NDArray[np.int32]
    segments: NDArray[np.int32]
    weights: NDArray[np.float32]
    media: tuple[Media, ...] = ()
    names: tuple[str, ...] = ()
    media_counts: tuple[int, ...] = ()
    logprobs: NDArray[np.float32] | None = None
    advantages: NDArray[np.float32] | None = None
    versions: NDArray[np.int32] | None = None
    routing: NDArray[np.uint16] | None = None
    continues: NDArray[np.int32] | None = None

    @property
    def boundaries(self) -> NDArray[np.int32]:
        """int32 [S + 1]: where each sample starts, and where the last one ends (the blocks of the attention mask)."""
        ends = np.cumsum(np.bincount(self.segments[self.segments >= 0], minlength=len(self.names)))
        return np.concatenate([[0], ends]).astype(np.int32)

    @property
    def tokens(self) -> int:
        """Tokens that belong to a sample."""
        return int(np.count_nonzero(self.segments >= 0))

    @property
    def fill(self) -> float:
        """Share of the row that is not padding, 0 to 1."""
        return self.tokens / len(self.ids)


class Batch(NamedTuple):
    """Packs of equal length on top of each other; the fields are those of `Pack` with a leading [B].

    `media` holds the media of all rows in order; `names` and `media_counts` keep one tuple a row.
    """

    ids_BT: NDArray[np.int32]
    positions_BT: NDArray[np.int32]
    segments_BT: NDArray[np.int32]
    weights_BT: NDArray[np.float32]
    media: tuple[Media, ...] = ()
    names: tuple[tuple[str, ...], ...] = ()
    media_counts: tuple[tuple[int, ...], ...] = ()
    logprobs_BT: NDArray[np.float32] | None = None
    advantages_BT: NDArray[np.float32] | None = None
    versions_BT: NDArray[np.int32] | None = None
    routing_BTLK: NDArray[np.uint16] | None = None
    continues_BT: NDArray[np.int32] | None = None

    @property
    def tokens(self) -> int:
        """Tokens that belong to a sample."""
        return int(np.count_nonzero(self.segments_BT >= 0))

    @property
    def fill(self) -> float:
        """Share of the batch that is not padding, 0 to 1."""
        return self.tokens / self.ids_BT.size

    @property
    def seen(self) -> int:
        """Tokens of its samples as if each were whole: what several begin with counts with each of them."""
        return seen_tokens(self.segments_BT, self.continues_BT)


def pack(samples: Sequence[Sample], row_length: int, *, pad_id: int, continued: Sequence[int] = ()) -> Pack:
    """Lay samples side by side in one row, in the order given.

    Args:
        continued: for each sample the place in `samples` of the one that it continues, -1 for none; nothing where none
            does. What is continued stands before, and continues nothing itself.

    Raises:
        DataError: they are longer than the row, or some carry log-probabilities (advantages, versions) and others that
            are trained on do not, or their routing is of several models; or a sample continues what it cannot.
    """
    used = sum(sample.length for sample in samples)
    if used > row_length:
        lengths = ", ".join(f"{sample.name or '?'} ({sample.length})" for sample in samples)
        raise DataError(f"samples of {used} tokens cannot share a row of {row_length}: {lengths}; put fewer in a row")
    lengths = np.array([sample.length for sample in samples], np.int64)
    starts = np.cumsum(lengths) - lengths
    ids = np.full(row_length, pad_id, np.int32)
    positions = np.zeros(row_length, np.int32)
    segments = np.full(row_length, PADDING, np.int32)
    weights = np.zeros(row_length, np.float32)
    if samples:
        ids[:used] = np.concatenate([sample.ids for sample in samples])
        positions[:used] = np.arange(used) - np.repeat(starts, lengths)
        segments[:used] = np.repeat(np.arange(len(samples)), lengths)
        weights[:used] = np.concatenate([sample.weights for sample in samples])
        weights[starts[lengths > 0]] = 0.0
    continues = continues_of(continued, lengths, row_length)
    if continues is not None:
        positions[:used] += np.where(continues >= 0, lengths[continues], 0)[:used].astype(np.int32)
    return Pack(
        ids=ids,
        positions=positions,
        segments=segments,
        weights=weights,
        media=tuple(media for sample in samples for media in sample.media),
        names=tuple(sample.name for sample in samples),
        media_counts=tuple(len(sample.media) for sample in samples),
        continues=continues,
        **end_to_end(samples, row_length)._asdict(),
    )


def unpack(row: Pack) -> list[Sample]:
    """The samples of a row again: the inverse of `pack` (but for the weight of a first token, which is 0 now).

    Raises:
        DataError: some continue others, and so are no whole samples.
    """
    if row.continues is not None:
        raise DataError("the samples of this row share beginnings and cannot be taken out of it one by one")
    edges = row.boundaries.tolist()
    media = iter(row.media)
    return [
        Sample(
            ids=row.ids[start:end],
            weights=row.weights[start:end],
            media=tuple(islice(media, count)),
            name=name,
            logprobs=None if row.logprobs is None else row.logprobs[start:end],
            advantages=None if row.advantages is None else row.advantages[start:end],
            versions=None if row.versions is None else row.versions[start:end],
            routing=None if row.routing is None else row.routing[start:end],
        )
        for start, end, name, count in zip(edges, edges[1:], row.names, row.media_counts, strict=False)
    ]


def stack(packs: Sequence[Pack]) -> Batch:
    """Rows of one length on top of each other.

    Raises:
        DataError: no rows, rows of several lengths, or RL fields in some rows only.
    """
    if len({len(row.ids) for row in packs}) != 1:
        raise DataError(f"a batch needs rows of one length, got lengths {[len(row.ids) for row in packs]}")
    columns = _columns(packs)
    return Batch(
        ids_BT=np.stack([row.ids for row in packs]),
        positions_BT=np.stack([row.positions for row in packs]),
        segments_BT=np.stack([row.segments for row in packs]),
        weights_BT=np.stack([row.weights for row in packs]),
        media=tuple(media for row in packs for media in row.media),
        names=tuple(row.names for row in packs),
        media_counts=tuple(row.media_counts for row in packs),
        logprobs_BT=columns.logprobs,
        advantages_BT=columns.advantages,
        versions_BT=columns.versions,
        routing_BTLK=columns.routing,
        continues_BT=stacked([row.continues for row in packs], len(packs[0].ids)),
    )


def _columns(packs: Sequence[Pack]) -> Columns:
    rows = [Columns(row.logprobs, row.advantages, row.versions, row.routing) for row in packs]
    return row_on_row(rows, [", ".join(row.names) for row in packs], [bool(row.weights.any()) for row in packs])


def pack_all(samples: Iterable[Sample], row_length: int, *, pad_id: int, window: int = WINDOW) -> list[Pack]:
    """Pack a finite list into few rows; every sample is in exactly one.

    Raises:
        DataError: a sample is longer than the row.
    """
    queue = Window(iter(samples), row_length, size=window)
    return [pack(row, row_length, pad_id=pad_id) for row in iter(queue.next_row, [])]
