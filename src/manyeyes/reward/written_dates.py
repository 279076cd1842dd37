"""Dates as people write them, in English, Chinese and numbers; a missing day or month is the first.

    2021-03-05   2021/3/5   2021.3   20210305   2021年3月5日   03/05/2021   March 5, 2021   5th of March 2021   2021

Of 03/05/2021 the month comes first unless it cannot. A time of day behind the date is not read.
The answer never depends on today: "March 5" and "yesterday" are no dates here. The official WideSearch scorer uses the
package dateparser, which fills what is missing from today's date and knows 200 languages; `DateReader` is the place to
put it where its numbers must be met to the last digit.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import date

DateReader = Callable[[str], date | None]
"""Reads a date or None; `datetime` is a date too."""

_LONGEST = 60
"""Characters; the longest form above has about fifty, and patterns take long over long texts."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>[12][0-9]{3})"
_TIME = (
    r"(?:(?:t|,?\s+|\s*at\s+)[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?\s*(?:[ap]m|z|utc|gmt|[+-][0-9:]{4,6})?)?"
)
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s*)?"
_FORMS = [
    re.compile(_WEEKDAY + form + _TIME)
    for form in (
        _YEAR + r"(?:\s*年)?",
        _YEAR + r"(?P<month>[0-9]{2})(?P<day>[0-9]{2})",
        _YEAR + r"\s*(?:[-/.]|年)\s*(?P<month>[0-9]{1,2})(?:\s*月)?",
        _YEAR + r"\s*([-/.])\s*(?P<month>[0-9]{1,2})\s*\2\s*(?P<day>[0-9]{1,2})",
        _YEAR + r"\s*年\s*(?P<month>[0-9]{1,2})\s*月\s*(?P<day>[0-9]{1,2})\s*[日号]",
        r"(?P<first>[0-9]{1,2})([-/.])(?P<second>[0-9]{1,2})\2" + _YEAR,
        _MONTH + r"\s*,?\s*" + _YEAR,
        _MONTH + r"\s*" + _DAY + r"\s*,?\s*" + _YEAR,
        _DAY + r"[\s-]*(?:of\s*)?" + _MONTH + r"[\s,-]*" + _YEAR,
        _YEAR + r"[\s,-]*" + _MONTH + r"[\s-]*(?:" + _DAY + r")?",
    )
]


def read_date(text: str) -> date | None:
    """The date that the whole text writes, or None.

    Example:
        >>> str(read_date("5th of March 2021")), str(read_date("2021年3月")), read_date("soon")
        ('2021-03-05', '2021-03-01', None)
    """
    text = unicodedata.normalize("NFKC", text).casefold().strip()
    if len(text) > _LONGEST:
        return None
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    return _date(found.groupdict()) if found else None


def _date(part: dict[str, str | None]) -> date | None:
    month, day = int(part.get("month") or 1), int(part.get("day") or 1)
    if name := part.get("name"):
        month = _MONTHS.index(name[:3]) + 1
    if first := part.get("first"):
        month, day = int(first), int(part["second"] or 1)
        month, day = (day, month) if month > 12 else (month, day)
    try:
        return date(int(part["year"] or 0), month, day)
    except ValueError:
        return None
