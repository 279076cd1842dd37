"""`EnvironmentPool`: what is dear to make, lent to attempts for a time: kept warm, looked after, taken back, replaced.

    kinds = {"code": code_rooms(sandbox, folder, most=32, warm=4), "browser": browser_seats(browser, most=8)}
    async with EnvironmentPool(kinds) as pool:
        async with pool.lease("code", owner="maze/3/1", seconds=600.0) as lease:
            tools = lease.resource.tools(ctx)

    lease       first come, first served within a priority; waits no longer than it says; ends by itself
    instance    looked at before each loan and now and then; replaced when worn out, not well, or taken from its owner
    owner       a name; `take_back` ends what it left, and the reaper what the dead left where `alive` tells who lives

Nothing leaks: an instance is free, lent, or in the hands of a task of the pool, and `close` ends them all.

Report: App. D (a managed pool of environment instances).
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from math import inf
from typing import Any, Self

from manyeyes.agent.rollouts.pool_borrowers import GONE
from manyeyes.agent.rollouts.pool_kind import PoolKind
from manyeyes.agent.rollouts.pool_lease import Lease
from manyeyes.agent.rollouts.pool_shelf import Shelf
from manyeyes.core.errors import ConfigError


class EnvironmentPool:
    """See the module; belongs to one event loop.

    Args:
        kinds: by name.
        alive: whether an owner lives; None where nobody knows, and leases end by their owners or by the clock alone.
        reap_every: seconds between two looks at who lives.
    """

    def __init__(
        self, kinds: Mapping[str, PoolKind], *, alive: Callable[[str], bool] | None = None, reap_every: float = 5.0
    ) -> None:
        self._shelves = {name: Shelf(name, kind) for name, kind in kinds.items()}
        self._tickets = count()
        self.alive, self.reap_every = alive, reap_every
        self._reaping: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        """Begin to make what is kept warm; nobody waits for that."""
        for shelf in self._shelves.values():
            shelf.serve()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def lease(self, kind: str, *, owner: str, seconds: float, wait: float = inf, priority: int = 0) -> Lease:
        """A loan, to be entered as an async context manager; it takes its place in the queue then.

        Args:
            owner: name of who borrows.
            seconds: after which it ends by itself.
            wait: seconds after which it is given up where nothing is free.
            priority: lower goes first.

        Raises:
            ConfigError: there is no such kind.
        """
        if (shelf := self._shelves.get(kind)) is None:
            raise ConfigError(f"the pool has no kind {kind!r}; it has {', '.join(sorted(self._shelves)) or 'none'}")
        if self.alive is not None and self._reaping is None:
            self._reap()
        return Lease(shelf, owner=owner, seconds=seconds, wait=wait, priority=priority, ticket=next(self._tickets))

    def take_back(self, owner: str, why: str = GONE) -> int:
        """End all leases of somebody, those that wait, too; how many there were."""
        return sum(shelf.borrowers.take_back(owner, why) for shelf in self._shelves.values())

    def stats(self) -> dict[str, dict[str, Any]]:
        """By kind: how many are free, lent, and in each other state; how many wait; counts of what was so far."""
        return {name: shelf.stats() for name, shelf in self._shelves.items()}

    async def close(self) -> None:
        """End all leases and all instances, each within its `close_seconds`."""
        self.alive = None
        if self._reaping is not None:
            self._reaping.cancel()
        await asyncio.gather(*(shelf.close() for shelf in self._shelves.values()))

    def _reap(self) -> None:
        """End the leases of the dead, now and again."""
        if self.alive is not None:
            for shelf in self._shelves.values():
                shelf.borrowers.reap(self.alive)
            self._reaping = asyncio.get_running_loop().call_later(self.reap_every, self._reap)
