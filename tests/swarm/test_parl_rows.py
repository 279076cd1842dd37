"""Rows of a small table, and their item-F1."""

from hypothesis import given
from hypothesis import strategies as st

from manyeyes.swarm.parl_rows import item_agreement, read_rows, written_rows

GOLD = {"C": ("4", "17"), "D": ("0", "3")}
NUMBER = st.integers(0, 999).map(str)


@given(st.dictionaries(st.text("ABCdef", min_size=1, max_size=3), st.tuples(NUMBER, NUMBER), min_size=1, max_size=8))
def test_written_rows_are_read_back(rows) -> None:
    assert dict(read_rows(written_rows(rows))) == rows


@given(st.dictionaries(st.sampled_from("ABCDEFG"), st.tuples(NUMBER, NUMBER), min_size=1, max_size=7))
def test_the_truth_is_worth_everything(rows) -> None:
    assert item_agreement(written_rows(rows), rows).perfect


@given(st.text(max_size=300))
def test_no_answer_raises_or_leaves_the_range(text) -> None:
    assert 0.0 <= item_agreement(text, GOLD).f1 <= 1.0


def test_edges() -> None:
    assert item_agreement("", GOLD).f1 == 0.0
    assert item_agreement("C4,17", GOLD) == (1.0, 0.5, 2 / 3)
    assert item_agreement(" c: 4, 17\nNothing else.\nD0 , 3", GOLD).perfect
    assert item_agreement("C4,17\nC4,17\nD0,3", GOLD).precision == 4 / 6
    assert item_agreement("C4,17,9\nD0,3", GOLD).precision == 4 / 5
    assert item_agreement("Z4,17\nC4", GOLD)[:2] == (1 / 3, 1 / 4)
