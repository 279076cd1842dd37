"""`Band`: which tokens Eq. 1 learns from, by how far the trainer's probability has moved from the sampler's.

    l = log pi_theta(token) - log pi_old(token);   a token is inside when  low <= l <= high

The report prints the ratio between alpha and beta > 0 in the formula and speaks of the log-ratio in the text. The
default is alpha <= ratio <= beta with alpha = 0.5 and beta = 2 (that is -0.69 <= l <= 0.69), near what others use for
token masks (0.5 and 2 to 5); with `measures="log_ratio"` alpha and beta bound the log-ratio itself.

Report: §4.4.2, Eq. 1.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Band:
    """Bounds of the log-ratio.

    Attributes:
        alpha, beta: the report's; both above 0.
        measures: "ratio": alpha <= ratio <= beta; "log_ratio": -alpha <= log-ratio <= beta.
        outside: value of what lies outside: "zero" (the token is masked), or "clip" (the bound, a constant). The
            gradient is 0 either way.

    Raises:
        ConfigError: bounds between which even a ratio of 1 does not lie.

    Example:
        >>> Band().low == -Band().high == -math.log(2.0), Band(measures="log_ratio").low
        (True, -0.5)
    """

    alpha: float = 0.5
    beta: float = 2.0
    measures: Literal["ratio", "log_ratio"] = "ratio"
    outside: Literal["zero", "clip"] = "zero"

    def __post_init__(self) -> None:
        if not (0.0 < self.alpha < math.inf and 0.0 < self.beta < math.inf):
            raise ConfigError(f"alpha and beta must be finite and above 0, got {self.alpha} and {self.beta}")
        if self.measures == "ratio" and not self.alpha <= 1.0 <= self.beta:
            raise ConfigError(
                f"a band of ratios must hold 1 (alpha <= 1 <= beta), got {self.alpha} to {self.beta}; bounds of the "
                "log-ratio need measures='log_ratio'"
            )

    @property
    def low(self) -> float:
        """Least log-ratio inside."""
        return math.log(self.alpha) if self.measures == "ratio" else -self.alpha

    @property
    def high(self) -> float:
        """Largest log-ratio inside."""
        return math.log(self.beta) if self.measures == "ratio" else self.beta

    def holds(self, log_ratio_T: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which tokens lie inside; NaN does not."""
        return (log_ratio_T >= self.low) & (log_ratio_T <= self.high)


EQ_1 = Band()
"""The band that is used where nobody says another."""
