"""`StopClock`: the time that a run has for its work; it stands still while the run is paused.

Report: App. D.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf


class StopClock:
    """Seconds of another clock, less those at which this one stood.

    Example:
        >>> now = [5.0]
        >>> clock = StopClock(lambda: now[0])
        >>> clock.stop()
        >>> now[0] = 65.0
        >>> clock.go_on()
        >>> clock()
        5.0
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._stood = clock, 0.0
        self._stopped_at: float | None = None
        self._followers: dict[Callable[[], None], None] = {}

    def __call__(self) -> float:
        """The time."""
        return (self._clock() if self._stopped_at is None else self._stopped_at) - self._stood

    @property
    def stands(self) -> bool:
        """Whether no time passes."""
        return self._stopped_at is not None

    def stop(self) -> None:
        """Stand still."""
        if self._stopped_at is None:
            self._stopped_at = self._clock()
            self._tell()

    def go_on(self) -> None:
        """Run again, from where it stood."""
        if self._stopped_at is not None:
            self._stood += self._clock() - self._stopped_at
            self._stopped_at = None
            self._tell()

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """As `asyncio.timeout`, by this clock; `inf` for no limit."""
        end, loop = self() + seconds, asyncio.get_running_loop()
        async with asyncio.timeout(None) as deadline:

            def follow() -> None:
                if not deadline.expired():
                    left = max(0.0, end - self())
                    deadline.reschedule(None if self.stands or left == inf else loop.time() + left)

            follow()
            self._followers[follow] = None
            try:
                yield deadline
            finally:
                del self._followers[follow]

    def _tell(self) -> None:
        for follow in list(self._followers):
            follow()
