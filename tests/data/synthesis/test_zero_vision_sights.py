"""Sights: exact truth, the same picture every time, distances that behave, and more than one way to be wrong."""

import json
from fractions import Fraction

import numpy as np
import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.seeds import stream
from manyeyes.data.synthesis.zero_vision_charts import HIGH
from manyeyes.data.synthesis.zero_vision_programs import TEACHERS, printed, written
from manyeyes.data.synthesis.zero_vision_sight import NOTHING, is_right, off, sizes
from manyeyes.data.synthesis.zero_vision_sights import KINDS, SIDE, Sight, sight

MANY = 40


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [SIDE, 96])
def test_a_sight_is_the_same_every_time_and_its_answer_is_right(kind: str, side: int) -> None:
    for number in range(10):
        one, again = sight(kind, number, side=side), sight(kind, number, side=side)
        pixels = one.draw()
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3 and side // 2 <= max(pixels.shape[:2]) <= side
        assert np.array_equal(pixels, again.draw()) and one.question == again.question
        assert is_right(one, one.answer) and not is_right(one, "") and not is_right(one, "I do not know")


@pytest.mark.parametrize("kind", TEACHERS)
def test_some_ways_are_often_right_and_others_often_wrong(kind: str) -> None:
    rng, rates = stream(0, "test"), []
    for teacher in TEACHERS[kind]:
        seen = [sight(kind, number) for number in range(MANY)]
        rates.append(sum(is_right(one, printed(written(teacher, one, rng), one.draw()).strip()) for one in seen) / MANY)
    assert max(rates) >= 0.55 and min(rates) <= 0.45


def test_distances_are_0_at_the_truth_and_1_where_an_answer_is_worth_nothing() -> None:
    number, count = made("number", "30", unit=10.0), made("count", "4")
    assert [off(number, said) for said in ("30", "35", "20.0", "50")] == [0.0, 0.5, 1.0, 2.0]
    assert [off(count, said) for said in ("4", "3", "8")] == [0.0, 0.25, 1.0]
    assert {off(number, said) for said in ("", "about 30", "nan", "inf", "3" * 30)} == {NOTHING}


def test_angles_go_round() -> None:
    angle = made("angle", "355", unit=40.0)
    assert off(angle, "5") == pytest.approx(0.25) and off(angle, "345") == pytest.approx(0.25)
    assert off(angle, "-5") == NOTHING and off(angle, "715") == NOTHING


def test_one_box_counts() -> None:
    box = made("box", "[0.2, 0.2, 0.6, 0.6]")
    assert off(box, "[0.2, 0.2, 0.6, 0.6]") == pytest.approx(0.0)
    assert off(box, "[0.2, 0.2, 0.6, 0.4]") == pytest.approx(0.5)
    for said in ("", "[0.2, 0.2, 0.6, 0.6] [0.2, 0.2, 0.6, 0.6]", "[20, 20, 60, 60]", "(0.2, 0.2)"):
        assert off(box, said) == 1.0


def test_the_share_of_a_colour_is_that_of_its_pixels() -> None:
    for number in range(10):
        one = sight("share", number)
        counted = printed(f"print((abs(im-{one.gaps['colour']}).sum(2)<90).mean())", one.draw())
        assert 100 * float(counted) == pytest.approx(float(one.answer), abs=3)


def test_a_bar_is_as_high_as_its_pixels_say() -> None:
    for number in range(10):
        one = sight("bars", number)
        rows = printed(f"print((abs(im-{one.gaps['colour']}).sum(2)<90).sum(0).max())", one.draw())
        assert float(Fraction(rows) / SIDE * int(one.gaps["high"])) == pytest.approx(float(one.answer), abs=6)
        assert int(one.gaps["high"]) in HIGH


def test_what_fails_is_told_in_one_line() -> None:
    pixels = sight("count", 0).draw()
    assert printed("print(np.zeros(0).min())", pixels).startswith("ValueError: ")
    assert printed("print(1);im[64]", pixels).splitlines()[-1].startswith("IndexError: ")
    assert json.loads(printed("print([1, 2])", pixels)) == [1, 2]


def test_unknown_kinds_and_small_pictures_are_refused() -> None:
    with pytest.raises(ConfigError, match="colours"):
        sight("colours", 0)
    with pytest.raises(ConfigError, match="32"):
        sight("count", 0, side=32)


def made(scoring, answer: str, *, unit: float = 1.0) -> Sight:
    return Sight("made", "?", answer, scoring, "", "", lambda: np.zeros((1, 1, 3), np.uint8), sizes(64), unit)
