"""Outcome rewards: which answer a text gives, and whether it is the truth."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.answer_rewards import exact, number, same_answer, same_number
from manyeyes.agent.judge import Case
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.errors import ConfigError
from manyeyes.reward.final_answer import final_answer


def case(text: str, truth: object) -> Case:
    return Case(Task("t", "?", truth), Outcome("done", text))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("First \\boxed{1}, no: \\boxed{\\frac{1}{2}}. Done", "\\frac{1}{2}"),
        ("Answer: 3\nFinal answer: 4\n(checked)", "4"),
        ("The answer is: **blue**", "blue"),
        ("Because.\n\n 42 \n", "42"),
        ("\\boxed{1", "\\boxed{1"),
        ("", ""),
    ],
)
def test_the_last_mark_gives_the_answer(text: str, answer: str) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize("said", ["1234.50", "1,234.5", "$1234.5$", "2469/2", "+1234.500", "\\boxed{1234.5}"])
def test_a_number_is_the_same_however_it_is_written(said: str) -> None:
    assert same_number(case(f"Answer: {said}", 1234.5)) == 1.0


@pytest.mark.parametrize("said", ["1234", "-1234.5", "1234.5 or 1", "x", "", "1/0", "9" * 10_000, "1e400"])
def test_another_number_and_no_number_are_not(said: str) -> None:
    assert same_number(case(f"Answer: {said}", 1234.5)) == 0.0


@given(value=st.integers(-(10**12), 10**12), places=st.integers(0, 4))
def test_any_decimal_equals_itself(value: int, places: int) -> None:
    text = f"{value / 10**places:.{places}f}"
    assert same_number(case(f"Answer: {text}", text)) == 1.0


@pytest.mark.parametrize(
    ("said", "truth"), [("-5", "5"), ("5", "-5"), ("\u22125", 5), ("\u20135", "5"), ("x = -2", "x = 2")]
)
def test_the_sign_of_a_number_counts(said: str, truth: object) -> None:
    assert same_answer(case(f"Answer: {said}", truth)) == 0.0
    assert same_answer(case(f"Answer: {said}", [truth, said])) == 1.0


def test_words_compare_as_words_and_one_of_several_is_enough() -> None:
    assert same_answer(case("Answer: The Two red cubes.", "2 red cubes")) == 1.0
    assert (
        same_answer(case("Answer: Bonn", ["Berlin", "Bonn"])) == 1.0
        and same_answer(case("Answer: Rome", ["Bonn"])) == 0.0
    )
    assert asyncio.run(exact()(case("Bonn", "Bonn"))).parts == {"correct": 1.0}
    assert asyncio.run(number()(case("2.0", 2))).reward == 1.0


def test_a_task_without_a_truth_is_the_environments_mistake() -> None:
    with pytest.raises(ConfigError, match="no truth"):
        same_answer(case("x", None))
    with pytest.raises(ConfigError, match="one number"):
        same_number(case("x", "blue"))
    with pytest.raises(ConfigError, match="one number"):
        same_number(case("x", []))


def test_long_answers_take_no_long() -> None:
    began = time.process_time()
    for text in (
        "\\boxed{" * 50_000,
        "answer" * 100_000,
        "answer:" + "*" * 300_000,
        "1" * 500_000,
        "answer is" + " " * 300_000,
    ):
        same_number(case(text, 1))
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("said", "truth", "worth"),
    [(".5", 0.5, 1.0), (".5", 5, 0.0), ("-.5", -0.5, 1.0), ("5.", 5, 1.0), ("3,4", 34, 0.0),
     ("1,234,567", 1234567, 1.0), ("\N{MINUS SIGN}5", -5, 1.0), ("1e-7", 1e-7, 1.0), ("1" + "0" * 20, 1e20, 1.0),
     ("1e9999999", 1, 0.0), ("1.5/3", 0.5, 1.0)],
)  # fmt: skip
def test_points_commas_signs_and_powers_are_read_as_people_do(said: str, truth: object, worth: float) -> None:
    assert same_number(case(f"Answer: {said}", truth)) == worth
