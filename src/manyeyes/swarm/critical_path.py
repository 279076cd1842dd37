"""The critical path of a run in seconds: the chain of events that its end waited for, and what each link was spent on.

From the last event backwards, always to the one of its predecessors that came last. What lies between two events is
time of the model, of a tool, of waiting for the limiter, of the program itself, or a pause or stop of the whole run.
The formula of critical steps ignores queues; this does not.

Report: §3 (latency of a swarm).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from manyeyes.core.journal import Event

Spent = Literal["model", "limiter", "tool", "program", "stopped"]


class Link(NamedTuple):
    """A stretch of the path.

    Attributes:
        begin, end: numbers of the events at its ends.
        agent: whose it is.
        seconds: how long.
        spent: on what.
    """

    begin: int
    end: int
    agent: str
    seconds: float
    spent: Spent


def critical_path(events: Sequence[Event]) -> list[Link]:
    """The chain that the last event waited for, from the beginning on.

    Args:
        events: of a whole journal, so that `events[n].seq == n`.
    """
    links: list[Link] = []
    event = events[-1] if events else None
    while event is not None and event.after:
        before = max((events[number] for number in event.after), key=lambda one: (one.time, one.seq))
        links += reversed(_links(before, event))
        event = before
    return links[::-1]


def _links(before: Event, event: Event) -> list[Link]:
    seconds = max(0.0, event.time - before.time)
    paused = min(seconds, float(event.data.get("paused", 0.0)))
    if event.kind in ("llm.finished", "llm.failed", "context.summarised") and before.kind == "llm.started":
        waited = min(seconds, max(paused, float(event.data.get("waited", 0.0))))
        parts: list[tuple[float, Spent]] = [(paused, "stopped"), (waited - paused, "limiter")]
        parts.append((seconds - waited, "model"))
    elif event.kind == "llm.started":
        parts = [(paused, "stopped"), (seconds - paused, "program")]
    elif event.kind == "tool.finished" and before.kind == "tool.started":
        parts = [(seconds, "tool")]
    else:
        parts = [(seconds, "stopped" if event.kind == "agent.resumed" else "program")]
    return [Link(before.seq, event.seq, event.agent, part, spent) for part, spent in parts if part > 0.0]


def seconds_by_use(links: Sequence[Link]) -> dict[Spent, float]:
    """How much of the path was spent on what."""
    found: dict[Spent, float] = {}
    for link in links:
        found[link.spent] = found.get(link.spent, 0.0) + link.seconds
    return found
