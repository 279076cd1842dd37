"""`in_thread`: work that takes a while, in a thread that ends soon after nobody waits for it any more.

A thread cannot be stopped from outside, so the work asks its `Watch` between two frames, files or reads whether to go
on: no longer than that does it outlive a cancelled agent. Its time limit counts from when it began, not from when it
was queued: a thousand agents share a few threads.

Report: App. D (tool calls with limits).

    ManyeyesError
    └── WorkStopped    nobody waits any more, or it took too long
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from math import inf
from typing import TypeVar

from manyeyes.core.errors import ManyeyesError

T = TypeVar("T")


class WorkStopped(ManyeyesError):
    """Nobody waits any more, or it took too long."""


class Watch:
    """Says whether to go on.

    Args:
        seconds: that the work may take; counted from `begin`.
    """

    def __init__(self, seconds: float = inf) -> None:
        self.seconds = seconds
        self._until = inf
        self._stopped = threading.Event()

    def begin(self) -> None:
        """The time limit counts from now on."""
        self._until = time.monotonic() + self.seconds

    def stop(self) -> None:
        """From any thread: the work is to end."""
        self._stopped.set()

    def check(self) -> None:
        """Called by the work, often.

        Raises:
            WorkStopped: it is to end.
        """
        if self._stopped.is_set():
            raise WorkStopped("stopped")
        if time.monotonic() > self._until:
            raise WorkStopped(f"it took longer than {self.seconds:g} s; ask for less at once")


async def in_thread(work: Callable[[Watch], T], *, seconds: float, threads: Executor | None = None) -> T:
    """The result of work in a thread.

    Args:
        work: gets the watch that it has to ask.
        seconds: that it may take.
        threads: where it runs; the event loop's own when None.

    Raises:
        WorkStopped: it took longer.
    """
    watch = Watch(seconds)

    def run() -> T:
        watch.begin()
        watch.check()
        return work(watch)

    try:
        return await asyncio.get_running_loop().run_in_executor(threads, run)
    finally:
        watch.stop()
