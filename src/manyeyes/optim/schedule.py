"""Learning rates over a stage: warm-up, stable, decay (WSD), and warm-up with one cosine. Pure functions, no torch.

    rate(s) = peak · warm(s) · fall(s),   warm = min(1, (s + 1) / warmup),   fall from 1 at the decay's start to `end`

WSD decays over a share of the stage at its end; the cosine over all of it that the warm-up leaves.

`s` counts finished updates, so the first update already moves (s = 0), and `end` is reached behind the last one
(s = steps): no update is wasted on a rate of 0.

Report: §4.1; Kimi K2 report: 500 steps of warm-up, constant 2e-4 for 10T tokens, cosine to 2e-5 over 5.5T.
"""

from dataclasses import dataclass
from math import cos, isfinite, pi, sqrt
from typing import Literal, get_args

from manyeyes.core.errors import ConfigError

Kind = Literal["wsd", "cosine"]
Shape = Literal["linear", "sqrt", "cosine"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate of a stage, whatever its number of steps.

    Attributes:
        peak: the rate between warm-up and decay.
        warmup: updates of linear warm-up.
        decay: share of the stage's steps that decay, at its end: 0 never decays, 1 decays from the first step on. Only
            of kind "wsd".
        shape: how it decays; "sqrt" is 1 - sqrt(t), steep first. Only of kind "wsd".
        end: the last rate, as a share of the peak.
        kind: "wsd" (warm-up, stable, decay), or "cosine": one half wave over every step behind the warm-up, whatever
            `decay` and `shape` say.

    Example:
        >>> [round(Schedule(peak=1.0, warmup=2, decay=0.5).at(step, 8), 2) for step in range(9)]
        [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
        >>> [round(Schedule(peak=1.0, warmup=2, kind="cosine").at(step, 8), 2) for step in range(9)]
        [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07, 0.0]
    """

    peak: float
    warmup: int = 0
    decay: float = 0.2
    shape: Shape = "linear"
    end: float = 0.0
    kind: Kind = "wsd"

    def __post_init__(self) -> None:
        if not (isfinite(self.peak) and self.peak >= 0):
            raise ConfigError(f"Schedule: peak must be a rate of 0 or more, got {self.peak}")
        if self.warmup < 0:
            raise ConfigError(f"Schedule: warmup must be 0 or more updates, got {self.warmup}")
        if not (0 <= self.decay <= 1 and 0 <= self.end <= 1):
            raise ConfigError(f"Schedule: decay and end are shares from 0 to 1, got {self.decay} and {self.end}")
        if self.shape not in _FALLS:
            raise ConfigError(f"Schedule: shape must be one of {', '.join(_FALLS)}, got {self.shape!r}")
        if self.kind not in get_args(Kind):
            raise ConfigError(f"Schedule: kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")

    def at(self, step: float, steps: int) -> float:
        """The rate of the update that follows `step` finished ones, in a stage of `steps`."""
        if self.kind == "cosine":
            return cosine(step, steps, peak=self.peak, warmup=self.warmup, end=self.end)
        return wsd(
            step, steps, peak=self.peak, warmup=self.warmup, decay=self.decay * steps, shape=self.shape, end=self.end
        )


def wsd(
    step: float,
    steps: int,
    *,
    peak: float,
    warmup: float = 0,
    decay: float = 0,
    shape: Shape = "linear",
    end: float = 0.0,
) -> float:
    """Warm-up over `warmup` updates, then `peak`, then over the last `decay` updates down to `end * peak`."""
    t = min(1.0, max(0.0, 1.0 - (steps - step) / decay)) if decay else 0.0
    return peak * _warm(step, warmup) * (end + (1.0 - end) * _FALLS[shape](t))


def cosine(step: float, steps: int, *, peak: float, warmup: float = 0, end: float = 0.0) -> float:
    """Warm-up over `warmup` updates, then one half wave of a cosine down to `end * peak` at `steps`."""
    return wsd(step, steps, peak=peak, warmup=warmup, decay=max(0.0, steps - warmup), shape="cosine", end=end)


def _warm(step: float, warmup: float) -> float:
    return min(1.0, (step + 1.0) / warmup) if warmup else 1.0


_FALLS = {
    "linear": lambda t: 1.0 - t,
    "sqrt": lambda t: 1.0 - sqrt(t),
    "cosine": lambda t: 0.5 * (1.0 + cos(pi * t)),
}
