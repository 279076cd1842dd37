"""`Remembered`: what many agents ask for is had once; who asks while it is under way waits for the same answer.

A failure is told to everybody who waited and is not remembered. One caller's cancellation does not cancel the others'.

Report: App. D (many agents, one process).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """The newest answers by key.

    Args:
        make: has the answer.
        most: answers that are kept; the ones not asked for longest go first.

    Attributes:
        made: times that `make` was called; `hits`: answers that were known or under way.
    """

    def __init__(self, make: Callable[[K], Awaitable[V]], *, most: int = 1024) -> None:
        self._make, self._most = make, most
        self._known: OrderedDict[K, asyncio.Task[V]] = OrderedDict()
        self.made = self.hits = 0

    async def get(self, key: K) -> V:
        """The answer."""
        task = self._known.get(key)
        if task is None or (task.done() and _failed(task)):
            self.made += 1
            task = self._known[key] = asyncio.ensure_future(self._make(key))
            task.add_done_callback(_failed)  # looked at, so that nobody is warned of a failure nobody waits for
        else:
            self.hits += 1
        self._known.move_to_end(key)
        self._forget()
        return await asyncio.shield(task)

    def _forget(self) -> None:
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    async def close(self) -> None:
        """Give up what is under way."""
        pending = [task for task in self._known.values() if not task.done()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        self._known.clear()


def _failed(task: "asyncio.Task[V]") -> bool:
    return task.cancelled() or task.exception() is not None
