"""What agents put down in the place that all of them share: rows of a table, or sections of a report.

    put(key, value)              a row: the key and its value
    write(section, text)         a section: the text must state one number, in at least `LEAST_WORDS` words, and in
                                 other words than every section before it; the number is its fact

The last word on a key counts, in the order of critical steps (`parl_steps.timed`). A section that is too short, says
the same as another, or names no number or several has no fact: it is there, and it is wrong. Which sentences stand
around the fact is the writer's affair, so the checks are exact and no reader has to judge.

Report: §5.2 (in-house Swarm Bench: long-form writing); the checks are a choice here.
"""

import re
from collections.abc import Iterable, Mapping

from manyeyes.swarm.parl_log import Call, Log
from manyeyes.swarm.parl_rows import Rows
from manyeyes.swarm.parl_steps import timed

LEAST_WORDS = 12
"""Of a section: its fact and more than a sentence around it."""
PUT_DOWN, WRITTEN = "put", "written"
"""Under which the results of the two tools note what was said."""
NO_FACT = "0"
"""Stands for what a section without a fact says; no value of a task."""


def shared_rows(log: Log) -> Rows:
    """Everything that was put down in the end, as rows."""
    return rows_of(one.call for one in timed(log))


def rows_of(calls: Iterable[Call]) -> Rows:
    """What calls put down, one after the other."""
    rows: dict[str, tuple[str, ...]] = {}
    sections: dict[str, str] = {}
    for call in calls:
        noted = call.result["data"]
        rows |= {key: (value,) for key, value in noted.get(PUT_DOWN, {}).items()}
        sections |= noted.get(WRITTEN, {})
    return rows | {key: (fact,) for key, fact in facts_of(sections).items()}


def facts_of(sections: Mapping[str, str]) -> dict[str, str]:
    """What each section says; see the module.

    Example:
        >>> prose = "The old lamp stands near the pond, and nobody knows why."
        >>> facts_of({"C": f"C 41. {prose}", "D": f"D 90. {prose}", "E": "E 17."})
        {'C': '41', 'D': '0', 'E': '0'}
    """
    seen: set[str] = set()
    found: dict[str, str] = {}
    for key, text in sections.items():
        numbers, words = re.findall(r"\d+", text), re.findall(r"[^\W\d_]+", text.casefold())
        prose = " ".join(word for word in words if word != key.casefold())
        good = len(numbers) == 1 and len(words) >= LEAST_WORDS and prose not in seen
        found[key] = numbers[0] if good else NO_FACT
        seen.add(prose)
    return found
