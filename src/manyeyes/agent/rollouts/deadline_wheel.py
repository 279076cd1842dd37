"""`DeadlineWheel`: any number of deadlines at O(1) each, however often they are moved; time is counted in ticks.

    arm(deadline, due)     most often one comparison: a deadline that is moved further away stays where it is filed
    advance(now)           looks at what is filed under the ticks that have passed: due → expired, moved → filed anew

A wait of an attempt arms a deadline and moves it back when it is over, four times a turn: that must cost no heap and no
timer of the event loop. Nothing is filed further away than `HORIZON`, so that what nobody needs any more is let go of
soon.

Report: App. D (100,000 tasks at once); Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987.
"""

HORIZON = 400
"""Ticks: 20 s at 50 ms."""
NEVER = 1 << 60
"""The tick that does not come."""


class Deadline:
    """Something that is to happen at a tick; subclasses say what.

    Attributes:
        due: the tick; `NEVER` while it is not armed.
        filed: the tick under which the wheel will look at it next; `NEVER` for none.
    """

    __slots__ = ("due", "filed")

    def __init__(self) -> None:
        self.due = self.filed = NEVER

    def expire(self) -> None:
        """Its tick has come."""


class DeadlineWheel:
    """Deadlines by tick.

    Attributes:
        now: the tick up to which everything has been looked at.

    Example:
        >>> wheel, one = DeadlineWheel(), Deadline()
        >>> wheel.arm(one, 3)
        >>> wheel.arm(one, 5)
        >>> wheel.advance(4), wheel.advance(5) == [one]
        ([], True)
    """

    __slots__ = ("_buckets", "now")

    def __init__(self) -> None:
        self.now = 0
        self._buckets: dict[int, list[Deadline]] = {}

    def __len__(self) -> int:
        """Entries that are filed, those that nobody needs any more included."""
        return sum(map(len, self._buckets.values()))

    def arm(self, deadline: Deadline, due: int) -> None:
        """Let it expire at a tick, instead of any that was said before; at the next one when that has passed."""
        deadline.due = due
        if due < deadline.filed:
            self._file(deadline)

    def disarm(self, deadline: Deadline) -> None:
        """It does not expire."""
        deadline.due = NEVER

    def advance(self, now: int) -> list[Deadline]:
        """Let time pass; returns what has expired, disarmed, earlier ticks first."""
        expired: list[Deadline] = []
        while self.now < now:
            if not self._buckets:
                self.now = now
                break
            self.now = self.now + 1 if now - self.now <= len(self._buckets) else min(now, *self._buckets)
            for deadline in self._buckets.pop(self.now, ()):
                if deadline.filed == self.now:
                    self._look_at(deadline, expired)
        return expired

    def _look_at(self, deadline: Deadline, expired: list[Deadline]) -> None:
        deadline.filed = NEVER
        if deadline.due <= self.now:
            deadline.due = NEVER
            expired.append(deadline)
        elif deadline.due < NEVER:
            self._file(deadline)

    def _file(self, deadline: Deadline) -> None:
        """Under its tick, or as far away as anything is filed."""
        deadline.filed = tick = max(self.now + 1, min(deadline.due, self.now + HORIZON))
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = [deadline]
        else:
            bucket.append(deadline)
