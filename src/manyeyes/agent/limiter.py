"""One limiter for each endpoint and key: how many calls may be under way, and when none may start.

    429 or 503      limit ← max(1, in flight · 0.7), at most once a second; nothing starts before Retry-After
    success         limit ← limit + 1 / limit, up to the cap                                    (AIMD, as TCP)
    out of quota    everything waits until `resume`; contexts are kept, nobody fails

Waiting calls are served by priority, then by ticket: in order of arrival, and a call that is tried again keeps the
ticket of its first try, so that it does not queue behind those that came later. All agents of a process that talk to
one endpoint share its limiter, so a storm of refusals is met once and not once an agent.

Report: §3 (as many agents as possible at once), App. D.
"""

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Literal

BACK_OFF = 0.7
"""Factor on the limit after a refusal."""
REACTION = 1.0
"""Seconds within which several refusals count as one."""

State = Literal["open", "waiting", "paused"]


class Limiter:
    """Admits calls. Belongs to one event loop.

    Args:
        most: cap on calls under way.
        start: the first limit; `most` when left out: sub-agents start all at once until the endpoint objects.
    """

    def __init__(
        self, most: int = 256, *, start: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if most < 1:
            raise ValueError(f"at least one call must be allowed, got {most}")
        self.most, self.limit = most, float(start or most)
        self.in_flight = 0
        self.refused = 0
        self._clock = clock
        self._not_before = 0.0
        self._last_cut = -REACTION
        self._paused_for = ""
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def queued(self) -> int:
        """Calls that wait for their turn."""
        return sum(not future.done() for *_, future in self._waiting)

    @property
    def state(self) -> State:
        """Whether calls start, wait for a moment that the endpoint named, or wait for a person."""
        if self._paused_for:
            return "paused"
        return "waiting" if self._clock() < self._not_before else "open"

    @property
    def paused_for(self) -> str:
        """Why everything waits; "" when it does not."""
        return self._paused_for

    def ticket(self) -> int:
        """A place in the order of arrival, for all tries of one call."""
        return next(self._numbers)

    async def enter(self, priority: int = 0, ticket: int | None = None) -> float:
        """Wait for a turn; returns the seconds that took. Must be followed by `leave`.

        Args:
            priority: lower goes first.
            ticket: from `ticket`, of no other call that waits; a new one when left out.
        """
        began = self._clock()
        if not self._waiting and self._may_start():
            self.in_flight += 1
            return 0.0
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, self.ticket() if ticket is None else ticket, future))
        self._serve()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.leave()
            raise
        return self._clock() - began

    def leave(self) -> None:
        """A call is over."""
        self.in_flight -= 1
        self._serve()

    def succeeded(self) -> None:
        """The endpoint answered: a little more may be tried."""
        self.limit = min(float(self.most), self.limit + 1.0 / self.limit)

    def refuse(self, retry_after: float) -> None:
        """The endpoint said too many: fewer at a time, and none for a while."""
        now = self._clock()
        self.refused += 1
        self._not_before = max(self._not_before, now + retry_after)
        if now - self._last_cut >= REACTION:
            self._last_cut = now
            self.limit = max(1.0, min(self.limit, float(self.in_flight)) * BACK_OFF)

    def pause(self, reason: str) -> None:
        """Out of quota: start nothing until `resume`."""
        self._paused_for = reason or "paused"

    def resume(self) -> None:
        """Go on."""
        self._paused_for = ""
        self._serve()

    def _may_start(self) -> bool:
        return self.state == "open" and self.in_flight < max(1, int(self.limit))

    def _serve(self) -> None:
        while self._waiting and self._may_start():
            *_, future = heapq.heappop(self._waiting)
            if not future.done():
                self.in_flight += 1
                future.set_result(None)
        if self._waiting and self.state == "waiting" and self._timer is None:
            wait = self._not_before - self._clock()
            self._timer = asyncio.get_running_loop().call_later(max(wait, 0.0) + 1e-3, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._serve()
