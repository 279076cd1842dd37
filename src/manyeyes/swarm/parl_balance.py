"""The balance of engine capacity between orchestrator and sub-agents, adjusted on the fly.

    balance = Balance({"live": 16, "frozen": 48})             places, together always as many
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
from typing import NamedTuple

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

    Example:
        >>> balance = Balance({"live": 8, "frozen": 8}, pace=1.0)
        >>> balance.take({"live": Demand(1, 0), "frozen": Demand(8, 15)})
        >>> balance.places
        {'live': 2, 'frozen': 14}
    """

    places: dict[Policy, int]
    floor: int = 1
    pace: float = 0.5
    _shares: dict[Policy, float] = field(default_factory=dict)
    """Places before they are rounded, so that small steps add up."""

    def __post_init__(self) -> None:
        self._shares = {policy: float(places) for policy, places in self.places.items()}
        if len(self.places) < 2 or not 1 <= self.floor <= min(self.places.values()) or not 0 < self.pace <= 1:
            raise ConfigError(
                "a balance needs two policies or more, a floor of at least 1 that all of them have, and a pace above 0 "
                f"and at most 1; got {self.places}, {self.floor} and {self.pace}"
            )

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
        self.places = dict(zip(self.places, whole(list(self._shares.values()), self.total), strict=True))

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
    """Keep limiters balanced while the block lasts.

    Args:
        limiters: of the chats, by policy; `TokenChat(..., limiter=...)`.

    Raises:
        ConfigError: a policy has no limiter.
    """
    if missing := balance.places.keys() - limiters.keys():
        raise ConfigError(f"no limiter for the policies {', '.join(sorted(missing))}")

    async def look() -> None:
        while True:
            balance.take({policy: Demand(one.in_flight, one.queued) for policy, one in limiters.items()})
            _apply(balance, limiters)
            await asyncio.sleep(every)

    _apply(balance, limiters)
    watcher = asyncio.create_task(look())
    try:
        yield balance
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


def _apply(balance: Balance, limiters: Mapping[Policy, Limiter]) -> None:
    for policy, places in balance.places.items():
        limiters[policy].most = places  # takes effect with the next call that begins or ends
