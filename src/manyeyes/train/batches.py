"""From numpy batches to tensors: micro-batches, shifted targets, media.

Shapes: B rows, T tokens, N predicted positions, M media items, L mixture layers, K experts a token.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from manyeyes.core.media import Media
from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import UNVERSIONED
from manyeyes.data.continuation import seen_tokens
from manyeyes.data.packing import Batch, Pack, unpack
from manyeyes.model.moonvit3d import MediaBatch


class MicroBatch(NamedTuple):
    """Tensors of some rows of a step.

    Attributes:
        weights_BT: weight of predicting the *next* token from each position, 0 at the last one of a sample.
        targets_BT: the next token.
        vision_BT: True on positions of samples that carry media, or continue one that does.
        tokens: positions that belong to a sample.
        seen: those of its samples as if each were whole (`Batch.seen`).
        logprobs_BT, advantages_BT, versions_BT: of the next token, like `weights_BT`; 0, 0 and `UNVERSIONED` where a
            sample ends; None outside of RL.
        routing_BTLK: int32, the experts that the sampler sent the token *at* each position to; `UNROUTED` where nobody
            knows.
        start: its first row's number in the batch.
        continues_BT: see `Backbone.forward`; None where no sample continues another.
    """

    ids_BT: Tensor
    positions_BT: Tensor
    segments_BT: Tensor
    targets_BT: Tensor
    weights_BT: Tensor
    vision_BT: Tensor
    media: MediaBatch | None
    tokens: int
    seen: int
    logprobs_BT: Tensor | None = None
    advantages_BT: Tensor | None = None
    versions_BT: Tensor | None = None
    routing_BTLK: Tensor | None = None
    start: int = 0
    continues_BT: Tensor | None = None


def micro_batches(batch: Batch, rows: int, *, device: torch.device, trimmed: bool = False) -> Iterator[MicroBatch]:
    """The rows of a batch in groups of `rows`; a group without a single sample is left out.

    Args:
        trimmed: leave out the columns at the end in which no row of the group has a sample.
    """
    for start in range(0, len(batch.ids_BT), rows):
        stop = min(start + rows, len(batch.ids_BT))
        used = np.flatnonzero((batch.segments_BT[start:stop] >= 0).any(axis=0))
        if len(used):
            part = _first_columns(batch, int(used[-1]) + 1) if trimmed else batch
            yield _micro_batch(part, slice(start, stop), device)


def _first_columns(batch: Batch, width: int) -> Batch:
    columns = {name: getattr(batch, name) for name in Batch._fields if "BT" in name}
    return batch._replace(**{name: None if column is None else column[:, :width] for name, column in columns.items()})


def _micro_batch(batch: Batch, rows: slice, device: torch.device) -> MicroBatch:
    ids, segments = batch.ids_BT[rows], batch.segments_BT[rows]
    targets = np.zeros_like(ids)
    targets[:, :-1] = ids[:, 1:]
    weights = _of_next(batch.weights_BT[rows], segments)
    arrays = (ids, batch.positions_BT[rows], segments, targets, weights, _vision(batch, rows, segments))
    edges = _media_edges(batch)
    media = batch.media[edges[rows.start] : edges[rows.stop]]
    return MicroBatch(
        *(torch.from_numpy(array).to(device) for array in arrays),
        media=media_of(media, device) if media else None,
        tokens=int(np.count_nonzero(segments >= 0)),
        seen=seen_tokens(segments, None if batch.continues_BT is None else batch.continues_BT[rows]),
        logprobs_BT=_moved(batch.logprobs_BT, rows, segments, device),
        advantages_BT=_moved(batch.advantages_BT, rows, segments, device),
        versions_BT=_moved(batch.versions_BT, rows, segments, device, blank=UNVERSIONED),
        routing_BTLK=_routing(batch.routing_BTLK, rows, device),
        start=rows.start,
        continues_BT=None if batch.continues_BT is None else torch.from_numpy(batch.continues_BT[rows]).to(device),
    )


def _of_next(column_BT: np.ndarray, segments_BT: np.ndarray, *, blank: int = 0) -> np.ndarray:
    """Each position gets what belongs to the next token of its sample."""
    moved_BT = np.full_like(column_BT, blank)
    inside_BT = segments_BT[:, 1:] == segments_BT[:, :-1]
    moved_BT[:, :-1] = np.where(inside_BT, column_BT[:, 1:], moved_BT[:, :-1])
    return moved_BT


def _moved(
    column_BT: np.ndarray | None, rows: slice, segments_BT: np.ndarray, device: torch.device, *, blank: int = 0
) -> Tensor | None:
    if column_BT is None:
        return None
    return torch.from_numpy(_of_next(column_BT[rows], segments_BT, blank=blank)).to(device)


def _routing(routing_BTLK: np.ndarray | None, rows: slice, device: torch.device) -> Tensor | None:
    """As int32: torch does little with uint16."""
    return None if routing_BTLK is None else torch.from_numpy(routing_BTLK[rows].astype(np.int32)).to(device)


def _media_edges(batch: Batch) -> list[int]:
    """Where each row's media start in `batch.media`, and where the last one's end."""
    return np.cumsum([0] + [sum(counts) for counts in batch.media_counts]).tolist()


def _vision(batch: Batch, rows: slice, segments: np.ndarray) -> np.ndarray:
    vision = np.zeros(segments.shape, np.bool_)
    for row, counts in enumerate(batch.media_counts[rows]):
        shows = np.array([*counts, 0], np.int64) > 0
        vision[row] = shows[segments[row]]
        if batch.continues_BT is not None:
            vision[row] |= shows[batch.continues_BT[rows][row]]
    return vision


def media_of(media: tuple[Media, ...], device: torch.device) -> MediaBatch:
    """All patches in one tensor; at least one item."""
    patches = torch.from_numpy(np.concatenate([item.patches for item in media]))
    return MediaBatch(patches.to(device), tuple(item.grid for item in media))


def samples_of(batch: Batch) -> list[Sample]:
    """Every sample of a batch by itself.

    Raises:
        DataError: some share beginnings (`unpack`).
    """
    edges = _media_edges(batch)
    rows = [
        Pack(
            ids=batch.ids_BT[row],
            positions=batch.positions_BT[row],
            segments=batch.segments_BT[row],
            weights=batch.weights_BT[row],
            media=batch.media[edges[row] : edges[row + 1]],
            names=batch.names[row],
            media_counts=batch.media_counts[row],
            logprobs=_row(batch.logprobs_BT, row),
            advantages=_row(batch.advantages_BT, row),
            versions=_row(batch.versions_BT, row),
            routing=_row(batch.routing_BTLK, row),
            continues=_continues(batch, row),
        )
        for row in range(len(batch.ids_BT))
    ]
    return [sample for row in rows for sample in unpack(row)]


def _continues(batch: Batch, row: int) -> np.ndarray | None:
    """None where nothing of the row continues another."""
    continues_T = _row(batch.continues_BT, row)
    return None if continues_T is None or (continues_T < 0).all() else continues_T


def _row(column_BT: np.ndarray | None, row: int) -> np.ndarray | None:
    return None if column_BT is None else column_BT[row]
