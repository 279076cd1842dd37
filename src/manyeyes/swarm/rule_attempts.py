"""How often the rule-based model has begun on each task, from a journal: what a resumed run has to know of the past.

A restart with an empty context (discard-all) is a new attempt, but nothing in its messages tells it from the first one.
The journal does: an attempt is the first answer after an `agent.began`.

Report: none; part of the rule-based model.
"""

from collections import Counter
from collections.abc import Iterable

from manyeyes.core.journal import Event


def attempts_of(events: Iterable[Event]) -> Counter[str]:
    """Attempts so far, by the words of the task.

    Example:
        >>> told = [("agent.created", {"prompt": "Which?"}), ("agent.began", {}), ("llm.finished", {})]
        >>> attempts_of(Event(n, kind, 0.0, "main", (), data) for n, (kind, data) in enumerate(told))
        Counter({'Which?': 1})
    """
    tasks: dict[str, str] = {}
    begun: set[str] = set()
    found: Counter[str] = Counter()
    for event in events:
        if event.kind == "agent.created":
            tasks[event.agent] = event.data["prompt"]
        elif event.kind == "agent.began":
            begun.add(event.agent)
        elif event.kind == "llm.finished" and event.agent in begun:
            begun.discard(event.agent)
            found[tasks[event.agent]] += 1
    return found
