"""`Ticker`: turns the deadline wheel by the event loop's clock with one timer, and knows how late the loop is.

Time stands still while a run is suspended. A tick that comes very late means that the loop was held up: nothing expires
then before everybody who was waiting had a chance to hear what had arrived in the meantime.

Report: App. D.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf

from manyeyes.agent.clock import StopClock
from manyeyes.agent.rollouts.deadline_wheel import NEVER, DeadlineWheel
from manyeyes.agent.rollouts.snapshot import LoopLag

TICK = 0.05
"""Seconds."""
RATE = 20
"""Ticks a second."""
HELD_UP = 5 * TICK
"""Seconds of lateness from which on the loop was held up."""
KEPT = RATE
"""Samples of lateness: one second."""


class Ticker:
    """Calls `on_tick` `RATE` times a second, with deadlines expired first. Belongs to one event loop.

    Attributes:
        wheel: whose ticks are those of `clock`.
        clock: the loop's seconds, without those for which the run was suspended.
    """

    def __init__(self, wheel: DeadlineWheel, *, on_tick: Callable[[], None]) -> None:
        self.wheel, self._on_tick = wheel, on_tick
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + TICK
        self.clock = StopClock(self._loop.time)
        wheel.now = int(self.clock() * RATE)
        self._lateness: deque[float] = deque(maxlen=KEPT)
        self._held_up = False
        self._timer: asyncio.TimerHandle | None = self._loop.call_at(self._due, self._tick)

    def loop_time(self) -> float:
        """Of the event loop, suspensions included."""
        return self._loop.time()

    @property
    def lag(self) -> LoopLag:
        """How late the last ticks were."""
        late = sorted(self._lateness)
        if not late:
            return LoopLag()
        return LoopLag(late[len(late) // 2], late[(len(late) * 99) // 100], late[-1])

    def close(self) -> None:
        """No more ticks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = self._loop.time()
        late = now - self._due
        self._lateness.append(late)
        self._due = max(self._due + TICK, now)
        self._timer = self._loop.call_at(self._due, self._tick)
        if self._held_up or late < HELD_UP:
            self._held_up = False
            self._expire()
        else:
            self._held_up = True
        self._on_tick()

    def _expire(self) -> None:
        if self.clock.stands:
            return
        for deadline in self.wheel.advance(int(self.clock() * RATE)):
            try:
                deadline.expire()
            except Exception as error:  # a boundary: a mistake about one deadline must not lose the others
                told = {"message": f"{deadline!r} expired, and that failed", "exception": error}
                self._loop.call_exception_handler(told)


def ticks(seconds: float) -> int:
    """Of a time limit, at least one; `NEVER` for an infinite one.

    Example:
        >>> ticks(0.01), ticks(2.0)
        (1, 40)
    """
    return NEVER if seconds == inf else max(1, round(seconds * RATE))
