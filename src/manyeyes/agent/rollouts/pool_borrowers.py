"""`Borrowers`: who waits for an instance of one kind, in which order, and who holds one.

Report: App. D (a managed pool of environment instances).
"""

import heapq
from collections import defaultdict
from collections.abc import Callable

from manyeyes.agent.rollouts.pool_kind import PoolError
from manyeyes.agent.rollouts.pool_lease import Lease

GONE = "whoever borrowed it is gone"


class Borrowers:
    """See the module.

    Attributes:
        waiting: leases that wait, those for whom an instance is being looked at included.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._queue: list[Lease] = []
        self._of_owner: defaultdict[str, set[Lease]] = defaultdict(set)

    def add(self, lease: Lease) -> None:
        """One more who waits."""
        self.waiting += 1
        self._of_owner[lease.owner].add(lease)
        heapq.heappush(self._queue, lease)

    def remove(self, lease: Lease) -> None:
        """A lease is over."""
        leases = self._of_owner[lease.owner]
        leases.discard(lease)
        if not leases:
            del self._of_owner[lease.owner]

    def first(self) -> Lease | None:
        """Who is served next; he stays in the queue."""
        while self._queue and self._queue[0].why:  # it ended where it stood
            heapq.heappop(self._queue)
        return self._queue[0] if self._queue else None

    def call(self) -> Lease:
        """Take the first out of the queue."""
        return heapq.heappop(self._queue)

    def call_off(self, lease: Lease) -> None:
        """It was not his turn after all: back to where he was."""
        heapq.heappush(self._queue, lease)

    def take_back(self, owner: str, why: str) -> int:
        """End all leases of an owner; how many there were."""
        return sum(lease.end("taken_back", why) for lease in tuple(self._of_owner.get(owner, ())))

    def reap(self, alive: Callable[[str], bool]) -> int:
        """End the leases of the dead; how many there were."""
        return sum(self.take_back(owner, GONE) for owner in tuple(self._of_owner) if not alive(owner))

    def end_all(self, why: str, error: PoolError) -> None:
        """End all leases."""
        for lease in [lease for leases in self._of_owner.values() for lease in leases]:
            lease.end("pool_closed", why, error)
