import asyncio
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.reward.final_answer import LONGEST, final_answer, last_block
from manyeyes.reward.maths import maths_reward, maths_value, plain, read_number


class Told:
    """An algebra that says what it was told, and remembers what it was asked."""

    def __init__(self, verdict):
        self.verdict, self.asked = verdict, []

    async def same(self, answer, truth):
        self.asked.append((answer, truth))
        return self.verdict


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"first \boxed{1}, then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("Answer: 3\nNo: the answer is: 4", "4"),
        ("**Answer:** 7", "7"),
        ("just this", "just this"),
        ("", ""),
        (r"\boxed{never closed" + "\nAnswer: 5", "5"),
        ("x" * (LONGEST + 1), ""),
    ],
)  # fmt: skip
def test_the_last_answer_counts(text, answer):
    assert final_answer(text) == answer


def test_the_last_closed_block_counts():
    assert last_block("```py\na\n```\n```\nb\n```") == "b\n"
    assert last_block("```py\nnever closed") is None and last_block("inline ```a``` only") is None


@pytest.mark.parametrize(
    ("answer", "truth", "value"),
    [
        ("0.5", r"\frac12", True), (r"\dfrac{-3}{4}", "-0.75", True), ("1,200", "1200", True),
        ("1{,}200", "1200", True), ("$42$.", "42", True), (r"\left( 1, 2 \right)", "(1,2)", True), ("−3", "-3", True),
        ("1/3", r"\frac{1}{3}", True), ("0.333333", r"\frac13", False), ("41.9999999", "42", False),
        ("1000000008", "1000000007", False),
        ("", "42", False), ("4 or 42", "42", None), ("2x", "x+x", None),
        ("12,34", "1234", None), ("4 2", "42", None), ("4$ $2", "42", None),
        ("4\\,200", "4200", True), ("4\\,2", "42", None), ("1/0", "1", None),
    ],
)  # fmt: skip
def test_numbers_are_compared_exactly_and_the_rest_is_left_to_algebra(answer, truth, value):
    assert maths_value(answer, truth) is value


@given(st.fractions(max_denominator=10**6))
def test_every_number_is_itself_however_written(number):
    written = [str(number), rf"\frac{{{number.numerator}}}{{{number.denominator}}}", rf"$ {number} $."]
    assert all(read_number(plain(one)) == number for one in written)
    assert maths_value(str(number + 1), str(number)) is False


@given(st.text())
def test_any_text_can_be_looked_at(text):
    assert maths_value(text, "42") in (True, False, None)
    found = read_number(text)
    assert found is None or isinstance(found, Fraction)


def test_algebra_is_asked_only_where_it_is_needed():
    yes, no, unknown = Told(True), Told(False), Told(None)
    assert asyncio.run(maths_reward(r"so \boxed{42}", "42", verifier=no)) == 1 and not no.asked
    assert asyncio.run(maths_reward("43", "42", verifier=yes)) == 0 and not yes.asked
    assert asyncio.run(maths_reward(r"\boxed{2x}", "x+x", verifier=yes)) == 1 and yes.asked == [("2x", "x+x")]
    assert asyncio.run(maths_reward(r"\boxed{3x}", "x+x", verifier=no)) == 0
    assert asyncio.run(maths_reward(r"\boxed{9^{9^{9}}}", "x", verifier=unknown)) == 0
