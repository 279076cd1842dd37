import json
import math

from hypothesis import given
from hypothesis import strategies as st

from manyeyes.reward.grm.rubric import Criterion, Rubric
from manyeyes.reward.grm.verdict import LONGEST, last_object, read_levels, read_sides

RUBRIC = Rubric("r", "", (Criterion("good", "?", ("no", "half", "yes")), Criterion("brief", "?", ("no", "yes"))), {})
MARK = "f00dfeed"
scraps = st.lists(
    st.sampled_from(
        ['{"mark": "f00dfeed"', '"good": 1', '"brief": 1', ", ", "}", "{", "NaN", "1e999", "```", "\n", "[[", "9" * 9]
    )
).map("".join)


@given(st.one_of(st.text(), scraps))
def test_no_reply_raises_and_every_verdict_is_in_range(reply):
    levels, sides = read_levels(reply, RUBRIC, MARK), read_sides(reply, RUBRIC, MARK)
    assert levels is None or all(0 <= value <= 1 and math.isfinite(value) for value in levels.values())
    assert sides is None or set(sides.values()) <= {"A", "B", "tie"}


@given(st.integers(-2, 4), st.integers(-2, 4), st.text(max_size=30))
def test_levels_that_exist_are_read_and_no_others(good, brief, said):
    reply = said + "\n" + json.dumps({"brief": brief, "mark": MARK, "good": good}) + "\n"
    exists = good in (0, 1, 2) and brief in (0, 1)
    assert read_levels(reply, RUBRIC, MARK) == ({"good": good / 2, "brief": float(brief)} if exists else None)
    assert read_levels(reply, RUBRIC, "00000000") is None


@given(st.sampled_from(["A", "B", "tie", "C", "a", "", "AB"]))
def test_sides_are_three(side):
    reply = json.dumps({"mark": MARK, "good": side, "brief": "tie"})
    found = read_sides(reply, RUBRIC, MARK)
    assert found == ({"good": side, "brief": "tie"} if side in ("A", "B", "tie") else None)


def test_a_verdict_ends_the_reply_and_is_not_too_long():
    assert last_object('{"mark": "f00dfeed", "x": 1}', MARK) == {"x": 1}
    assert last_object('first {"mark": "f00dfeed", "x": 1} then {"mark": "f00dfeed", "x": 2}', MARK) == {"x": 2}
    assert last_object('{"mark": "f00dfeed", "x": 1}.', MARK) is None
    assert last_object('{"mark": "f00dfeed"' + " " * LONGEST + "}", MARK) is None
    assert last_object("no object", MARK) is last_object("", MARK) is last_object("}", MARK) is None
