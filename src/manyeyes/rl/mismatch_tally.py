"""`Tally`: how far the trainer's probabilities of some sampled tokens are from the sampler's, as sums that add up.

    l = log pi_trainer - log pi_sampled,  rho = exp(l)
    k1 = -l,   k2 = l^2 / 2,   k3 = rho - 1 - l        each a mean over tokens: estimators of KL(sampler || trainer)

k1 is unbiased and noisy, k2 biased and steady, k3 unbiased and never negative (Schulman, 2020).

Report: §4.4.2 (training and inference engines that disagree). Shapes: T tokens.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from manyeyes.rl.band import EQ_1, Band
from manyeyes.rl.exact_sum import UNIT, exact_sum

FARTHEST = 20.0
"""A log-ratio counts as no farther than this from 0, so that one token in a million does not drown the rest."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over some tokens. Those with a name of their own are counts, the others are in units of `exact_sum`.

    Attributes:
        tokens: how many.
        masked: of them, outside the band.
        beyond: of them, farther than `FARTHEST` (or infinitely) from 0, and counted as that far.
        signed, absolute, squared, k3: sums of l, |l|, l^2 and rho - 1 - l.

    Example:
        >>> one, other = tally(np.array([0.0, 1.0])), tally(np.array([-1.0]))
        >>> (one + other).tokens, (one + other).mean_absolute, one.kl_k1, one.masked_share
        (3, 0.6666666666666666, -0.5, 0.5)
    """

    tokens: int = 0
    masked: int = 0
    beyond: int = 0
    signed: int = 0
    absolute: int = 0
    squared: int = 0
    k3: int = 0

    def __add__(self, other: Self) -> "Tally":
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def kl_k1(self) -> float:
        """Mean of -l; NaN without tokens, as all means here."""
        return -self._mean(self.signed)

    @property
    def kl_k2(self) -> float:
        """Mean of l^2 / 2."""
        return self._mean(self.squared) / 2

    @property
    def kl_k3(self) -> float:
        """Mean of rho - 1 - l."""
        return self._mean(self.k3)

    @property
    def mean_absolute(self) -> float:
        """Mean |l|."""
        return self._mean(self.absolute)

    @property
    def mean_ratio(self) -> float:
        """Mean rho; 1 in expectation, whatever the mismatch."""
        return 1.0 + self._mean(self.k3 + self.signed)

    @property
    def masked_share(self) -> float:
        """Of tokens, outside the band: 0 to 1."""
        return self.masked / self.tokens if self.tokens else float("nan")

    @property
    def figures(self) -> dict[str, float]:
        """For logs; empty without tokens."""
        if not self.tokens:
            return {}
        names = ("kl_k1", "kl_k2", "kl_k3", "mean_absolute", "mean_ratio", "masked_share")
        counts: dict[str, float] = {"tokens": self.tokens, "beyond": self.beyond}
        return counts | {name: getattr(self, name) for name in names}

    def _mean(self, total: int) -> float:
        return total / (self.tokens * UNIT) if self.tokens else float("nan")


def tally(log_ratio_T: NDArray[np.float64], band: Band = EQ_1) -> Tally:
    """Sums over tokens; no NaN."""
    near_T = np.clip(log_ratio_T, -FARTHEST, FARTHEST)
    return Tally(
        tokens=len(log_ratio_T),
        masked=int(np.count_nonzero(~band.holds(log_ratio_T))),
        beyond=int(np.count_nonzero(near_T != log_ratio_T)),
        signed=exact_sum(near_T),
        absolute=exact_sum(np.abs(near_T)),
        squared=exact_sum(near_T * near_T),
        k3=exact_sum(np.expm1(near_T) - near_T),
    )


def tallies(log_ratio_T: NDArray[np.float64], bucket_T: NDArray[np.int64], count: int, band: Band) -> tuple[Tally, ...]:
    """One tally for each bucket 0..count-1."""
    return tuple(tally(log_ratio_T[bucket_T == bucket], band) for bucket in range(count))
