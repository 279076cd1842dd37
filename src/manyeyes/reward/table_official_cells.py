"""Preparing and comparing two cells as the official WideSearch scorer does, surprises included.

Two cells without a URL, and two that are no dates, agree; of URLs only the hosts count, letter by letter; an empty
answer stands in every text; `nan` is a number that is near nothing; a number beside a missing criterion is an error.

Report: none; the behaviour of `metric_utils.py` of WideSearch (0e664c3).
"""

import re
from datetime import date
from urllib.parse import urlparse

from manyeyes.core.errors import ManyeyesError
from manyeyes.reward.table_cells import NEAR_DAYS
from manyeyes.reward.table_task import ColumnRule
from manyeyes.reward.written_dates import DateReader

_NUMBER = re.compile(r"[-+]?(?:\d*\.\d+|\d+\.?)%?")
_URL = re.compile(r"https?://(?:[a-zA-Z0-9!*\\(),]|[$-_@.&+]|%[0-9a-fA-F]{2})+")


class OfficialError(ManyeyesError):
    """Where the official scorer raises, which makes the whole table 0."""


def official_prepare(text: str, rule: ColumnRule, *, read_date: DateReader) -> str:
    """A cell after the rule's preparation."""
    for name in rule.preprocess:
        if name == "norm_str":
            text = text.lower().strip().replace(" ", "").replace("*", "")
        elif name == "extract_number":
            number = _NUMBER.search(text.replace(",", ""))
            text = number[0] if number else "NULL"
        else:
            day = _date(text, read_date, guarded=False)
            text = text if day is None else day.strftime("%Y-%m-%d")
    return text


def official_compare(answer: str, gold: str, *, metric: str, criterion: object, read_date: DateReader) -> float:
    """A pair of prepared cells by one metric (all but llm_judge).

    Raises:
        OfficialError: the official function raises.
    """
    if metric == "exact_match":
        return float(answer.lower() == gold.lower())
    if metric == "in_match":
        return float(answer in gold)
    if metric == "url_match":
        return float(_hosts(answer) == _hosts(gold))
    if metric == "number_near":
        return _near_numbers(answer, gold, criterion)
    return _near_dates(_date(answer, read_date, guarded=True), _date(gold, read_date, guarded=True))


def _hosts(text: str) -> set[str]:
    try:
        return {urlparse(url).netloc for url in _URL.findall(text)}
    except ValueError as error:
        raise OfficialError("a URL with half a bracket") from error


def _near_numbers(answer: str, gold: str, criterion: object) -> float:
    one, other = _number(answer), _number(gold)
    if one is None or other is None:
        return float(one is other and answer == gold)
    if not isinstance(criterion, int | float):
        raise OfficialError("number_near without a criterion that is a number")
    return float(abs(one - other) <= abs(other) * criterion)


def _number(text: str) -> float | None:
    try:
        return float(text.replace("%", "")) / 100.0 if "%" in text else float(text)
    except ValueError:
        return None


def _near_dates(one: date | None, other: date | None) -> float:
    if one is None or other is None:
        return float(one is other)
    try:
        return float(abs((one - other).days) <= NEAR_DAYS)
    except TypeError as error:
        raise OfficialError("a date with a time zone beside one without") from error


def _date(text: str, read_date: DateReader, *, guarded: bool) -> date | None:
    try:
        return read_date(text)
    except (ValueError, TypeError, OverflowError) as error:
        if guarded:
            return None
        raise OfficialError("norm_date of a text that its reader cannot bear") from error
