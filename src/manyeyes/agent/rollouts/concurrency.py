"""How many attempts may run at once, and how fast they start: pure state machines, without a clock of their own.

    AdaptiveCap    grows by `step` while the engine keeps up, shrinks by `shrink` when it queues, preempts or slows down
    Burst          `rate` starts a tick; an attempt that ended by itself gives its start to the next one at once

A cap that is fixed is always wrong for agents, whose load changes with what they do; and a wall of starts is a wall of
prefills.

Report: App. D (as many tasks at once as the engines take); the rules follow prime-rl (facts: 2.1).
"""

from dataclasses import dataclass
from typing import NamedTuple

from manyeyes.core.errors import ConfigError


class EngineSample(NamedTuple):
    """What the engines say about themselves, since the last sample.

    Attributes:
        running, queued: requests now.
        preempted: requests that lost their place in the cache.
        refused: requests that were told to come again.
        latency: seconds a token, or any other figure that grows when they are overloaded; 0 where nobody knows.
    """

    running: int = 0
    queued: int = 0
    preempted: int = 0
    refused: int = 0
    latency: float = 0.0


@dataclass
class AdaptiveCap:
    """Additive increase, multiplicative decrease.

    Attributes:
        floor, ceiling: the cap stays within.
        cap: attempts that may run now.
        step: more at each sample without an objection, where the cap is what holds attempts back.
        shrink: what is left of the cap after an objection.
        queue_share: queued requests for each running one that are an objection.
        slower: times the best latency that is an objection.
        patience: samples after a decrease before the next one, for the last one to show.

    Example:
        >>> cap = AdaptiveCap(floor=8, ceiling=64, cap=32)
        >>> cap.take(EngineSample(running=30, queued=30), running=32)
        >>> cap.cap
        25
    """

    floor: int = 16
    ceiling: int = 1 << 20
    cap: int = 1024
    step: int = 32
    shrink: float = 0.8
    queue_share: float = 0.25
    slower: float = 3.0
    patience: int = 3
    best: float = 0.0
    _rest: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.floor <= self.cap <= self.ceiling or not 0.0 < self.shrink < 1.0 or self.step < 1:
            raise ConfigError(
                f"expected 1 <= floor <= cap <= ceiling, 0 < shrink < 1 and step >= 1, got floor {self.floor}, "
                f"cap {self.cap}, ceiling {self.ceiling}, shrink {self.shrink}, step {self.step}"
            )

    def take(self, sample: EngineSample, *, running: int) -> None:
        """Adapt to a sample.

        Args:
            running: attempts now.
        """
        objects = self._objects(sample)
        if sample.latency > 0.0:
            self.best = min(self.best or sample.latency, sample.latency)
        self._rest = max(0, self._rest - 1)
        if objects and not self._rest:
            self.cap = max(self.floor, int(min(self.cap, max(running, self.floor)) * self.shrink))
            self._rest = self.patience
        elif not objects and running >= 0.9 * self.cap:
            self.cap = min(self.ceiling, self.cap + self.step)

    def _objects(self, sample: EngineSample) -> bool:
        slow = self.best > 0.0 and sample.latency > self.slower * self.best
        queue = sample.queued > self.queue_share * max(1, sample.running)
        return bool(sample.preempted or sample.refused or queue or slow)


@dataclass
class Burst:
    """Starts that are allowed.

    Attributes:
        rate: that each tick adds.
        most: that may be saved up.

    Example:
        >>> burst = Burst(rate=2)
        >>> burst.tick()
        >>> [burst.take() for _ in range(3)]
        [True, True, False]
    """

    rate: int
    most: int = 0
    left: int = 0

    def __post_init__(self) -> None:
        if self.rate < 1:
            raise ConfigError(f"at least one attempt must start a tick, got {self.rate}")
        self.most = max(self.most, self.rate)

    def tick(self) -> None:
        """Time passes."""
        self.left = min(self.most, self.left + self.rate)

    def take(self) -> bool:
        """Whether one more may start; counts it when it may."""
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def refund(self) -> None:
        """An attempt ended by itself: the engines have room that they had before."""
        self.left = min(self.most, self.left + 1)
