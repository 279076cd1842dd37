"""How the rule-based model looks things up: which search or page comes next for what is wanted.

    find_list    search for the list of the topic, open it, scroll to its end
    facts_of     search for what is missing of an entity, then read its pages from the newest to the oldest, until no
                 page is left that is newer than the one that told the value

Report: none; part of the rule-based model.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from manyeyes.core.messages import ToolCall
from manyeyes.swarm.rule_notes import Known
from manyeyes.swarm.rule_plan import Plan

TOP = 8
"""Hits of a search; the pages of entities with longer names (Guinea-Bissau) crowd out the right one below that."""

Action = tuple[str, dict[str, Any]]
"""Name and arguments of a call."""


@dataclass
class LookUp:
    """What is known, what was done, and what is left to do.

    Attributes:
        members: rows of the table, in the order in which they are looked at.
        calls: of the conversation so far.
    """

    plan: Plan
    known: Known
    members: Sequence[str]
    calls: Sequence[ToolCall]

    def find_list(self) -> Action | None:
        """The next step to the whole list of the topic; None when it is there or cannot be found."""
        address = self.known.lists.get(self.plan.topic.casefold())
        if self.known.members and not any(self.known.unread.values()):
            return None
        query = f"complete list of {self.plan.topic}"
        if address is None:
            return None if query in self._queries else ("search", {"queries": [query], "top": TOP})
        if address not in self._opened:
            return "open", {"url": address}
        return ("scroll", {"pages": 1, "url": address}) if self.known.unread.get(address) else None

    def rows(self) -> Iterator[Action]:
        """Row by row: conditions first, the rest only of rows that meet them; a question asks for no rest yet."""
        for row in self.members:
            if self.fails(row) is None:
                yield from self.facts_of(row, [wanted.label for wanted in self.plan.conditions])
            if not self.fails(row) and not self.plan.deep:
                yield from self.facts_of(row, self.plan.labels)

    def of_match(self, row: str) -> Iterator[Action]:
        """What is asked of the row that meets all conditions."""
        yield from self.facts_of(row, [self.plan.asked])
        if self.plan.beyond and (found := self.known.facts.get((row, self.plan.asked))):
            yield from self.facts_of(found.value, [self.plan.beyond])

    def facts_of(self, entity: str, labels: Sequence[str]) -> Iterator[Action]:
        """See the module."""
        missing = [label for label in labels if not self.settled(entity, label)]
        if not missing:
            return
        queries = [f"{entity} {label}" for label in missing]
        if self._queries.isdisjoint(f"{entity} {label}" for label in (*self.plan.labels, self.plan.beyond)):
            yield "search", {"queries": queries, "top": TOP}
        yield from (("open", {"url": url}) for url, _ in self._unread(entity))
        others = [f"{entity} profile", f"{entity} figures"]
        if self._queries.isdisjoint(others):
            yield "search", {"queries": others, "top": TOP}

    def settled(self, entity: str, label: str) -> bool:
        """Whether a value is there and no page that is newer is left to be read."""
        found = self.known.facts.get((entity, label))
        return found is not None and all(date <= found.date for _, date in self._unread(entity))

    def fails(self, row: str) -> bool | None:
        """Whether a row fails a condition; None while that is not known."""
        open_ones = False
        for wanted in self.plan.conditions:
            if not self.settled(row, wanted.label):
                open_ones = True
            elif not wanted.holds(self.known.facts[row, wanted.label].value):
                return True
        return None if open_ones else False

    def match(self) -> str | None:
        """The row that is known to meet all conditions."""
        return next((row for row in self.members if self.fails(row) is False), None) if self.plan.conditions else None

    def value(self, row: str, label: str) -> str:
        """As it is known; "" where it is not."""
        found = self.known.facts.get((row, label))
        return found.value if found else ""

    def _unread(self, entity: str) -> list[tuple[str, str]]:
        """Addresses and dates of its pages, newest first."""
        leads = self.known.leads.get(entity, {})
        left = [(url, date) for url, date in leads.items() if url not in self._opened]
        return sorted(left, key=lambda lead: lead[1], reverse=True)

    @functools.cached_property
    def _queries(self) -> frozenset[str]:
        searches = [call.arguments for call in self.calls if call.name == "search"]
        return frozenset(query for said in searches for query in arguments(said)["queries"])

    @functools.cached_property
    def _opened(self) -> frozenset[str]:
        return frozenset(arguments(call.arguments)["url"] for call in self.calls if call.name == "open")


@functools.lru_cache(maxsize=4096)
def arguments(written: str) -> dict[str, Any]:
    """Of a call."""
    return msgspec.json.decode(written, type=dict[str, Any])
