"""`CreationRate`: how fast instances may be made, and how long to wait after one that could not be.

    allowance      grows by `per_second`, up to one second's worth; each creation takes one
    n failures     in a row: the next creation waits ½ · 2ⁿ⁻¹ s, 30 s at most

A pure state machine: the caller brings the time.

Report: App. D (a managed pool of environment instances).
"""

from math import inf

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds after failures: those of a service that is down for a moment, and for long."""


class CreationRate:
    """See the module.

    Example:
        >>> rate = CreationRate(2.0)
        >>> [rate.wait(0.0), rate.wait(0.0), rate.wait(0.0), rate.wait(0.5)]
        [0.0, 0.0, 0.5, 0.0]
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._most = max(1.0, per_second)
        self._allowed, self._at = self._most, -inf
        self._failures, self._not_before = 0, -inf

    def wait(self, now: float) -> float:
        """Take one creation and return 0, or how long it is until one may be taken."""
        if now < self._not_before:
            return self._not_before - now
        if self.per_second == inf:
            return 0.0
        self._allowed = min(self._most, self._allowed + (now - self._at) * self.per_second)
        self._at = now
        if self._allowed < 1.0 - 1e-9:
            return (1.0 - self._allowed) / self.per_second
        self._allowed -= 1.0
        return 0.0

    def failed(self, now: float) -> None:
        """One could not be opened; several that began before the same pause count as one."""
        if now < self._not_before:
            return
        self._not_before = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)

    def worked(self) -> None:
        """One was opened."""
        self._failures, self._not_before = 0, -inf
