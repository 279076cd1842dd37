from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.reward.written_dates import read_date


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%m/%d/%Y", "%B %d, %Y", "%d %B %Y", "%b. %d, %Y", "%d-%b-%Y"]
    + ["%dth of %B %Y", "%Y年%m月%d日", "%Y 年 %m 月 %d 日", "%B%d,%Y", "%d%B%Y", "%A, %B %d, %Y", "%Y-%m-%dT12:30:00Z"]
    + ["%Y %B %d", "%B %d %Y", "%Y-%m-%d 12:30"],
)
@given(day=st.dates(date(1000, 1, 1), date(2999, 12, 31)))
def test_written_and_read_again(form, day):
    assert read_date(day.strftime(form)) == day


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2021", "2021-01-01"),
        ("2021年", "2021-01-01"),
        ("March 2021", "2021-03-01"),
        ("2021-3", "2021-03-01"),
        ("2021年3月", "2021-03-01"),
        ("25/12/2020", "2020-12-25"),
        (" sept. 3rd, 2021 ", "2021-09-03"),
        ("２０２１－０３－０５", "2021-03-05"),
    ],
)
def test_what_is_missing_is_the_first(text, day):
    assert read_date(text) == datetime.fromisoformat(day).date()


@pytest.mark.parametrize(
    "text",
    ["", "soon", "March 5", "2021-13-01", "2021-02-30", "12", "2021-2022", "13/13/2021", "5", "may" + " " * 99999],
)
def test_what_is_no_date(text):
    assert read_date(text) is None


@given(st.text(alphabet="0123456789-/. ,年月日MarchJune:T", max_size=70))
def test_nothing_raises(text):
    found = read_date(text)
    assert found is None or isinstance(found, date)
