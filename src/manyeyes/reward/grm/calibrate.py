"""Calibrating a `GenerativeReward`: grade works whose worth is known, and fit the mapping to it.

    found = await calibrated(grm, works, worth)        → GenerativeReward with the fitted mapping, and how far it is off

Each work is its own group, so that all rubrics take part. Works without a score are left out and counted; what rules
verified is left out too, for the mapping is of the grader's scores alone. The error is measured on works that the fit
did not see (every fifth, in turn), for a fit is always good on its own set.

Report: §4.4.2 (fine-grained evaluators); the method is an open choice here.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from manyeyes.core.errors import DataError
from manyeyes.reward.grm.calibration import Calibration, isotonic
from manyeyes.reward.grm.generative_reward import GenerativeReward
from manyeyes.reward.grm.question import Work

FOLDS = 5
FEWEST = 2 * FOLDS


class Calibrated(NamedTuple):
    """A mapping and how good it is.

    Attributes:
        calibration: fitted to all works that have a score.
        before, after: root mean squared error of raw and of calibrated scores, on works the fit did not see.
        works: that were used.
        missing: that got no score.
    """

    calibration: Calibration
    before: float
    after: float
    works: int
    missing: int


async def calibrated(
    grm: GenerativeReward,
    works: Sequence[Work],
    worth: Sequence[float],
    *,
    fit: Callable[[Sequence[float], Sequence[float]], Calibration] = isotonic,
    name: str = "calibration",
) -> Calibrated:
    """Fit scores to what works are known to be worth.

    Args:
        worth: of each work, 0 to 1, by people or by a verifier.
        fit: `isotonic`, or `linear` for fewer than some thirty works.

    Raises:
        DataError: fewer than ten works got a score, or the fit refuses them.
    """
    plain = [replace(work, verified=None) for work in works]
    graded = await asyncio.gather(*(grm.score(work, name=f"{name}/{at}") for at, work in enumerate(plain)))
    pairs = [(one.raw, true) for one, true in zip(graded, worth, strict=True) if one.raw is not None]
    if len(pairs) < FEWEST:
        raise DataError(f"calibration needs scores of {FEWEST} works or more, got {len(pairs)} of {len(works)}")
    raw, true = (list(column) for column in zip(*pairs, strict=True))
    after = _unseen_error(raw, true, fit)
    return Calibrated(fit(raw, true), Calibration().error(raw, true), after, len(pairs), len(works) - len(pairs))


def _unseen_error(
    raw: Sequence[float], true: Sequence[float], fit: Callable[[Sequence[float], Sequence[float]], Calibration]
) -> float:
    squared = 0.0
    for fold in range(FOLDS):
        seen = [at for at in range(len(raw)) if at % FOLDS != fold]
        found = fit([raw[at] for at in seen], [true[at] for at in seen])
        squared += sum((found(raw[at]) - true[at]) ** 2 for at in range(fold, len(raw), FOLDS))
    return float(np.sqrt(squared / len(raw)))
