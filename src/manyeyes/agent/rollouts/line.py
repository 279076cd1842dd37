"""`Line`: the waits of one task, one inside the other, each with a deadline, at the cost of a few attributes a wait.

    outer = line.enter("model", ticks)
    try:      await …
    except CancelledError:      if line.overdue(outer): …it was this wait that took too long
    finally:  line.leave(outer)

As `asyncio.timeout`, but without a timer and an object for each wait. A wait ends no later than those around it. The
wait that ran out hears of it; one whose limit is that of a wait around it leaves that to the outermost of them. A task
that does not end although it was cancelled is *hung*, and its attempt goes on without it.

Report: App. D (a deadline on every wait).
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from manyeyes.agent.rollouts.deadline_wheel import NEVER, Deadline, DeadlineWheel
from manyeyes.agent.rollouts.hang_report import awaiting
from manyeyes.agent.rollouts.stats import RolloutStats
from manyeyes.agent.rollouts.ticker import RATE

GRACE = 5 * RATE
"""Ticks after its cancellation at which a task that still runs is hung."""
CALLED_OFF = -1
"""What has fired when somebody cancelled the task: no limit of a wait."""


class Timekeeping(NamedTuple):
    """What all lines of a run share."""

    wheel: DeadlineWheel
    clock: Callable[[], float]
    stats: RolloutStats


Outer = tuple[str, int, int, int]
"""What a wait found when it began: kind, limit, what had fired, cancellations."""


class Line(Deadline):
    """See the module.

    Args:
        hung: called when the task does not end although it was cancelled.

    Attributes:
        task: whose waits these are; None once it is over.
        kind: what is being waited for; "" for nothing.
        limit: tick at which that takes too long.
        since: when it began, by the clock.
        frames: where the last wait that took too long was.
    """

    __slots__ = ("_cancels", "_hung", "_times", "fired", "frames", "kind", "limit", "since", "task")

    def __init__(
        self, times: Timekeeping, task: "asyncio.Task[Any]", *, limit: int, hung: "Callable[[Line], None]"
    ) -> None:
        self.due = self.filed = NEVER
        self._cancels = 0
        self._times, self._hung = times, hung
        self.task: asyncio.Task[Any] | None = task
        self.kind, self.limit, self.since, self.fired, self.frames = "", limit, times.clock(), 0, ""
        times.wheel.arm(self, limit)

    def enter(self, kind: str, ticks: int) -> Outer:
        """A wait begins; returns what `overdue` and `leave` want to be given."""
        return self._enter(kind, self.limit, ticks)

    def enter_free(self, kind: str, limit: int) -> Outer:
        """A wait that does not count for the one around it, such as for a sub-agent from within a tool."""
        return self._enter(kind, limit, NEVER)

    def _enter(self, kind: str, limit: int, ticks: int) -> Outer:
        wheel, clock, stats = self._times
        now = clock()
        if self.kind:
            stats.spent[self.kind] += now - self.since
            stats.waiting[self.kind] -= 1
        outer = (self.kind, self.limit, self.fired, self.task.cancelling() if self.task is not None else 0)
        mine = int(now * RATE) + 1 + ticks
        self.kind, self.since, self.fired = kind, now, 0
        self.limit = limit = mine if mine < limit else limit
        wheel.arm(self, limit)
        stats.waiting[kind] += 1
        return outer

    def overdue(self, outer: Outer) -> bool:
        """Whether the cancellation that has come is this wait's own; it is taken back then."""
        if not self._is_mine(outer):
            return False
        self.fired = 0
        return self._taken_back() <= outer[3]

    def leave(self, outer: Outer, *, free: bool = False) -> None:
        """The wait is over, however.

        Args:
            free: it began with `enter_free`.
        """
        wheel, clock, stats = self._times
        now = clock()
        stats.spent[self.kind] += now - self.since
        stats.waiting[self.kind] -= 1
        if self.fired and not free and self._is_mine(outer) and self.task is not None:
            self.fired = 0  # it ended all the same
            self._taken_back()
        kind, limit, fired, _ = outer
        if free and kind and limit < NEVER:
            limit = min(limit + int((now - self.since) * RATE), self.limit)
        if kind:
            stats.waiting[kind] += 1
        self.kind, self.limit, self.since, self.fired = kind, limit, now, self.fired or fired
        if not self.fired:
            wheel.arm(self, limit)

    def timed_out(self, cancelling: int) -> bool:
        """Whether the cancellation that has reached the outermost level is that of its limit; taken back then.

        Args:
            cancelling: `task.cancelling()` when the line was made.
        """
        if self.task is None or self.fired != self.limit:
            return False
        while self._cancels > 1:  # those that were swallowed on the way
            self._taken_back()
        return self._taken_back() <= cancelling

    def _taken_back(self) -> int:
        """Take a cancellation of ours back; returns how many of others are left."""
        if self.task is None or not self._cancels:
            return 0
        self._cancels -= 1
        return self.task.uncancel()

    def _is_mine(self, outer: Outer) -> bool:
        return self.fired != 0 and self.fired == self.limit != outer[1]

    @property
    def seconds(self) -> float:
        """How long the wait has taken so far."""
        return self._times.clock() - self.since

    def expire(self) -> None:
        """The wait took too long: cancel it; when it did not end then, either, it is hung."""
        if self.task is None or self.task.done():
            return
        if self.fired:
            self._hung(self)
            return
        frames = awaiting(self.task)
        self.frames, self.fired = (frames[-1] if frames else ""), self.limit
        self.task.cancel()
        self._cancels += 1
        self.watch()

    def watch(self) -> None:
        """The task was cancelled: it is hung when it has not ended in time."""
        self.fired = self.fired or CALLED_OFF
        self._times.wheel.arm(self, self._times.wheel.now + GRACE)

    def abandon(self) -> None:
        """The task is left to itself: what it waits for does not count any more, however long it goes on."""
        aside = RolloutStats()
        if self.kind:
            self._times.stats.waiting[self.kind] -= 1
            aside.waiting[self.kind] += 1
        self._times = self._times._replace(stats=aside)

    def close(self) -> None:
        """The task needs no deadlines any more."""
        self.task, self.due = None, NEVER
        self._hung = _nobody


def _nobody(line: Line) -> None:
    """Whose line it was has ended."""
