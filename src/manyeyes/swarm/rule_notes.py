"""What the rule-based model writes down of what it read, as lines of its reasoning; and how it reads tool results.

    - fact | Iceland | Population | 328,170 | 2025-11-21 | https://figures.example/iceland
    - lead | Iceland – Figures | 2025-11-21 | https://figures.example/iceland
    - member | Iceland
    - unread | https://lists.example/country/africa          (a list page goes on) / - read | …

Everything it knows stands in its own notes, so that hidden tool results and summaries do it no harm. It has no other
source than the texts that the tools returned.

Report: none; a stand-in for a model, for demos and tests without one.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_HEAD = re.compile(r"^\[\^\d+\^\] (.+?)(?: \((\d{4}(?:-\d\d){0,2})\))?\n(https?://\S+)", re.MULTILINE)
_LABEL = re.compile(r"^L\d+: (?:- )?([^:|\[\]#\n]{2,40}): (.+)$", re.MULTILINE)
_ROW = re.compile(r"^L\d+: \| ([^|\n]+?) \| ([^|\n]+?) \|$", re.MULTILINE)
_ITEM = re.compile(r"^L\d+: - \[(.+)\]\(#\d+\)$", re.MULTILINE)
_VIEW = re.compile(r"^\(lines \d+-(\d+) of (\d+)", re.MULTILINE)
_FENCE = re.compile(r"```markdown\n(.*?)```", re.DOTALL)
DASH = " – "
"""Between what a page is about and what kind of page it is, in its title."""


class Note(NamedTuple):
    """A line of notes."""

    kind: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " | ".join((f"- {self.kind}", *self.words))


class Found(NamedTuple):
    """A value, and how old the page is that told it."""

    value: str
    date: str
    url: str


@functools.lru_cache(maxsize=4096)
def notes_of(text: str) -> tuple[Note, ...]:
    """The notes in a text.

    Example:
        >>> notes_of("Let me see.\\n- member | Iceland")
        (Note(kind='member', words=('Iceland',)),)
    """
    lines = (line[2:].split(" | ") for line in text.splitlines() if line.startswith("- ") and " | " in line)
    return tuple(Note(kind, tuple(words)) for kind, *words in lines)


def notes_on(result: str, *, labels: Sequence[str], topic: str) -> list[Note]:
    """What is worth writing down of a tool's result: of a search its leads, of a page its facts or members.

    Args:
        result: of search, open or scroll.
        labels: of the facts that are wanted.
        topic: of the list that is wanted.
    """
    view = _VIEW.search(result)
    if view is None:
        return [Note("lead", (title, date or "", url)) for title, date, url in _HEAD.findall(result)]
    head = _HEAD.match(result)
    if head is None:
        return []
    title, date, url = head[1], head[2] or "", head[3]
    if title.endswith(f"{DASH}List"):
        wanted = title.removesuffix(f"{DASH}List").casefold() == topic.casefold()
        members = [Note("member", (name,)) for name in _ITEM.findall(result)] if wanted else []
        return [*members, Note("unread" if int(view[1]) < int(view[2]) else "read", (url,))]
    told = {label: value for label, value in [*_LABEL.findall(result), *_ROW.findall(result)] if label in labels}
    return [Note("fact", (title.partition(DASH)[0], label, value, date, url)) for label, value in told.items()]


def notes_on_table(text: str) -> list[Note]:
    """The cells of a table that a sub-agent returned; it has weighed dates already."""
    table = table_in(text)
    if table is None:
        return []
    header, *rows = table
    return [
        Note("fact", (row[0], label, value, "9999", ""))
        for row in rows
        for label, value in zip(header[1:], row[1:], strict=False)
        if value
    ]


def table_in(text: str) -> list[list[str]] | None:
    """Header and rows of the first fenced Markdown table.

    Example:
        >>> table_in("```markdown\\n| A | B |\\n| --- | --- |\\n| 1 | 2 |\\n```")
        [['A', 'B'], ['1', '2']]
    """
    fence = _FENCE.search(text)
    if fence is None:
        return None
    lines = [line.strip().strip("|").split("|") for line in fence[1].splitlines() if line.strip().startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    return [row for row in cells if not all(set(cell) <= set("-: ") and cell for cell in row)] or None


def table_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A fenced Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "```markdown\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n```"


def partial_rows(reasonings: Iterable[str], columns: Sequence[str]) -> list[list[str]]:
    """The table as far as it is known after these thoughts of any number of agents; for curves over time.

    Example:
        >>> partial_rows(["- fact | Iron | Symbol | Fe | 2025-01-01 | https://x.example/"], ("Element", "Symbol"))
        [['Iron', 'Fe']]
    """
    known = Known()
    for text in reasonings:
        known.take(notes_of(text))
    names = dict.fromkeys(entity for entity, label in known.facts if label in columns)
    return [
        [name, *(found.value if (found := known.facts.get((name, label))) else "" for label in columns[1:])]
        for name in names
    ]


@dataclass
class Known:
    """What the notes say together.

    Attributes:
        facts: the newest value by entity and label.
        leads: of each entity, date and address of its pages.
        lists: date and address by title, of list pages.
        members: of the group, in the list's order.
        unread: list pages that go on.
    """

    facts: dict[tuple[str, str], Found] = field(default_factory=dict)
    leads: dict[str, dict[str, str]] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
    members: dict[str, None] = field(default_factory=dict)
    unread: dict[str, bool] = field(default_factory=dict)

    def take(self, notes: Iterable[Note]) -> None:
        """Take notes in."""
        for kind, words in notes:
            if kind == "fact" and len(words) == 5:
                self._fact(*words)
            elif kind == "lead" and len(words) == 3:
                self._lead(*words)
            elif kind == "member":
                self.members[words[0]] = None
            elif kind in ("unread", "read"):
                self.unread[words[0]] = kind == "unread"

    def notes(self) -> list[Note]:
        """All of it as notes, leads left out."""
        notes = [Note("member", (name,)) for name in self.members]
        notes += [Note("unread" if more else "read", (url,)) for url, more in self.unread.items()]
        return [*notes, *(Note("fact", (*key, *found)) for key, found in self.facts.items())]

    def _fact(self, entity: str, label: str, value: str, date: str, url: str) -> None:
        before = self.facts.get((entity, label))
        if before is None or date > before.date:
            self.facts[entity, label] = Found(value, date, url)

    def _lead(self, title: str, date: str, url: str) -> None:
        entity, _, kind = title.partition(DASH)
        if kind == "List":
            self.lists.setdefault(entity.casefold(), url)
        elif kind:
            self.leads.setdefault(entity, {})[url] = date
