r"""The table in an answer's text as the official WideSearch scorer reads it.

The first block fenced as `markdown` counts, else the first run of pipes. Its lines go through pandas' CSV reader,
which knows nothing of `\|`, takes quotes for its own, moves cells into an index where the first row is longer than the
header, and guesses a type for each column: `007` becomes `7`, and `1` becomes `1.0` in a column with an empty cell.
The guesses are restated here, without pandas.

Report: none; the behaviour of `data_loader.py` of WideSearch (0e664c3) with pandas 2.3.1.
"""

import csv
import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

from manyeyes.reward.table_task import Table, column_name, fitted

MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"]
    + ["NULL", "NaN", "None", "n/a", "nan", "null"]
)
"""What pandas reads as a missing cell; as text it is then `nan`."""

_FENCED = re.compile(r"```markdown(.*?)```", re.DOTALL)
_RUN = re.compile(r"(?:\|.*\n?)+")
_INTEGER = re.compile(r"[ \t]*[-+]?[0-9]{1,1000}[ \t]*")
_FLOAT = re.compile(
    r"[ \t]*[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|inf|infinity)[ \t]*", re.IGNORECASE
)
_DIGITS = re.compile(r"[ \t]*\+?([0-9]+)")
_PARTS = re.compile(r"[ \t]*([-+]?)([0-9]*)\.?([0-9]*)(?:[eE]([-+]?[0-9]+))?[ \t]*")
_TRUTH = {"true": "True", "false": "False"}
_LEAST_INT64, _GREATEST_INT64, _GREATEST_UINT64 = -(2**63), 2**63 - 1, 2**64 - 1
_LONGEST = 1000
"""Digits that are read of an integer; any number of so many is out of range, and Python refuses much longer ones."""
_END = ["\0end"]


def official_table(text: str) -> Table | str:
    """The table, every cell as the text of what pandas took it for, or why pandas refuses it.

    Example:
        >>> official_table("|No|Name|\\n|-|-|\\n|007|Bond|\\n||Q|")
        Table(columns=['no', 'name'], rows=[['7.0', 'Bond'], ['nan', 'Q']])
    """
    block = _block(text)
    if block is None:
        return "no table"
    lines = [line.strip() for line in block.strip().split("\n")]
    kept = [line for line in lines if "|" in line and not set(line) <= set("|- :")]
    joined = "\n".join("|".join(cell.strip() for cell in line.split("|")) for line in kept)
    records = _records(joined)
    if not records:
        return "no line of cells, or a quote that is never closed"
    header, rows = records[0], records[1:]
    extra = max(len(rows[0]) - len(header), 0) if rows else 0  # pandas takes so many first cells for an index
    if any(len(row) > len(header) + extra for row in rows):
        return "a later row has more cells than the first"
    cells = [fitted(row, len(header) + extra)[extra:] for row in rows]
    return _named(guessed(Table(_unmangled(header), cells)))


def guessed(table: Table) -> Table:
    """The table with each column's cells as the text of what pandas takes them for."""
    columns = [_guess([row[place] for row in table.rows]) for place in range(len(table.columns))]
    return Table(table.columns, [list(row) for row in zip(*columns, strict=True)])


def _block(text: str) -> str | None:
    if fenced := _FENCED.search(text):
        return fenced[1]
    if text.count("|") < 4:
        return None
    first, last = text.find("|"), text.rfind("|")
    start, end = max(text.rfind("\n", 0, first), 0), text.find("\n", last)
    run = _RUN.search(text[start : len(text) if end < 0 else end])
    return run[0] if run else None


def _records(text: str) -> list[list[str]]:
    """Records of pipe-separated text; none where a quote stays open."""
    try:
        records = [
            record for record in csv.reader(io.StringIO(f"{text}\n{_END[0]}", newline=None), delimiter="|") if record
        ]
    except csv.Error:
        return []
    return records[:-1] if records[-1] == _END else []


def _unmangled(header: Sequence[str]) -> list[str]:
    names: dict[str, None] = {}
    counts = Counter[str]()
    for place, cell in enumerate(header):
        name = first = cell or f"Unnamed: {place}"
        while name in names:
            counts[first] += 1
            name = f"{first}.{counts[first]}"
        names[name] = None
    return list(names)


def _named(table: Table) -> Table:
    kept = [place for place, name in enumerate(table.columns) if not name.startswith("Unnamed")]
    return Table(
        [column_name(table.columns[place]) for place in kept], [[row[place] for place in kept] for row in table.rows]
    )


def _guess(cells: list[str]) -> list[str]:
    there = [cell for cell in cells if cell not in MISSING]
    integers = list(itertools.takewhile(_INTEGER.fullmatch, there))
    if any(_leading(cell) > _GREATEST_UINT64 for cell in there[: len(integers) + 1]):
        return _texts(cells, lambda cell: cell)
    if len(integers) == len(there):
        return _integers(cells, there)
    if all(_FLOAT.fullmatch(cell) for cell in there) and all(_is_float(cell) for cell in there):
        return _texts(cells, lambda cell: str(_float(cell)))
    if all(cell.lower() in _TRUTH for cell in there):
        return _texts(cells, lambda cell: _TRUTH[cell.lower()])
    return _texts(cells, lambda cell: cell)


def _leading(cell: str) -> int:
    """The digits that a cell begins with: pandas gives up on numbers once they leave 64 bits, whatever follows."""
    digits = _DIGITS.match(cell)
    return int(digits[1][:_LONGEST]) if digits else 0


def _is_float(cell: str) -> bool:
    return math.isfinite(_float(cell)) or "inf" in cell.lower()


def _float(cell: str) -> float:
    """As pandas computes it, in doubles from the first 17 digits: off by some last places where there are so many."""
    parts = _PARTS.fullmatch(cell)
    if parts is None:
        return float(cell)
    sign, whole, decimals, exponent = parts.groups()
    decimals = decimals[: max(17 - len(whole), 0)]
    scale = int((exponent or "0")[:9]) + max(len(whole) - 17, 0) - len(decimals)
    value = 0.0
    for digit in whole[:17] + decimals:
        value = value * 10.0 + int(digit)
    value = value / float(f"1e{-scale - 308}") if scale < -308 else value
    value = value * float(f"1e{scale}") if scale > 0 else value / float(f"1e{min(-scale, 308)}")
    return -value if sign == "-" else value


def _integers(cells: list[str], there: list[str]) -> list[str]:
    values, holes = [int(cell) for cell in there], len(there) < len(cells)
    signed = any("-" in cell for cell in there)
    if min(values, default=0) < _LEAST_INT64 or (max(values, default=0) > _GREATEST_INT64 and (signed or holes)):
        return cells
    return _texts(cells, lambda cell: str(float(int(cell)) if holes else int(cell)))


def _texts(cells: list[str], write: Callable[[str], str]) -> list[str]:
    return ["nan" if cell in MISSING else write(cell) for cell in cells]
