"""`Gate`: open while a run goes on, shut while it is paused; nothing new starts through a shut gate.

A call of a model passes it right before its request leaves, after the queue of the limiter, so that a pause holds back
those that queue as well. Calls that are under way are left alone.

Report: App. D.
"""

import asyncio
import time
from collections.abc import Callable


class Gate:
    """Open or shut. Belongs to one event loop.

    Attributes:
        reason: why it is shut; "" while it is open.
        opened: how often it was opened again, by which a caller knows whether what it heard is out of date.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.reason, self.opened = "", 0
        self._clock, self._opening = clock, asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether things may start."""
        return not self.reason

    def shut(self, reason: str) -> None:
        """Let nothing start until `open`."""
        self.reason = reason or "paused"
        self._opening.clear()

    def open(self) -> None:
        """Let everybody go on."""
        self.reason, self.opened = "", self.opened + 1
        self._opening.set()

    async def passed(self) -> float:
        """Wait until it is open; returns the seconds that took."""
        if self.is_open:
            return 0.0
        began = self._clock()
        while not self.is_open:
            await self._opening.wait()
        return self._clock() - began
