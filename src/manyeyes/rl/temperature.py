"""The temperature of rollouts over a run: high first, to explore, then decaying. A pure function of the step.

    T(s) = start + (end - start) * t,    t from 0 to 1 over `steps`, linear or half a cosine, held for `hold` steps each

What tokens were sampled at is what their log-probabilities are of, in the engine and in the trainer: each turn is
recorded with its own (`drawn_from`), so that steps may share rollouts, and `RlStep` logs the mean. An attempt keeps the
temperature that it began with.

Report: §4.4.2 builds on Kimi K2 (arXiv 2507.20534, §3.2.3, temperature decay; no values published).
"""

from dataclasses import dataclass
from math import cos, inf, pi
from typing import Literal

from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TemperatureSchedule:
    """See the module.

    Attributes:
        start, end: temperatures.
        steps: optimiser steps from one to the other; `end` holds afterwards.
        shape: of the way.
        hold: steps that a temperature is kept for.

    Example:
        >>> [round(TemperatureSchedule(1.2, 0.8, steps=4, hold=2).at(step), 2) for step in range(6)]
        [1.2, 1.2, 1.0, 1.0, 0.8, 0.8]
    """

    start: float = 1.0
    end: float = 1.0
    steps: int = 1
    shape: Literal["linear", "cosine"] = "linear"
    hold: int = 1

    def __post_init__(self) -> None:
        if not (0.0 < self.start < inf and 0.0 < self.end < inf):
            raise ConfigError(f"temperatures must be above 0 and finite, got {self.start} and {self.end}")
        if self.steps < 1 or self.hold < 1:
            raise ConfigError(f"steps and hold must be at least 1, got {self.steps} and {self.hold}")

    def at(self, step: int) -> float:
        """The temperature of rollouts that are sent out after `step` finished updates."""
        t = min(1.0, step // self.hold * self.hold / self.steps)
        passed = t if self.shape == "linear" else 0.5 * (1.0 - cos(pi * t))
        return self.start + (self.end - self.start) * passed
