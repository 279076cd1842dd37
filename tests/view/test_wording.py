import math
import re

from hypothesis import given
from hypothesis import strategies as st

from manyeyes.view.wording import compact, duration, figure, number, percent, printable

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e]")


@given(st.text(st.characters(codec=None)))
def test_nothing_unprintable_is_left_and_the_rest_stays(text) -> None:
    safe = printable(text)
    safe.encode()
    assert not CONTROLS.search(safe)
    if not CONTROLS.search(text) and not re.search("[\u200e\u200f\u2066-\u2069]", text):
        assert safe == text


@given(st.floats(min_value=1e-12, max_value=1e12))
def test_a_figure_is_close_to_what_it_stands_for(value) -> None:
    words = figure(value)
    scale = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(words[-1], 1)
    assert abs(float(words.rstrip("kMBT")) * scale - value) <= 0.06 * value


@given(st.floats(min_value=0, max_value=1e15))
def test_compact_has_few_characters_and_three_digits(value) -> None:
    words = compact(value)
    scale = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(words[-1], 1)
    assert abs(float(words.rstrip("kMBT")) * scale - value) <= max(0.006 * value, 0.51)
    assert len(words) <= 6


@given(st.floats(min_value=0, max_value=1e8))
def test_durations_are_close_to_what_they_stand_for(seconds) -> None:
    units = {"d": 86_400, "h": 3600, "min": 60, "s": 1}
    words = duration(seconds).split()
    said = sum(float(count) * units[unit] for count, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(said - seconds) <= max(0.5, seconds / 24)


@given(st.floats())
def test_no_float_breaks_a_word(value) -> None:
    for write in (figure, compact, percent, duration):
        assert write(value)


def test_numbers_are_told_from_the_rest() -> None:
    assert number(3) == 3.0 and math.isnan(number(math.nan) or 0)
    assert [number(value) for value in (True, "3", None, [1])] == [None] * 4
