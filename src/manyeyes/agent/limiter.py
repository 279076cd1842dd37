"""One limiter for each endpoint and key: how many calls may be under way, how fast they start, and when none may.

    no objection    everything starts at once, up to the cap
    429 or 503      nothing starts before Retry-After; from then on calls start at the pace that was admitted so far,
                    which grows again, slowly where it was right and fast where it was far too low:
                        pace(t) = admitted · (1 + ½ (t / τ)³)        τ = ten calls' time, 4 to 20 s    (as CUBIC)
    none admitted   one call, then with each success one more at once: nothing is known of the pace
    too many at once, where the endpoint says that this is it: no more at once than it took, and one more now and then
    out of quota    everything waits until `resume`; contexts are kept, nobody fails

What endpoints limit is starts a minute, and answers take many seconds: a limit on calls under way would have to guess
their product, and starves where it is too low. An endpoint that limits calls under way without saying so admits as many
starts as it has ends, so its pace is learned, too, if less well. What a wait leaves unused may be caught up on.

Waiting calls are served by priority, then by ticket: in order of arrival, and a call that is tried again keeps the
ticket of its first try, so that it does not queue behind those that came later. All agents of a process that talk to
one endpoint share its limiter, so a storm of refusals is met once and not once an agent.

Report: §3 (as many agents as possible at once), App. D.
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Literal

BACK_OFF = 0.95
"""Of the pace, at least, that a refusal leaves."""
MEMORY = 10.0
"""Seconds over which the pace that was admitted is counted."""
CALLS, SHORTEST, LONGEST = 10.0, 4.0, 20.0
"""τ: the time of so many calls, within these seconds."""
PROBE = 0.1
"""How much a success widens a limit on calls under way that is known, in rounds of calls."""
SHORTEST_WAIT = 0.02
"""Seconds that a refusal means at least, for who says "at once" does not."""

State = Literal["open", "waiting", "paused"]


class Limiter:
    """Admits calls. Belongs to one event loop.

    Args:
        most: cap on calls under way.
    """

    def __init__(self, most: int = 256, *, clock: Callable[[], float] = time.monotonic) -> None:
        if most < 1:
            raise ValueError(f"at least one call must be allowed, got {most}")
        self.most = most
        self.in_flight = 0
        self.refused = 0
        self._clock = clock
        self._not_before = 0.0
        self._paused_for = ""
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._admitted = inf
        self._room = inf  # calls under way, while that is what is limited or nothing is known of the pace
        self._taken = inf  # so many at once were taken when one more was refused
        self._starts: deque[float] = deque()  # of late, refused ones left out
        self._began, self._waited = 0.0, True  # first start since the last refusals
        self._allowed, self._allowed_at, self._most_allowed = inf, 0.0, inf

    @property
    def queued(self) -> int:
        """Calls that wait for their turn."""
        return len(self._waiting)

    @property
    def state(self) -> State:
        """Whether calls start, wait for a moment that the endpoint named, or wait for a person."""
        if self._paused_for:
            return "paused"
        return "waiting" if self._clock() < self._not_before else "open"

    @property
    def pace(self) -> float:
        """Calls a second that may start now; infinite while the endpoint has not objected."""
        if self._admitted == inf:
            return inf
        tau = min(max(CALLS / self._admitted, SHORTEST), LONGEST)
        since = max(0.0, self._clock() - self._not_before)
        return self._admitted * (1.0 + 0.5 * (since / tau) ** 3)

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
            self._start()
            return 0.0
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (priority, self.ticket() if ticket is None else ticket, future)
        heapq.heappush(self._waiting, place)
        self._serve()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.leave()
            else:
                self._give_up(place)
            raise
        return self._clock() - began

    def leave(self) -> None:
        """A call is over."""
        self.in_flight -= 1
        self._serve()

    def succeeded(self) -> None:
        """The endpoint answered."""
        if self._room < self.most:
            self._room += 1.0 if self._room + 1.0 <= self._taken else PROBE / self._room
        else:
            self._room = self._taken = inf

    def refuse(self, retry_after: float, *, at_once: bool = False) -> None:
        """The endpoint said too many: none for a while, and slower from then on.

        Args:
            retry_after: seconds.
            at_once: it said that it is the number of calls under way.
        """
        now, wait = self._clock(), max(retry_after, SHORTEST_WAIT)
        self.refused += 1
        again = now < self._not_before
        if self._starts:
            self._starts.pop()  # it did not start after all
        if at_once:
            self._taken = max(1.0, min(self._taken if again else inf, self.in_flight - 1.0))
            self._room = self._taken
        else:
            self._slow_down(self._admitted if again else BACK_OFF * self.pace, now, wait)
        self._not_before = max(self._not_before, now + wait)
        self._allowed, self._allowed_at = 1.0 if self._admitted < inf else inf, now
        self._most_allowed = 1.0 + self._admitted * (self._not_before - now)
        self._waited = True

    def pause(self, reason: str) -> None:
        """Out of quota: start nothing until `resume`."""
        self._paused_for = reason or "paused"

    def resume(self) -> None:
        """Go on."""
        self._paused_for = ""
        self._serve()

    def _give_up(self, place: tuple[int, int, asyncio.Future[None]]) -> None:
        """Nobody waits in this place any more."""
        if place in self._waiting:
            self._waiting.remove(place)
            heapq.heapify(self._waiting)

    def _slow_down(self, pace: float, now: float, wait: float) -> None:
        """To what was admitted, and at most this pace."""
        measured = self._measured(now, wait)
        if measured:
            self._admitted = max(min(pace, measured), 1.0 / max(wait, 1.0))
        else:
            self._admitted, self._room = inf, 1.0

    def _may_start(self) -> bool:
        return self.state == "open" and self.in_flight + 1 <= self._most_now and self._allow() >= 1.0

    @property
    def _most_now(self) -> float:
        return min(float(self.most), self._room)

    def _start(self) -> None:
        now = self._clock()
        self.in_flight += 1
        self._allowed -= 1.0
        if self._waited:
            self._began, self._waited = now, False
        self._starts.append(now)
        while self._starts[0] < now - MEMORY:
            self._starts.popleft()

    def _allow(self) -> float:
        """How many calls may start now by the pace."""
        if self._admitted == inf:
            return inf
        now = self._clock()
        self._allowed = min(self._allowed + (now - self._allowed_at) * self.pace, self._most_allowed)
        self._allowed_at = now
        return self._allowed + 1e-6

    def _measured(self, now: float, wait: float) -> float:
        """Calls a second that the endpoint admits: since the last wait, or of late, whichever is more."""
        since = sum(start >= self._began for start in self._starts)
        late = now - self._starts[0] if self._starts else 0.0
        return max(since / (now - self._began + wait), len(self._starts) / (late + wait))

    def _serve(self) -> None:
        while self._waiting and self._may_start():
            *_, future = heapq.heappop(self._waiting)
            if not future.done():
                self._start()
                future.set_result(None)
        room = self._most_now - self.in_flight
        if self._waiting and not self._paused_for and room >= 1 and self._timer is None:
            by_pace = 0.0 if self._admitted == inf else (1.0 - self._allow()) / self.pace
            wait = max(self._not_before - self._clock(), by_pace, 0.0)
            self._timer = asyncio.get_running_loop().call_later(wait + 1e-3, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._serve()
