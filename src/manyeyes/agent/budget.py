"""Budgets as a tree: a call reserves its worst case up to the root, then settles what it really cost.

    reserve   refused if any ancestor would be exceeded; nothing is spent by a refusal
    settle    what was reserved is given back, what was used is spent, once, in every ancestor

A child may be granted less than its parent has left and never more. Steps and tool calls are counted by each agent for
itself (App. E.8: every sub-agent has its own limit); tokens, money and time are shared by the whole tree.

Report: App. E.8 (step limits), App. D.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from math import inf
from typing import NamedTuple

SHARED = ("tokens", "cost", "seconds")
"""What children spend from their parents' allowance, too."""


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
        self._budget, self._amount = budget, amount

    def settle(self, **used: float) -> None:
        """Give the reservation back and spend what was used; a second call does nothing."""
        for what, amount in self._amount.items():
            self._budget._give_back(what, amount)
        self._amount = {}
        self._budget.spend(**used)


class Budget:
    """What one agent may use, within what its parent may use.

    Example:
        >>> run = Budget(Limits(tokens=100))
        >>> agent = run.child(Limits(steps=2))
        >>> agent.spend(steps=1, tokens=90)
        >>> str(run.child(Limits()).reserve(tokens=20))
        'the limit of 100 tokens is reached (90 spent)'
    """

    def __init__(self, limits: Limits = Limits(), *, parent: "Budget | None" = None) -> None:
        self.limits, self.parent = limits, parent
        self.spent = {field.name: 0.0 for field in fields(Limits)}
        self.held = dict.fromkeys(self.spent, 0.0)

    def child(self, limits: Limits) -> "Budget":
        """A budget within this one."""
        return Budget(limits, parent=self)

    def left(self, what: str) -> float:
        """How much more may be reserved here, ancestors included."""
        return min(budget._room(what) for budget in self._line(what))

    def reserve(self, **amount: float) -> Reservation | Refusal:
        """Hold an amount, or say what is missing."""
        for what, wanted in amount.items():
            for budget in self._line(what):
                if budget._room(what) < wanted:
                    return Refusal(what, getattr(budget.limits, what), budget.spent[what])
        for what, wanted in amount.items():
            for budget in self._line(what):
                budget.held[what] += wanted
        return Reservation(self, dict(amount))

    def spend(self, **used: float) -> None:
        """Count what was used, here and in every ancestor that shares it."""
        for what, amount in used.items():
            for budget in self._line(what):
                budget.spent[what] += amount

    def exhausted(self) -> Refusal | None:
        """The first limit that leaves nothing."""
        for what in self.spent:
            for budget in self._line(what):
                limit = getattr(budget.limits, what)
                if budget.spent[what] >= limit:
                    return Refusal(what, limit, budget.spent[what])
        return None

    def _line(self, what: str) -> Iterator["Budget"]:
        yield self
        budget = self.parent
        while budget is not None and what in SHARED:
            yield budget
            budget = budget.parent

    def _room(self, what: str) -> float:
        return getattr(self.limits, what) - self.spent[what] - self.held[what]

    def _give_back(self, what: str, amount: float) -> None:
        for budget in self._line(what):
            budget.held[what] -= amount


def tightest(*limits: Limits) -> Limits:
    """The smaller of each limit."""
    names = [field.name for field in fields(Limits)]
    return replace(Limits(), **{name: min(getattr(one, name) for one in limits) for name in names})
