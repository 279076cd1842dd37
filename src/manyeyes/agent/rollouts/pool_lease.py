"""`Lease`: one loan of one instance, from the queue to its end, which comes once whatever happens.

    async with pool.lease("code", owner="maze/3/1", seconds=600.0) as lease:
        lease.resource                      raises LeaseOver from the moment at which the loan has ended

    new → waiting → held → over             over: given back, expired, taken back, or given up while it waited

To give back is a plain call, so nothing can interrupt it: what is left to do (reset, close) is done by the pool's own
tasks. An instance that its owner gave back is used again; one that was taken from its owner is closed, because the
owner may still be at work on it.

Report: App. D.
"""

import asyncio
from math import inf
from typing import Any, Literal, Protocol, Self

from manyeyes.agent.rollouts.pool_kind import LeaseOver, PoolError, PoolTimeout

Ending = Literal["given_back", "expired", "taken_back", "timed_out", "given_up", "pool_closed"]


class Lender(Protocol):
    """Where a lease waits, and who is told of its end."""

    name: str

    def enqueue(self, lease: "Lease") -> None:
        """Somebody wants one; raises PoolError where nobody may wait."""
        ...

    def ended(self, lease: "Lease", ending: Ending, instance: Any) -> None:
        """A lease that waited, or held this instance, is over."""
        ...


class Lease:
    """See the module; made by `EnvironmentPool.lease`, used once.

    Attributes:
        owner: name of who borrows.
        seconds: that the loan lasts at most.
        wait: seconds that it is waited for at most.
        priority: lower goes first in the queue.
        why: it is over; "" before.
        failures: instances that could not be opened while this was the first in the queue.
    """

    __slots__ = (
        "_coming", "_instance", "_lender", "_timer", "failures", "owner", "priority", "seconds", "ticket", "wait",
        "why",
    )  # fmt: skip

    def __init__(self, lender: Lender, *, owner: str, seconds: float, wait: float, priority: int, ticket: int) -> None:
        self.owner, self.seconds, self.wait, self.priority, self.ticket = owner, seconds, wait, priority, ticket
        self.why, self.failures = "", 0
        self._lender = lender
        self._coming: asyncio.Future[None] | None = None
        self._instance: Any = None
        self._timer: asyncio.TimerHandle | None = None

    def __lt__(self, other: "Lease") -> bool:
        return (self.priority, self.ticket) < (other.priority, other.ticket)

    async def __aenter__(self) -> Self:
        """Wait for an instance.

        Raises:
            PoolError: of every kind.
        """
        if self._coming is not None or self.why:
            raise LeaseOver(self.why or f"this lease of {self._lender.name} was used before; ask the pool for another")
        loop = asyncio.get_running_loop()
        self._coming = loop.create_future()
        try:
            self._lender.enqueue(self)
        except PoolError as error:
            self.why = str(error)
            raise
        try:
            if self.wait < inf and not self._coming.done():
                self._timer = loop.call_later(self.wait, self._waited_too_long)
            await self._coming
        except BaseException:  # it may have come in the very moment in which its owner was cancelled
            self.end("given_up" if self._instance is None else "given_back", "its owner was cancelled while it waited")
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    @property
    def resource(self) -> Any:
        """What was lent.

        Raises:
            LeaseOver: it is lent no more, or not yet.
        """
        if self._instance is None:
            raise LeaseOver(self.why or f"this lease of {self._lender.name} has not begun")
        return self._instance.resource

    @property
    def held(self) -> bool:
        """Whether there is something to use."""
        return self._instance is not None

    def release(self) -> None:
        """Give it back; again does nothing."""
        self.end("given_back", "it was given back")

    def begin(self, instance: Any) -> None:
        """The lender's part: here it is."""
        assert self._coming is not None, "a lease that waits has a future"
        self._instance = instance
        self._stop_timer()
        if self.seconds < inf:
            self._timer = asyncio.get_running_loop().call_later(self.seconds, self._expire)
        if not self._coming.done():  # its owner was cancelled, and gives it back as soon as he hears of it
            self._coming.set_result(None)

    def end(self, ending: Ending, why: str, error: PoolError | None = None) -> bool:
        """It is over, by whoever's doing; False when it was before.

        Args:
            why: for people.
            error: that one who waits gets.
        """
        if self.why:
            return False
        self.why = why
        self._stop_timer()
        instance, self._instance = self._instance, None
        if self._coming is not None:
            if not self._coming.done():
                self._coming.set_exception(error or LeaseOver(why))
                self._coming.exception()  # nobody may be there to hear it
            self._lender.ended(self, ending, instance)
        return True

    def _waited_too_long(self) -> None:
        why = f"no {self._lender.name} was free within {self.wait:g} s"
        self.end("timed_out", why, PoolTimeout(f"{why}; allow more at once, or start fewer attempts"))

    def _expire(self) -> None:
        self.end("expired", f"the {self.seconds:g} s of this loan were over")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
