"""`Places`: how many children live at once: who needs one more waits, and one that rests makes room after a while.

    await places.take()                  until there is room
    places.rest(child, let_go)           its agent thinks; it is let go after `idle_seconds`, or for who waits
    places.wake(child)                   its agent calls again
    places.leave(child)                  it has ended

Agents of a training run think for seconds between two calls, so a child is not taken from one that only thinks: it has
rested, and another agent has waited, for `patience`. Its agent is told why its variables are gone.

Report: App. D (tools: stateful IPython), sized for reinforcement learning.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.tools.forked_python_child import Child
from manyeyes.agent.tools.ipython_pool import IDLE, ROOM_NEEDED

LetGo = Callable[[str], Awaitable[None]]
"""Ends a child for a reason that its agent is told, unless the agent has begun to call."""
CLOSED = "the warm Python was closed while an agent waited for it"


class _Rest(NamedTuple):
    since: float
    timer: asyncio.TimerHandle
    let_go: LetGo


class Places:
    """See the module.

    Args:
        most: children at once.
        idle_seconds: after which one that rests is let go.
        patience: seconds of waiting, and of resting, after which one is let go for who waits.
    """

    def __init__(self, most: int, *, idle_seconds: float, patience: float) -> None:
        self._idle_seconds, self._patience = idle_seconds, patience
        self._free = asyncio.Semaphore(most)
        self._resting: dict[Child, _Rest] = {}
        """Who rests longest comes first."""
        self._letting_go: set[asyncio.Task[None]] = set()
        self._closed = False

    async def take(self) -> None:
        """Wait for room; `leave` or `give_back` ends it. Raises SandboxUnavailable when there will be none."""
        while not await self._taken():
            await self._make_room()
        if self._closed:
            self.give_back()  # so that the next one hears of it, too
            raise SandboxUnavailable(CLOSED)

    def give_back(self) -> None:
        """Nothing came of what was taken."""
        self._free.release()

    def leave(self, child: Child) -> None:
        """A child has ended."""
        self.wake(child)
        self._free.release()

    def rest(self, child: Child, let_go: LetGo) -> None:
        """Nobody uses it from now on."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._idle_seconds, self._expire, child)
        self._resting[child] = _Rest(loop.time(), timer, let_go)

    def wake(self, child: Child) -> None:
        """It is used."""
        if (rest := self._resting.pop(child, None)) is not None:
            rest.timer.cancel()

    def close(self) -> None:
        """Whoever waits need not go on."""
        self._closed = True
        self._free.release()

    async def _taken(self) -> bool:
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            return False
        return True

    async def _make_room(self) -> None:
        """Let go of the one that has rested longest, if that was long."""
        child, rest = next(iter(self._resting.items()), (None, None))
        now = asyncio.get_running_loop().time()
        if child is not None and rest is not None and now - rest.since >= self._patience:
            self.wake(child)
            await rest.let_go(ROOM_NEEDED)

    def _expire(self, child: Child) -> None:
        rest = self._resting.pop(child)
        task = asyncio.ensure_future(rest.let_go(IDLE.format(seconds=self._idle_seconds)))
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)
