"""Budgets as a tree: a call reserves its worst case up to the root, then settles what it really cost.

    reserve   refused if any ancestor would be exceeded; nothing is spent by a refusal
    hold      the same, but waits where only what others hold for now stands in the way
    settle    what was reserved is given back, what was used is spent, once, in every ancestor

A child may be granted less than its parent has left and never more. Steps and tool calls are counted by each agent for
itself (App. E.8: every sub-agent has its own limit); tokens, money and time are shared by the whole tree.
Time is a deadline: it passes by itself from the moment that a budget is made, and nobody spends it. While a run is
paused it stands still, because all budgets of a tree go by one `StopClock`.

Report: App. E.8 (step limits), App. D.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from math import inf
from typing import NamedTuple

from manyeyes.agent.clock import StopClock

SHARED = ("tokens", "cost", "seconds")
"""What children spend from their parents' allowance, too."""
LAST_TOKENS, LAST_SHARE = 4_000, 0.02
"""What an agent leaves of its tokens (the smaller of both) and of its money (the share), to say its last words with."""


@dataclass(frozen=True, slots=True)
class Limits:
    """At most so much; infinite where nothing is said.

    Attributes:
        steps: tool calls and environment interactions of one agent (App. E.8).
        turns: answers of the model.
        tokens: in and out.
        cost: US dollars.
        seconds: of wall time.
    """

    steps: float = inf
    turns: float = inf
    tokens: float = inf
    cost: float = inf
    seconds: float = inf


class Refusal(NamedTuple):
    """What there was not enough of."""

    what: str
    limit: float
    spent: float

    def __str__(self) -> str:
        return f"the limit of {self.limit:g} {self.what} is reached ({self.spent:g} spent)"


class Reservation:
    """An amount that is held until `settle`."""

    def __init__(self, budget: "Budget", amount: dict[str, float]) -> None:
        self._budget, self._amount, self._settled = budget, amount, False

    def settle(self, **used: float) -> None:
        """Give the reservation back and spend what was used; a second call does nothing."""
        if self._settled:
            return
        self._settled = True
        for what, amount in self._amount.items():
            self._budget._give_back(what, amount)
        self._budget.spend(**used)
        self._budget._wake()


class Budget:
    """What one agent may use, within what its parent may use.

    Example:
        >>> run = Budget(Limits(tokens=100))
        >>> agent = run.child(Limits(steps=2))
        >>> agent.spend(steps=1, tokens=90)
        >>> str(run.child(Limits()).reserve(tokens=20))
        'the limit of 100 tokens is reached (90 spent)'
    """

    def __init__(
        self,
        limits: Limits = Limits(),
        *,
        parent: "Budget | None" = None,
        elapsed: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits, self.parent = limits, parent
        self.clock = clock if isinstance(clock, StopClock) else StopClock(clock)
        self.began = self.clock()
        self.spent = {field.name: 0.0 for field in fields(Limits)}
        self.spent["seconds"] = elapsed
        self.held = dict.fromkeys(self.spent, 0.0)
        self._capped = [
            (what, budget) for what in self.spent for budget in self._line(what) if getattr(budget.limits, what) < inf
        ]
        self._waiting: list[asyncio.Future[None]] = [] if parent is None else parent._waiting

    def child(self, limits: Limits, *, elapsed: float = 0.0) -> "Budget":
        """A budget within this one; its time begins now, `elapsed` seconds of it are over."""
        return Budget(limits, parent=self, elapsed=elapsed, clock=self.clock)

    def used(self, what: str) -> float:
        """How much is gone; time goes by itself."""
        return self.spent[what] + (self.clock() - self.began if what == "seconds" else 0.0)

    def left(self, what: str) -> float:
        """How much more may be reserved here, ancestors included."""
        return min(budget._room(what) for budget in self._line(what))

    def reached(self, what: str) -> Refusal:
        """The refusal of whichever budget in line has least left, for whoever knows that there is too little."""
        return min(self._line(what), key=lambda budget: budget._room(what))._refusal(what)

    def reserve(self, **amount: float) -> Reservation | Refusal:
        """Hold an amount, or say what is missing."""
        for what, budget in self._capped:
            if what in amount and budget._room(what) < amount[what]:
                return budget._refusal(what)
        for what, wanted in amount.items():
            for budget in self._line(what):
                budget.held[what] += wanted
        return Reservation(self, dict(amount))

    async def hold(self, **amount: float) -> Reservation | Refusal:
        """Reserve; wait while others hold what is missing, because most will give back a part of it."""
        while isinstance(held := self.reserve(**amount), Refusal) and self._may_be_free(amount):
            freed = asyncio.get_running_loop().create_future()
            self._waiting.append(freed)
            await freed
        return held

    def spend(self, **used: float) -> None:
        """Count what was used, here and in every ancestor that shares it."""
        if "seconds" in used:
            raise ValueError("time passes by itself; give a resumed run's head start as Budget(elapsed=...)")
        for what, amount in used.items():
            for budget in self._line(what):
                budget.spent[what] += amount

    def exhausted(self, *, for_last_words: bool = False) -> Refusal | None:
        """The first limit that leaves nothing.

        Args:
            for_last_words: or no more than what an agent says its last words with.
        """
        for what, budget in self._capped:
            limit = getattr(budget.limits, what)
            if limit - budget.used(what) <= (last_words(what, limit) if for_last_words else 0.0):
                return budget._refusal(what)
        return None

    def kept_back(self, what: str) -> float:
        """Tokens or money that every call leaves, for last words."""
        return last_words(what, min(getattr(budget.limits, what) for budget in self._line(what)))

    def _may_be_free(self, amount: dict[str, float]) -> bool:
        lines = ((budget, what, wanted) for what, wanted in amount.items() for budget in self._line(what))
        return all(budget._room(what) + budget.held[what] >= wanted for budget, what, wanted in lines)

    def _wake(self) -> None:
        for freed in self._waiting:
            if not freed.done():
                freed.set_result(None)
        self._waiting.clear()

    def _refusal(self, what: str) -> Refusal:
        return Refusal(what, getattr(self.limits, what), self.used(what))

    def _line(self, what: str) -> Iterator["Budget"]:
        yield self
        budget = self.parent
        while budget is not None and what in SHARED:
            yield budget
            budget = budget.parent

    def _room(self, what: str) -> float:
        return getattr(self.limits, what) - self.used(what) - self.held[what]

    def _give_back(self, what: str, amount: float) -> None:
        for budget in self._line(what):
            budget.held[what] -= amount


def last_words(what: str, limit: float) -> float:
    """How much of a limit is kept for an agent's last words.

    Example:
        >>> last_words("tokens", 1_000_000), last_words("steps", 15)
        (4000.0, 0.0)
    """
    if what not in ("tokens", "cost") or limit == inf:
        return 0.0
    return min(float(LAST_TOKENS), LAST_SHARE * limit) if what == "tokens" else LAST_SHARE * limit


def tightest(*limits: Limits) -> Limits:
    """The smaller of each limit."""
    names = [field.name for field in fields(Limits)]
    return replace(Limits(), **{name: min(getattr(one, name) for one in limits) for name in names})
