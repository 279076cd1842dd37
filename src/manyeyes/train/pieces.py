"""`pieces_of`: the micro-batches of a step, enough of them for every thread of a CPU where that can be had.

    several micro-batches     as they are
    one of several rows       so many rows to each thread
    one of a single row       its samples shared out, the longest first; a single sample stays whole

How a step is split changes nothing but rounding (`train.objectives`), and each piece holds less than the whole did.

Report: none (engineering). `in_order` computes them side by side.
"""

import torch

from manyeyes.core.sample import Sample
from manyeyes.data.packing import Batch, pack, stack
from manyeyes.train.batches import MicroBatch, micro_batches, samples_of
from manyeyes.train.in_order import workers_for


def pieces_of(
    batch: Batch, micro_rows: int, *, device: torch.device, side_by_side: int | None = None
) -> list[MicroBatch]:
    """For objectives of text and pictures; rows whose samples share beginnings are not taken apart.

    Args:
        micro_rows: rows of a micro-batch at most.
        side_by_side: pieces at once at most; see `workers_for`.
    """
    rows, threads = len(batch.ids_BT), workers_for(device, most=side_by_side)
    if threads == 1 or rows > micro_rows or batch.continues_BT is not None:
        return list(micro_batches(batch, micro_rows, device=device, trimmed=True))
    if rows > 1:
        return list(micro_batches(batch, -(-rows // threads), device=device, trimmed=True))
    shares = shared_out(samples_of(batch), threads)
    rows_of = [stack([pack(share, sum(one.length for one in share), pad_id=0)]) for share in shares]
    return [part for row in rows_of for part in micro_batches(row, 1, device=device)]


def shared_out(samples: list[Sample], count: int) -> list[list[Sample]]:
    """At most `count` shares of about equal length; none is empty.

    Example:
        >>> import numpy as np
        >>> ones = [Sample(np.zeros(n, np.int32), np.zeros(n, np.float32)) for n in (3, 8, 2, 4)]
        >>> [[one.length for one in share] for share in shared_out(ones, 2)]
        [[8], [4, 3, 2]]
    """
    shares: list[list[Sample]] = [[] for _ in range(count)]
    lengths = [0] * count
    for one in sorted(samples, key=lambda one: -one.length):
        lightest = lengths.index(min(lengths))
        shares[lightest].append(one)
        lengths[lightest] += one.length
    return [share for share in shares if share]
