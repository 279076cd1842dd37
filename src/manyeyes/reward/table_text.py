r"""The table in an answer's text, as Markdown means it.

A table is a header line, a line of dashes, and rows; a cell may hold `\|`. Without a line of dashes the first of
several lines with pipes is the header. Blank lines inside a table and a missing outer pipe are forgiven. Of several
tables the first of those that share most column names with the task is read.

Report: none; the official reading, with its own results on such texts, is `table_official_text`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from manyeyes.reward.table_task import Table, column_name, fitted

_PIPE = re.compile(r"(?<!\\)\|")
_DASHES = re.compile(r"\|?(?:\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?")


class FoundTable(NamedTuple):
    """A table and what was unusual about it.

    Attributes:
        flags: "escaped_pipe", "ragged_rows", "later_table"; see `wide_table`.
    """

    table: Table
    flags: frozenset[str]


def find_table(text: str, required: Sequence[str]) -> FoundTable | None:
    r"""The table that fits the required columns best, or None where there is none.

    Example:
        >>> find_table("Here:\n| City | People |\n|---|---|\n| Rome | 2.8 |", ["city", "people"]).table
        Table(columns=['city', 'people'], rows=[['Rome', '2.8']])
    """
    found = [_read(lines) for lines in _tables(text)]
    if not found:
        return None
    best = max(found, key=lambda one: len(set(one.table.columns) & set(required)))
    return best._replace(flags=best.flags | {"later_table"}) if best is not found[0] else best


class WrittenTable(NamedTuple):
    """A table as it was written: its own column names; rows as long as the header."""

    columns: list[str]
    rows: list[list[str]]


def written_tables(text: str) -> list[WrittenTable]:
    r"""Every table of a text.

    Example:
        >>> written_tables("| City | People |\n|---|---|\n| Rome | 2.8 |")
        [WrittenTable(columns=['City', 'People'], rows=[['Rome', '2.8']])]
    """
    found = [[_cells(line) for line in lines] for lines in _tables(text)]
    return [WrittenTable(head, [fitted(row, len(head)) for row in rows]) for head, *rows in found]


def _tables(text: str) -> Iterator[list[str]]:
    for run in _runs(text):
        heads = [place - 1 for place, line in enumerate(run) if place and _is_dashes(line)]
        starts = heads or [0]
        for start, end in zip(starts, [*starts[1:], len(run)], strict=True):
            lines = [line for place, line in enumerate(run[start:end]) if not (place == 1 and _is_dashes(line))]
            if heads or len(lines) > 1:
                yield lines


def _runs(text: str) -> Iterator[list[str]]:
    """Lines with pipes that belong together; over a blank line only such as begin with one."""
    run, after_blank = [], False
    for line in map(str.strip, (*text.splitlines(), "end")):
        inside = bool(_PIPE.search(line))
        if run and line and (not inside or (after_blank and not line.startswith("|"))):
            yield run
            run = []
        run += [line] if inside else []
        after_blank = not line


def _is_dashes(line: str) -> bool:
    return _DASHES.fullmatch(line) is not None


def _read(lines: list[str]) -> FoundTable:
    columns = [column_name(cell) for cell in _cells(lines[0])]
    rows = [_cells(line) for line in lines[1:]]
    flags = {"escaped_pipe"} if any("\\|" in line for line in lines) else set()
    flags |= {"ragged_rows"} if any(len(row) != len(columns) for row in rows) else set()
    return FoundTable(Table(columns, [fitted(row, len(columns)) for row in rows]), frozenset(flags))


def _cells(line: str) -> list[str]:
    cells = [cell.replace("\\|", "|").strip() for cell in _PIPE.split(line)]
    first = 1 if len(cells) > 1 and not cells[0] else 0
    return cells[first : len(cells) - 1 if len(cells) > 1 and not cells[-1] else None]
