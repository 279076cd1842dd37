"""Events as the live page gets them: everything that its figures need, and of long texts only the beginning.

A thousand agents write hundreds of megabytes; a browser is given what it draws, and the whole text of an agent only
when somebody looks at that agent. Tables and noted facts are read here, by the reader that also scores answers, so that
the page has no second opinion on what a table is.

    [seq, kind, time, agent, [after, …], {…}]        one event

Report: §3 (what happens in a swarm), Fig. 8 (tables that fill in).
"""

from collections.abc import Callable, Sequence
from typing import Any

from manyeyes.core.journal import Event
from manyeyes.reward.table_text import written_tables
from manyeyes.swarm.rule_notes import notes_of

Thin = list[Any]
SAID, PROMPT, SHORT = 160, 400, 200
"""Characters of what an agent said, of its task, and of any other text."""
LONGEST_CELL = 300
"""Characters of a cell, of an address among facts too."""
MOST_TABLES, MOST_ROWS, MOST_FACTS, MOST_ITEMS = 8, 500, 200, 40
"""Of one event; what lies beyond is in the transcript."""


def thin(event: Event) -> Thin:
    """An event without its long texts.

    Example:
        >>> thin(Event(3, "run.finished", 2.5, after=(2,), data={"stop": "done"}))
        [3, 'run.finished', 2.5, '', (2,), {'stop': 'done'}]
    """
    shorten = _SHORTENED.get(event.kind, short)
    return [event.seq, event.kind, event.time, event.agent, event.after, shorten(event.data)]


def short(value: Any) -> Any:
    """Plain JSON with every text cut and every list kept to what a line can hold."""
    if isinstance(value, str):
        return value[:SHORT]
    if isinstance(value, dict):
        return {key: short(one) for key, one in value.items()}
    return [short(one) for one in value[:MOST_ITEMS]] if isinstance(value, list | tuple) else value


def tables_of(text: str) -> list[dict[str, Any]]:
    """The tables of a text, with headings and cells as written.

    Example:
        >>> tables_of("| City | Area (km²) |\\n|---|---|\\n| Rome | 1,285 |")
        [{'columns': ['City', 'Area (km²)'], 'rows': [['Rome', '1,285']]}]
    """
    found = written_tables(text) if text.count("|") > 3 else []
    wide = [table for table in found if len(table.columns) > 1][:MOST_TABLES]
    return [{"columns": _cut(one.columns), "rows": [_cut(row) for row in one.rows[:MOST_ROWS]]} for one in wide]


def _cut(texts: Sequence[str]) -> list[str]:
    """Cells, headings, facts: so many of them, and of each so much, as a table on a screen can show."""
    return [text[:LONGEST_CELL] for text in texts[:MOST_ITEMS]]


def _created(data: dict[str, Any]) -> dict[str, Any]:
    return {"role": data["role"][:SHORT], "prompt": data["prompt"][:PROMPT], "call": data.get("call", "")}


def _began(data: dict[str, Any]) -> dict[str, Any]:
    return {"messages": len(data["messages"])}


def _answered(data: dict[str, Any]) -> dict[str, Any]:
    message = data.get("message", {})
    calls, content = message.get("calls", ()), _text(message.get("content", ""))
    reasoning = message.get("reasoning") or ""
    kept: dict[str, Any] = {key: data[key] for key in ("turn", "usage", "seconds", "waited", "attempts") if key in data}
    kept["said"] = (content.strip() or reasoning.strip())[:SAID]
    facts = [_cut(note.words) for note in notes_of(reasoning) if note.kind == "fact" and len(note.words) == 5]
    if facts := [fact for fact in facts if fact[4]][:MOST_FACTS]:  # row, column, value, date, page
        kept["facts"] = facts
    if calls and (tables := tables_of(content)):
        kept["tables"] = tables
    return kept


def _called(data: dict[str, Any]) -> dict[str, Any]:
    return {"place": data["place"], "name": data["name"][:SHORT], "arguments": data.get("arguments", "")[:SAID]}


def _returned(data: dict[str, Any]) -> dict[str, Any]:
    result = data.get("result", {})
    left, parts = result.get("data", {}), result.get("parts", ())
    kept: dict[str, Any] = {"place": data["place"], "name": data["name"][:SHORT], "seconds": data["seconds"]}
    if failure := result.get("failure"):
        kept["failure"] = failure
    kept["said"] = _text(parts)[:SAID]
    if "page" in left:
        kept["page"] = [str(left["page"])[:1000], str(left.get("title", ""))[:SHORT]]
    return kept


def _ended(data: dict[str, Any]) -> dict[str, Any]:
    outcome = data["outcome"]
    kept = {"stop": outcome["stop"], "reason": outcome.get("reason", "")[:SHORT], "steps": outcome.get("steps", 0)}
    text = outcome.get("text", "")
    kept["said"] = text[:SAID]
    if tables := tables_of(text):
        kept["tables"] = tables
    return kept


def _summarised(data: dict[str, Any]) -> dict[str, Any]:
    kept = {key: data[key] for key in ("usage", "seconds", "waited") if key in data}
    return kept | {"said": data.get("text", "")[:SAID]}


def _told(data: dict[str, Any]) -> dict[str, Any]:
    return {"said": _text(data.get("message", {}).get("content", ""))[:SAID]}


def _nothing(data: dict[str, Any]) -> dict[str, Any]:
    return {}


def _text(content: Any) -> str:
    """A message's content without its media."""
    return content if isinstance(content, str) else "".join(part for part in content if isinstance(part, str))


_SHORTENED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "agent.created": _created,
    "agent.began": _began,
    "agent.told": _told,
    "agent.finished": _ended,
    "agent.stopped": _ended,
    "llm.finished": _answered,
    "context.summarised": _summarised,
    "tool.started": _called,
    "tool.finished": _returned,
    "round.finished": _nothing,
}
