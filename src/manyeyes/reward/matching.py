"""The best one-to-one matching of predictions and truths, and the F1 that follows from it.

    tp = max over matchings of Σ similarity        F1 = 2·tp / (P + G)

Where the best partner of every prediction (or of every truth) is another one, these pairs are the best matching: no
matching can have more than the best of each. That settles most answers without an assignment problem; the others go to
scipy's solver.

Report: §4.4.2 (soft matches, optimal matching). Shapes: P predicted, G true.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from manyeyes.core.coordinates import Floats

Rows = Sequence[Sequence[float]]


class Match(NamedTuple):
    """One pair of a matching."""

    predicted: int
    true: int
    score: float


def soft_f1(similarity_PG: Floats, *, invalid: int = 0) -> float:
    """F1 with soft true positives: tp = Σ over the best matching, 2·tp / (P + G); nothing against nothing is 1.

    Args:
        similarity_PG: from 0 to 1 for every pair.
        invalid: predictions beyond P that match nothing.
    """
    n_predicted, n_true = similarity_PG.shape
    return f1(sum(match.score for match in best_matching(similarity_PG)), n_predicted + invalid, n_true)


def f1(hits: float, n_predicted: int, n_true: int) -> float:
    """2·hits / (P + G), at most 1; nothing against nothing is 1.

    Example:
        >>> f1(1.5, 2, 2), f1(0, 0, 0), f1(0, 3, 0)
        (0.75, 1.0, 0.0)
    """
    shapes = n_predicted + n_true
    return min(1.0, 2 * hits / shapes) if shapes else 1.0


def best_matching(similarity_PG: Floats) -> list[Match]:
    """The one-to-one matching with the greatest sum, in order of the predictions."""
    rows, columns = linear_sum_assignment(similarity_PG, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [Match(row, column, float(similarity_PG[row, column])) for row, column in pairs]


def best_sum(similarity: Rows) -> float:
    """The sum of the best matching of a small table, given as rows of numbers from 0 on.

    Example:
        >>> best_sum([[0.9, 0.6], [0.8, 0.0]])
        1.4
    """
    if not similarity or not similarity[0]:
        return 0.0
    turned = len(similarity) > len(similarity[0])
    bound = _sum_of_best(list(zip(*similarity, strict=True)) if turned else similarity)
    return _solved(similarity) if bound is None else bound


def _sum_of_best(rows: Rows) -> float | None:
    """The sum of the best of each row, where these stand in different columns or are worth nothing; else None."""
    total, taken = 0.0, set()
    for row in rows:
        best = max(row)
        if best > 0:
            column = row.index(best)
            if column in taken:
                return None
            taken.add(column)
            total += best
    return total


def _solved(similarity: ArrayLike) -> float:
    table_PG = np.asarray(similarity, float)
    rows, columns = linear_sum_assignment(table_PG, maximize=True)
    return float(table_PG[rows, columns].sum())
