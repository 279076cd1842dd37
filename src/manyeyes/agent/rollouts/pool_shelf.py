"""`Shelf`: the instances of one kind, and the queue of those who want one.

    opening → idle → checking → leased → resetting → idle          any of them → closing → gone

Everything that awaits a resource runs in a task of the shelf's own; who borrows awaits one future and nothing else, so
there is no moment at which cancelling him could lose an instance. A call into a resource that takes too long is
cancelled, and left to itself should it not obey.

Report: App. D (a managed pool of environment instances).
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from math import inf
from typing import Any

from manyeyes.agent.rollouts.pool_borrowers import Borrowers
from manyeyes.agent.rollouts.pool_creation import CreationRate
from manyeyes.agent.rollouts.pool_instance import Instance, State, problem_of
from manyeyes.agent.rollouts.pool_kind import OpenFailed, PoolClosed, PoolFull, PoolKind
from manyeyes.agent.rollouts.pool_lease import Ending, Lease

FRESH = 1.0
"""Seconds for which one that was just seen to be well need not be looked at again."""
COUNTS = (
    "created", "closed", "leases", "expired", "taken_back", "timed_out", "unhealthy", "worn_out", "not_opened", "stuck",
)  # fmt: skip


class Shelf:
    """See the module; belongs to one event loop.

    Args:
        name: of the kind.
        kind: how instances are made and how long they last.
    """

    def __init__(self, name: str, kind: PoolKind) -> None:
        self.name, self.kind = name, kind
        self.closed, self.problem = False, ""
        self._instances: set[Instance] = set()
        self._idle: list[Instance] = []
        self.borrowers = Borrowers()
        self._checked_for = 0
        self._in: Counter[State] = Counter()
        self._counts: Counter[str] = Counter()
        self._rate = CreationRate(kind.creations_per_second)
        self._creating: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    def enqueue(self, lease: Lease) -> None:
        """See `Lender.enqueue`."""
        if self.closed:
            raise PoolClosed(f"the pool of {self.name} is closed")
        if (waiting := self.borrowers.waiting) >= self.kind.waiting:
            raise PoolFull(f"{waiting:,} wait for {self.name} already; start fewer attempts, or let more wait")
        self.borrowers.add(lease)
        self.serve()

    def ended(self, lease: Lease, ending: Ending, instance: Instance | None) -> None:
        """See `Lender.ended`."""
        self._counts[ending] += 1
        self.borrowers.remove(lease)
        if instance is None:
            self.borrowers.waiting -= 1
        elif ending == "given_back":
            self._take_in(instance)
        else:
            self._retire(instance)
        self.serve()

    def serve(self) -> None:
        """Bring together those who wait and what is free; make more where that is too little."""
        if self.closed:
            return
        while self._idle and self.borrowers.first() is not None:
            instance = self._idle.pop()
            if self._worn(instance):
                self._retire(instance, "worn_out")
            elif asyncio.get_running_loop().time() - instance.seen < FRESH:
                self._hand(instance, self.borrowers.call())
            else:
                self._checked_for += 1
                self._at(instance, "checking", self._check_for(instance, self.borrowers.call()))
        self._create()
        if self._idle and self._looking is None and (rest := min(self.kind.probe_every, self.kind.seconds_alive)) < inf:
            self._looking = asyncio.get_running_loop().call_later(rest, self._look)

    async def close(self) -> None:
        """End all leases and all instances; whoever does not close in its time is left to itself."""
        self.closed = True
        for timer in (self._creating, self._looking):
            if timer is not None:
                timer.cancel()
        why = f"the pool of {self.name} was closed"
        self._idle.clear()
        self.borrowers.end_all(why, PoolClosed(why))
        for instance in tuple(self._instances):
            self._retire(instance)
        while works := [instance.work for instance in self._instances if instance.work is not None]:
            await asyncio.wait(works)

    def stats(self) -> dict[str, Any]:
        """What there is now, and what was so far."""
        now = {"warm": len(self._idle), "leased": self._in["leased"], "waiting": self.borrowers.waiting}
        busy: dict[str, int] = {state: self._in[state] for state in ("opening", "checking", "resetting", "closing")}
        counts = {name: self._counts[name] for name in COUNTS}
        return now | busy | counts | ({"problem": self.problem} if self.problem else {})

    def _worn(self, instance: Instance) -> bool:
        age = asyncio.get_running_loop().time() - instance.born
        return instance.uses >= self.kind.uses or age >= self.kind.seconds_alive

    def _hand(self, instance: Instance, lease: Lease) -> None:
        self.borrowers.waiting -= 1
        self._counts["leases"] += 1
        instance.uses += 1
        self._at(instance, "leased")
        lease.begin(instance)

    def _take_in(self, instance: Instance) -> None:
        """What an owner gave back."""
        if self.closed:
            self._retire(instance)
        elif self._worn(instance):
            self._retire(instance, "worn_out")
        else:
            self._at(instance, "resetting", self._reset(instance))

    def _put(self, instance: Instance) -> None:
        """It is well and free."""
        instance.seen = asyncio.get_running_loop().time()
        self._at(instance, "idle")
        self._idle.append(instance)
        self.serve()

    def _create(self) -> None:
        """Make what is missing, as fast as it may be made."""
        if self._creating is not None:
            return
        loop = asyncio.get_running_loop()
        for _ in range(self._missing):
            if wait := self._rate.wait(loop.time()):
                self._creating = loop.call_later(wait, self._create_again)
                return
            instance = Instance(loop.time())
            self._counts["created"] += 1
            self._instances.add(instance)
            self._at(instance, "opening", self._open(instance))

    def _create_again(self) -> None:
        self._creating = None
        self.serve()

    @property
    def _missing(self) -> int:
        """Instances that should be made now."""
        looked_at = self._in["checking"] - self._checked_for
        coming = self._in["idle"] + self._in["opening"] + self._in["resetting"] + looked_at
        asked = self.borrowers.waiting - self._checked_for + self.kind.warm
        return max(0, min(asked - coming, self.kind.most - len(self._instances)))

    def _look(self) -> None:
        """Replace free ones that are worn, and see whether the others are still well."""
        self._looking, now = None, asyncio.get_running_loop().time()
        idle, self._idle = self._idle, []
        for instance in idle:
            if self._worn(instance):
                self._retire(instance, "worn_out")
            elif now - instance.seen >= self.kind.probe_every:
                self._at(instance, "checking", self._check(instance))
            else:
                self._idle.append(instance)
        self.serve()

    def _retire(self, instance: Instance, count: str = "") -> None:
        """It must not be lent again."""
        if instance.state == "closing":
            return
        if count:
            self._counts[count] += 1
        busy = instance.work if instance.work is not asyncio.current_task() else None
        if busy is not None:
            busy.cancel()
        self._at(instance, "closing", self._close(instance, busy))

    def _at(self, instance: Instance, state: State, work: Coroutine[Any, Any, None] | None = None) -> None:
        self._in[instance.state] -= 1
        self._in[state] += 1
        instance.state = state
        instance.work = None if work is None else asyncio.get_running_loop().create_task(work)

    async def _open(self, instance: Instance) -> None:
        why = await problem_of(self._opened(instance), self.kind.open_seconds)
        now = asyncio.get_running_loop().time()
        if not why:
            self._rate.worked()
            self._put(instance)
            return
        self._rate.failed(now)
        self.problem = why
        if (lease := self.borrowers.first()) is not None:
            lease.failures += 1
            if lease.failures >= self.kind.tries:
                why = f"no {self.name} could be opened: {why}"
                lease.end("given_up", why, OpenFailed(why))
        self._retire(instance, "not_opened")
        self.serve()

    async def _opened(self, instance: Instance) -> None:
        instance.resource = self.kind.make()
        await instance.resource.open()

    async def _reset(self, instance: Instance) -> None:
        self._seen(instance, await problem_of(_ready_again(instance), self.kind.reset_seconds))

    async def _check(self, instance: Instance) -> None:
        self._seen(instance, await problem_of(instance.resource.healthy(), self.kind.probe_seconds))

    async def _check_for(self, instance: Instance, lease: Lease) -> None:
        """One that goes to somebody if it is well; if not, he is the first in the queue again."""
        try:
            why = await problem_of(instance.resource.healthy(), self.kind.probe_seconds)
        finally:
            self._checked_for -= 1
        if not why and not lease.why:
            self._hand(instance, lease)
            return
        if not lease.why:
            self.borrowers.call_off(lease)
        self._seen(instance, why)

    def _seen(self, instance: Instance, why: str) -> None:
        """How it is, after a look at it."""
        if not why:
            self._put(instance)
            return
        self.problem = why
        self._retire(instance, "unhealthy")
        self.serve()

    async def _close(self, instance: Instance, busy: "asyncio.Task[None] | None") -> None:
        if busy is not None:
            await asyncio.wait((busy,))
        if instance.resource is not None and (
            why := await problem_of(instance.resource.close(), self.kind.close_seconds)
        ):
            self.problem = f"could not be closed: {why}"
            self._counts["stuck"] += 1
        self._in["closing"] -= 1
        self._counts["closed"] += 1
        self._instances.discard(instance)
        self.serve()


async def _ready_again(instance: Instance) -> bool:
    await instance.resource.reset()
    return await instance.resource.healthy()
