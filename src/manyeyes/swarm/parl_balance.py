"""The balance of engine capacity between orchestrator and sub-agents, adjusted on the fly.

    balance = Balance.even(64)                                places, together always as many
    balance.take({"live": Demand(16, 40), "frozen": Demand(3, 0)})
    async with balancing(balance, {"live": limiter, "frozen": other}): ...

What an episode asks of its engines changes as it goes on: first orchestrators answer, then sub-agents by the
dozen, then orchestrators again; and over training from hardly any sub-agents to many. A fixed split idles on one side
while the other queues. So places move to where calls queue, in proportion to what is asked for, a few at a time.
`Balance` is a pure state machine; `balancing` reads limiters and sets how many calls they let through.

Report: §3 ("dynamically adjusting the ratio of inference instances between sub-agents and the orchestrator").
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from manyeyes.agent.limiter import Limiter
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Policy

EVERY = 0.05
"""Seconds between two looks."""


class Demand(NamedTuple):
    """Calls of one policy now.

    Attributes:
        running: with its engine.
        queued: that wait for a place.
    """

    running: int = 0
    queued: int = 0

    @property
    def calls(self) -> int:
        """All of them."""
        return self.running + self.queued


@dataclass
class Balance:
    """Places by policy.

    Attributes:
        places: calls that each may have under way; their sum never changes.
        floor: that nobody falls below.
        pace: share of the way to the right split that is gone at each look; below 1, so that one look does not undo
            what the last one did.
        moved: places that changed sides so far.

    Example:
        >>> balance = Balance({"live": 8, "frozen": 8}, pace=1.0)
        >>> balance.take({"live": Demand(1, 0), "frozen": Demand(8, 15)})
        >>> balance.places
        {'live': 2, 'frozen': 14}
    """

    places: dict[Policy, int]
    floor: int = 1
    pace: float = 0.5
    moved: int = 0
    _shares: dict[Policy, float] = field(default_factory=dict)
    """Places before they are rounded, so that small steps add up."""

    def __post_init__(self) -> None:
        self._shares = {policy: float(places) for policy, places in self.places.items()}
        if len(self.places) < 2 or not 1 <= self.floor <= min(self.places.values()) or not 0 < self.pace <= 1:
            raise ConfigError(
                "a balance needs two policies or more, a floor of at least 1 that all of them have, and a pace above 0 "
                f"and at most 1; got {self.places}, {self.floor} and {self.pace}"
            )

    @classmethod
    def even(cls, total: int) -> Self:
        """Half for the orchestrator, half for its sub-agents, as long as nobody knows better.

        Raises:
            ConfigError: fewer than two places.

        Example:
            >>> Balance.even(9).places
            {'live': 4, 'frozen': 5}
        """
        return cls({"live": total // 2, "frozen": total - total // 2})

    def figures(self) -> dict[str, float]:
        """For a log: places of each, and how many changed sides."""
        return {f"places_{name}": float(count) for name, count in self.places.items()} | {"moved": float(self.moved)}

    @property
    def total(self) -> int:
        """Places of all."""
        return sum(self.places.values())

    def take(self, demand: Mapping[Policy, Demand]) -> None:
        """Adapt to what is asked for; where nobody queues everything stays."""
        if not any(demand.get(policy, Demand()).queued for policy in self.places):
            return
        right = self._right({policy: demand.get(policy, Demand()).calls for policy in self.places})
        for policy, have in self._shares.items():
            self._shares[policy] = have + self.pace * (right[policy] - have)
        now = dict(zip(self.places, whole(list(self._shares.values()), self.total), strict=True))
        self.moved += sum(max(0, now[policy] - had) for policy, had in self.places.items())
        self.places = now

    def _right(self, calls: Mapping[Policy, int]) -> dict[Policy, float]:
        """In proportion to the calls, the floor put aside."""
        free, asked = self.total - self.floor * len(self.places), sum(calls.values())
        return {policy: self.floor + free * calls[policy] / asked for policy in self.places}


def whole(shares: list[float], total: int) -> list[int]:
    """Whole numbers nearest to the shares that sum to `total`: the largest rests are rounded up.

    Example:
        >>> whole([1.5, 2.7, 3.8], 8)
        [1, 3, 4]
    """
    down = [int(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda at: down[at] - shares[at])
    for at in order[: total - sum(down)]:
        down[at] += 1
    return down


@asynccontextmanager
async def balancing(
    balance: Balance, limiters: Mapping[Policy, Limiter], *, every: float = EVERY
) -> AsyncIterator[Balance]:
    """Keep limiters balanced while the block lasts. An error in a look ends the block, and comes out of it.

    Args:
        limiters: of the chats, by policy; `TokenChat(..., limiter=...)`. Nobody else sets their `most` meanwhile.
        every: seconds between two looks.

    Raises:
        ConfigError: a policy has no limiter.
    """
    if missing := balance.places.keys() - limiters.keys():
        raise ConfigError(f"no limiter for the policies {', '.join(sorted(missing))}")
    _apply(balance, limiters)
    block, inside = asyncio.current_task(), True
    assert block is not None, "a coroutine runs in a task"

    def end_block(ended: asyncio.Task[None]) -> None:
        if inside and _error_of(ended) is not None:
            block.cancel()

    watcher = asyncio.create_task(_looking(balance, limiters, every))
    watcher.add_done_callback(end_block)
    try:
        yield balance
    except asyncio.CancelledError:
        if _error_of(watcher) is None:
            raise
        block.uncancel()
    finally:
        inside = False
        watcher.cancel()
        if not watcher.done():
            with suppress(asyncio.CancelledError):
                await watcher
    if (error := _error_of(watcher)) is not None:
        raise error


def _error_of(watcher: asyncio.Task[None]) -> BaseException | None:
    return watcher.exception() if watcher.done() and not watcher.cancelled() else None


async def _looking(balance: Balance, limiters: Mapping[Policy, Limiter], every: float) -> None:
    while True:
        balance.take({policy: Demand(one.in_flight, one.queued) for policy, one in limiters.items()})
        _apply(balance, limiters)
        await asyncio.sleep(every)


def _apply(balance: Balance, limiters: Mapping[Policy, Limiter]) -> None:
    """Set the places; calls that wait for one that is there now start at once, unless a person has to let them."""
    for policy, places in balance.places.items():
        limiter = limiters[policy]
        grows, limiter.most = places > limiter.most, places
        if grows and not limiter.paused_for:
            limiter.resume()
