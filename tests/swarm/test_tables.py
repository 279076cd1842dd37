"""Tables of an answer as files; read back by packages that we did not write."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.reward.table_text import WrittenTable, written_tables
from manyeyes.swarm.tables import as_csv, as_markdown, as_xlsx, tables_of

cells = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), min_size=1, max_size=8)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_markdown_is_read_back(rows) -> None:
    rows = [[cell.replace("\\", "") or "x" for cell in row] for row in rows]
    if any(set(cell) <= set("-:") for row in rows for cell in row):
        return
    table = WrittenTable(["first", "second"], rows)
    assert written_tables(as_markdown([table])) == [table]


def test_csv_is_read_back_and_runs_nothing() -> None:
    table = WrittenTable(["a", "b"], [["=HYPERLINK(1)", "-5.5"], ["@x", "one, two"], ["+1", 'say "x"']])
    rows = list(csv.reader(io.StringIO(as_csv([table]))))
    assert rows == [["a", "b"], ["'=HYPERLINK(1)", "-5.5"], ["'@x", "one, two"], ["+1", 'say "x"']]


def test_a_workbook_holds_numbers_and_texts_and_no_formula() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    table = WrittenTable(["name", "n"], [["=1+1", "42"], ["http://x.example", "007"], ["x", "1234567890123456789"]])
    book = openpyxl.load_workbook(io.BytesIO(as_xlsx([table, table])))
    assert book.sheetnames == ["Table 1", "Table 2"]
    rows = list(book["Table 1"].iter_rows())
    assert [[cell.value for cell in row] for row in rows] == [
        ["name", "n"], ["=1+1", 42], ["http://x.example", "007"], ["x", "1234567890123456789"]
    ]  # fmt: skip
    assert rows[1][0].data_type == "s"


def test_an_answer_without_a_table_says_so() -> None:
    with pytest.raises(ConfigError, match="no table"):
        tables_of("Nothing here.")
    assert [table.columns for table in tables_of("| A |\n|---|\n| 1 |\n\ntext\n\n| B |\n|---|\n| 2 |")] == [
        ["A"],
        ["B"],
    ]


def test_full_width_signs_begin_no_formula_either() -> None:
    cells = ["\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM(A1)"]
    read = list(csv.reader(io.StringIO(as_csv([WrittenTable(cells, [cells])]))))
    assert read == [[f"'{cell}" for cell in cells]] * 2
