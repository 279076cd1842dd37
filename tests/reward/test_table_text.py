import pytest

from manyeyes.reward.table_official_text import guessed, official_table
from manyeyes.reward.table_task import Table
from manyeyes.reward.table_text import find_table

PLAIN = "|City|People|\n|---|---|\n|Rome|2.8|\n|Oslo|0.7|"
ROWS = [["Rome", "2.8"], ["Oslo", "0.7"]]


def found(text, required=("city", "people")):
    table = find_table(text, required)
    return (table.table.columns, table.table.rows, set(table.flags)) if table else None


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"Here:\n\n{PLAIN}\n\nDone | at last",
        f"```markdown\n{PLAIN}\n```",
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n|Oslo", "\n\n|Oslo"),
        "City|People\n---|:-:\nRome|2.8\nOslo|0.7",
        "|City|People|\n|Rome|2.8|\n|Oslo|0.7|",
        "a note | with a pipe\n" + PLAIN,
    ],
)
def test_tables_are_read_as_markdown_means_them(text):
    assert found(text) == (["city", "people"], ROWS, set())


def test_the_table_that_fits_is_read():
    assert found("|a|b|\n|-|-|\n|1|2|\n\n" + PLAIN) == (["city", "people"], ROWS, {"later_table"})
    assert found(PLAIN + "\n\n|a|b|\n|-|-|\n|1|2|") == (["city", "people"], ROWS, set())


def test_ragged_rows_and_escaped_pipes():
    assert found("|a|b|\n|-|-|\n|1|\n|1|2|3|\n|x\\|y||") == (
        ["a", "b"],
        [["1", ""], ["1", "2"], ["x|y", ""]],
        {"ragged_rows", "escaped_pipe"},
    )


def test_what_is_no_table():
    assert find_table("nothing", ["a"]) is None and find_table("one | line", ["a"]) is None
    assert find_table("|a|\n|-|", ["a"]).table == Table(["a"], [])
    assert official_table("a | b") == "no table"


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        (PLAIN, ["city", "people"], ROWS),
        ("x\n```markdown\n" + PLAIN + "\n```\n|other|t|\n|1|2|", ["city", "people"], ROWS),
        ("|No|\n|007|\n|1|", ["no"], [["7"], ["1"]]),
        ("|k|n|\n|a|1|\n|b||", ["k", "n"], [["a", "1.0"], ["b", "nan"]]),
        ("|k|\n|TRUE|\n|false|", ["k"], [["True"], ["False"]]),
        ('|k|v|\n|"a|b"|c|', ["k", "v"], [["a|b", "c"]]),
        ("|k|v|\n|a|", ["k", "v"], [["a", "nan"]]),
        ("|k|k|\n|a|b|", ["k", "k.1"], [["a", "b"]]),
        ("|k|v|\n|-|-|\n|- | -|\n|a|b|", ["k", "v"], [["a", "b"]]),
        ("|k|v|\n|x|a|b|", ["k", "v"], [["a", "b"]]),
    ],
)
def test_the_official_reading(text, columns, rows):
    assert official_table(text) == Table(columns, rows)


def test_what_the_official_reader_refuses():
    assert "more cells" in official_table("|k|v|\n|a|b|\n|a|b|c|")
    assert "quote" in official_table('|k|v|\n|"a|b|')
    assert "quote" in official_table("```markdown\n|-|\n```")


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        (["1", "x"], ["1", "x"]),
        (["+5", "-0"], ["5", "0"]),
        (["-0", ""], ["0.0", "nan"]),
        (["-0", "0.5"], ["-0.0", "0.5"]),
        (["-0", "9223372036854775808"], ["-0", "9223372036854775808"]),
        (["1.50", "2"], ["1.5", "2.0"]),
        (["", "N/A", "null"], ["nan", "nan", "nan"]),
        (["True", "", "false"], ["True", "nan", "False"]),
        (["True", "1"], ["True", "1"]),
        (["inf", "1e3"], ["inf", "1000.0"]),
        (["1e400", "1"], ["1e400", "1"]),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
        (["9223372036854775808", ""], ["9223372036854775808", ""]),
        (["9223372036854775808", "-1"], ["9223372036854775808", "-1"]),
        (["99999999999999999999", "1.0", ""], ["99999999999999999999", "1.0", "nan"]),
        (["1.0", "99999999999999999999"], ["1.0", "1.0000000000000002e+20"]),
        (["0.1234567890123456789012345"], ["0.1234567890123456"]),
    ],
)
def test_types_are_guessed_as_pandas_guesses_them(cells, texts):
    """The right side is what pandas 2.3.1 gives."""
    assert guessed(Table(["a"], [[cell] for cell in cells])).rows == [[text] for text in texts]
