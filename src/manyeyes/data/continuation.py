"""Samples of a row that continue an earlier one of it: they see all of that one, and their positions go on from there.

    beginning | branch | branch        continues:  -1 ... | 0 ... | 0 ...

One step only: what is continued continues nothing itself.

Shapes: B rows, T tokens of a row, S samples of a row. Report: none (engineering).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import DataError


def continues_of(continued: Sequence[int], lengths_S: NDArray[np.int64], row_length: int) -> NDArray[np.int32] | None:
    """int32 [T], the number of the sample that a token's own continues; None where none does.

    Args:
        continued: for each sample, -1 for none; nothing where none does.

    Raises:
        DataError: a sample continues what it cannot.

    Example:
        >>> continues_of((-1, 0), np.array([2, 1]), 4).tolist()
        [-1, -1, 0, -1]
    """
    if continued and (len(continued) != len(lengths_S) or not _can_continue(continued, lengths_S)):
        raise DataError(
            "a sample continues nothing (-1), or an earlier one of its row that is not empty and continues nothing "
            f"itself; got {list(continued)} for samples of {lengths_S.tolist()} tokens"
        )
    if not any(one >= 0 for one in continued):
        return None
    told = np.repeat(np.array(continued, np.int32), lengths_S)
    return np.concatenate([told, np.full(row_length - len(told), -1, np.int32)])


def stacked(rows: Sequence[NDArray[np.int32] | None], row_length: int) -> NDArray[np.int32] | None:
    """Those of rows on top of each other."""
    if all(row is None for row in rows):
        return None
    return np.stack([np.full(row_length, -1, np.int32) if row is None else row for row in rows])


def seen_tokens(segments_BT: NDArray[np.int32], continues_BT: NDArray[np.int32] | None) -> int:
    """Tokens of all samples as if each were whole: what is continued counts with each that continues it.

    Example:
        >>> seen_tokens(np.array([[0, 0, 0, 1, 2, 2, -1]]), np.array([[-1, -1, -1, 0, 0, 0, -1]]))
        9
    """
    if continues_BT is None:
        return int(np.count_nonzero(segments_BT >= 0))
    return sum(_seen(*row) for row in zip(segments_BT, continues_BT, strict=True))


def _seen(segments_T: NDArray[np.int32], continues_T: NDArray[np.int32]) -> int:
    inside_T = segments_T >= 0
    numbers_S, first_S, length_S = np.unique(segments_T[inside_T], return_index=True, return_counts=True)
    length_of = dict(zip(numbers_S.tolist(), length_S.tolist(), strict=True))
    earlier = [one for one in continues_T[inside_T][first_S].tolist() if one >= 0]
    return (
        sum(length_of.values()) + sum(length_of[one] for one in earlier) - sum(length_of[one] for one in set(earlier))
    )


def _can_continue(continued: Sequence[int], lengths_S: NDArray[np.int64]) -> bool:
    return all(
        one == -1 or (0 <= one < place and continued[one] == -1 and lengths_S[one] > 0)
        for place, one in enumerate(continued)
    )
