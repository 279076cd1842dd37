"""Tasks that are too wide for one agent: an invented world, what is asked of it, and the proof that one is not enough.

    Find width of (C-J).                             →  C 41   D 90   E 17 …
    search("C") → Page 53      open(53) → C, More 18      open(18) → C 41

    wide        a table: a number of every entity, on the second of its two pages
    deep        chains: what is asked for stands at the end of a row of pages
    document    sections of a long document, two pages of prose each: together more than a context
    download    files: the first address has moved, the second tells the checksum; a file whose checksum is put down
                counts as fetched, and no bytes are kept
    report      a document: a section for every entity, its fact looked up as in a table ("Write width of (C-J).")

No prompt says how the work is to be divided. Rows do not depend on each other, so as many agents as there are rows need
as long as one row takes; one agent needs `steps_alone`. Entities are letters in a row and values numbers of
two digits, each letter and digit a token of the vocabulary of recipe `tiny`.

Report: §3 (prompt construction: wide search, deep search, long-context document analysis, large-scale file download).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from manyeyes.agent.tools.local_web import WebPage
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.seeds import stream
from manyeyes.data.collection import Split
from manyeyes.data.held_out import split_of
from manyeyes.data.synthesis.generator import HELD_OUT, PATIENCE, between, pick, some
from manyeyes.data.synthesis.retrieval import filler

Family = Literal["wide", "deep", "document", "download", "report"]
KEYS = "ABCDEFGHIJKLMNOPQRSTUVW"
COLUMNS: dict[Family, tuple[str, ...]] = {
    "wide": ("weight", "width", "number"), "deep": ("label",), "document": ("word",), "download": ("data",),
    "report": ("weight", "width", "number"),
}  # fmt: skip
"""What may be asked for."""
HOST = "https://world.example"
SENTENCES = 4
"""Of a page of a document."""
STEP_TOKENS = 58
"""That a call and its result take beside the page, in the vocabulary of recipe `tiny`; measured."""
BYTES_A_TOKEN = 2.5
"""Of pages, in that vocabulary; measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A task and its world.

    Attributes:
        rows: the values of each key, in the order of the columns.
        pages: the whole world.
        reads: pages that each row has to be read from, at least.
        hits: pages that a search tells, best first; with more than one there are some that only look right.
    """

    family: Family
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]
    pages: tuple[WebPage, ...]
    reads: int
    hits: int = 1

    @property
    def prompt(self) -> str:
        """What is asked."""
        return question(self.columns, "".join(self.rows), writes=self.family == "report")

    @property
    def lookups_alone(self) -> int:
        """Tool calls that one agent needs at least to have seen everything: a search for each row, and its pages."""
        return len(self.rows) * (1 + self.reads)

    @property
    def calls_alone(self) -> int:
        """The same with a call for each row that puts it down, where rows are shared."""
        return self.lookups_alone + len(self.rows)

    @property
    def steps_alone(self) -> int:
        """Critical steps of one agent that makes a call at a time, the answer included."""
        return self.calls_alone + 1

    @property
    def tokens_alone(self) -> int:
        """Tokens, about, of one agent's history at the end."""
        return self.calls_alone * STEP_TOKENS + round(sum(len(page.text) for page in self.pages) / BYTES_A_TOKEN)


class Limit(NamedTuple):
    """What one agent may use.

    Attributes:
        critical: critical steps.
        calls: tool calls.
    """

    critical: int
    calls: int


def exceeds(plan: Plan, limit: Limit) -> bool:
    """Whether a task is more than one agent can do within its steps and its tool calls, however it delivers the rows:
    only what it has to look up is counted.

    Example:
        >>> exceeds(plan_at(0, rows=(4, 4)), Limit(critical=9, calls=9))
        True
    """
    return plan.lookups_alone + 1 > limit.critical and plan.lookups_alone > limit.calls


def question(columns: Sequence[str], keys: str, *, writes: bool = False) -> str:
    """The words of a task.

    Args:
        keys: letters in a row.
        writes: a report is to be written.

    Example:
        >>> question(["width"], "CDE"), question(["width"], "C", writes=True)
        ('Find width of (C-E).', 'Write width of (C).')
    """
    keys = keys if len(keys) == 1 else f"{keys[0]}-{keys[-1]}"
    return f"{'Write' if writes else 'Find'} {','.join(columns)} of ({keys})."


def plan_at(
    number: int,
    *,
    seed: int = 0,
    split: Split = "train",
    rows: tuple[int, int] = (4, 12),
    families: Mapping[Family, float] = {"wide": 1.0},
) -> Plan:
    """The task of a number; the same one every time. No content occurs in both splits.

    Args:
        rows: fewest and most.
        families: kinds of tasks by weight.

    Raises:
        ConfigError: no such rows or families.
    """
    _require(rows, families)
    draw = stream(seed, f"swarm/parl/{split}", number)
    shares = np.array(list(families.values()))
    for _ in range(PATIENCE):
        family = list(families)[int(draw.choice(len(families), p=shares / shares.sum()))]
        content = _content(family, draw, rows)
        if split_of(repr(content), per_mille=HELD_OUT) == split:
            return MAKERS[family](content, draw)
    raise DataError(f"no task of these families belongs to split {split!r}")


class _Content(NamedTuple):
    """What is asked and what is true."""

    family: Family
    column: str
    values: dict[str, str]
    """By key."""


def _content(family: Family, draw: np.random.Generator, rows: tuple[int, int]) -> _Content:
    count = between(draw, *rows)
    first = between(draw, 0, len(KEYS) - count)
    values = {key: str(between(draw, 10, 99)) for key in KEYS[first : first + count]}
    return _Content(family, pick(draw, COLUMNS[family]), values)


def _wide(content: _Content, draw: np.random.Generator) -> Plan:
    return _plan(content, draw, {key: [key, f"{key} {value}"] for key, value in content.values.items()})


def _deep(content: _Content, draw: np.random.Generator) -> Plan:
    return _plan(content, draw, {key: [key, key, f"{key} {value}"] for key, value in content.values.items()})


def _document(content: _Content, draw: np.random.Generator) -> Plan:
    texts: dict[str, list[str]] = {}
    for key, value in content.values.items():
        prose = [" ".join(filler(draw) for _ in range(SENTENCES)) for _ in range(2)]
        texts[key] = [f"{key}\n{prose[0]}", f"{prose[1]}\n{key} {value}"]
    return _plan(content, draw, texts)


def _download(content: _Content, draw: np.random.Generator) -> Plan:
    return _plan(content, draw, {key: [f"{key} moved", f"{key} {value}"] for key, value in content.values.items()})


def _plan(content: _Content, draw: np.random.Generator, texts: Mapping[str, Sequence[str]]) -> Plan:
    """Pages under numbers without order, each with a link to the next of its row; the first is titled by its key."""
    numbers = iter(some(draw, range(10, 100), sum(map(len, texts.values()))))
    pages: list[WebPage] = []
    for key, told in texts.items():
        places = [next(numbers) for _ in told]
        for at, (place, text) in enumerate(zip(places, told, strict=True)):
            more = f"\n[More]({HOST}/{places[at + 1]})" if at + 1 < len(places) else ""
            pages.append(WebPage(f"{HOST}/{place}", f"{key} {key}" if at == 0 else "More", text + more))
    reads = max(map(len, texts.values()))
    rows = {key: (value,) for key, value in content.values.items()}
    return Plan(content.family, (content.column,), rows, tuple(pages), reads)


MAKERS: dict[Family, Callable[[_Content, np.random.Generator], Plan]] = {
    "wide": _wide, "deep": _deep, "document": _document, "download": _download, "report": _wide,
}  # fmt: skip


def _require(rows: tuple[int, int], families: Mapping[Family, float]) -> None:
    if not 1 <= rows[0] <= rows[1] <= len(KEYS):
        raise ConfigError(f"a task has 1 to {len(KEYS)} rows, got {rows[0]} to {rows[1]}")
    if not families or any(name not in MAKERS or not weight > 0 for name, weight in families.items()):
        raise ConfigError(f"families of tasks are {', '.join(MAKERS)}, with weights above 0; got {dict(families)}")
