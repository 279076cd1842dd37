"""The buckets that mismatch is counted in: by size of the ratio, by place in a completion, by staleness.

Edges are fixed, so that reports of any two batches can be added.

Report: none. Shapes: T tokens.
"""

import math

import numpy as np
from numpy.typing import NDArray

_STEPS = (1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.2, math.log(2), math.log(5), math.log(10), math.log(100))
LOG_RATIO_EDGES = (*(-step for step in reversed(_STEPS)), *_STEPS)
"""Between the buckets of the histogram, the first and last of which are open: 21 of them, equal left and right."""
PLACE_EDGES = (0, 1, 8, 64, 256, 1024, 4096, 16384)
"""First place of each bucket of places in a completion."""
STALENESS_EDGES = (0, 1, 2, 3, 4, 8, 16)
"""First number of versions behind the trainer of each bucket."""


def labels(edges: tuple[int, ...]) -> tuple[str, ...]:
    """For people.

    Example:
        >>> labels((0, 1, 2, 4))
        ('0', '1', '2-3', '4+')
    """
    spans = zip(edges, edges[1:], strict=False)
    return (*(str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in spans), f"{edges[-1]}+")


def bucket_of(values_T: NDArray[np.int64], edges: tuple[int, ...]) -> NDArray[np.int64]:
    """The bucket of each value, which is at least the first edge."""
    return np.searchsorted(np.array(edges), values_T, side="right") - 1


def histogram(log_ratio_T: NDArray[np.float64]) -> tuple[int, ...]:
    """Tokens in each bucket of log-ratios, a value on an edge in the one above."""
    bucket_T = np.searchsorted(np.array(LOG_RATIO_EDGES), log_ratio_T, side="right")
    return tuple(np.bincount(bucket_T, minlength=len(LOG_RATIO_EDGES) + 1).tolist())


def places(sampled_T: NDArray[np.bool_], position_T: NDArray[np.int32]) -> NDArray[np.int64]:
    """Place of each sampled token in its completion, that is, the run of sampled tokens that it stands in.

    Args:
        position_T: in its sample: a run ends where that jumps, to another sample or to another branch of a shared
            beginning (what of a completion lies in the beginning is not counted in its branches).

    Example:
        >>> places(np.array([0, 1, 1, 0, 1, 1, 1], bool), np.array([0, 1, 2, 3, 4, 0, 1], np.int32))[[1, 2, 4, 5, 6]]
        array([0, 1, 0, 0, 1])
    """
    index_T = np.arange(len(sampled_T))
    begins_T = sampled_T & (position_T == 0)
    begins_T[1:] |= sampled_T[1:] & (~sampled_T[:-1] | (position_T[1:] != position_T[:-1] + 1))
    begins_T[:1] |= sampled_T[:1]
    return index_T - np.maximum.accumulate(np.where(begins_T, index_T, 0))
