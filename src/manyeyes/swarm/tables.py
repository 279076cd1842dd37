"""Tables of an answer as files: Markdown, CSV, XLSX.

Cells come from web pages and models, and a spreadsheet would run a cell that begins like a formula: in CSV such a cell
gets an apostrophe in front, in XLSX every cell is written as text or as a plain number.

Report: App. E.8, §5.2 (WideSearch answers are tables).
"""

import csv
import io
import re
from collections.abc import Sequence

from manyeyes.core.errors import ConfigError
from manyeyes.reward.table_text import WrittenTable, written_tables

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are full-width: some spreadsheets read them as the others."""


def tables_of(answer: str) -> list[WrittenTable]:
    """The tables of an answer.

    Raises:
        ConfigError: there is none.
    """
    if not (found := written_tables(answer)):
        raise ConfigError("the answer holds no table; answer.md has its text")
    return found


def as_markdown(tables: Sequence[WrittenTable]) -> str:
    """Tables one below the other."""
    return "\n".join(_markdown(table) for table in tables)


def as_csv(tables: Sequence[WrittenTable]) -> str:
    r"""Tables one below the other, an empty line between them.

    Example:
        >>> as_csv([WrittenTable(["a", "b"], [["=1+1", "-5"]])])
        "a,b\r\n'=1+1,-5\r\n"
    """
    out = io.StringIO()
    for number, table in enumerate(tables):
        out.write("\r\n" if number else "")
        csv.writer(out).writerows([[_harmless(cell) for cell in row] for row in (table.columns, *table.rows)])
    return out.getvalue()


def as_xlsx(tables: Sequence[WrittenTable]) -> bytes:
    """A workbook, a sheet for each table.

    Raises:
        ConfigError: xlsxwriter is not installed.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise ConfigError("XLSX needs xlsxwriter: pip install 'manyeyes[export]'") from None
    out = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(out, options) as book:
        bold = book.add_format({"bold": True})
        for number, table in enumerate(tables, 1):
            sheet = book.add_worksheet(f"Table {number}")
            for column, name in enumerate(table.columns):
                sheet.write_string(0, column, name, bold)
            for row, cells in enumerate(table.rows, 1):
                for column, cell in enumerate(cells):
                    _write(sheet, row, column, cell)
            sheet.freeze_panes(1, 0)
            sheet.autofilter(0, 0, len(table.rows), max(0, len(table.columns) - 1))
            sheet.autofit()
    return out.getvalue()


def _write(sheet: "object", row: int, column: int, cell: str) -> None:
    """A number where that loses nothing, else text: "007" and 20 digits stay as they are."""
    if _NUMBER.fullmatch(cell) and len(cell) <= 15 and not re.match(r"[+-]?0\d", cell):
        sheet.write_number(row, column, float(cell))  # pyright: ignore[reportAttributeAccessIssue]
    else:
        sheet.write_string(row, column, cell)  # pyright: ignore[reportAttributeAccessIssue]


def _markdown(table: WrittenTable) -> str:
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell
