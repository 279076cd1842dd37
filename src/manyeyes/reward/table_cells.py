"""Preparing and comparing two cells, without the surprises of the official rules (those are in `table_official_cells`).

    exact_match    equal without case, or equal as numbers: `1` is `1.0` is `1.00`
    url_match      the same pages: host without `www.`, path and query; a true URL without a path means the whole site
    in_match       the answer stands in the truth
    number_near    |answer - truth| ≤ criterion × |truth|, computed exactly; `%` is a hundredth
    date_near      at most 31 days apart

Where neither cell holds what is compared (no number, date or URL), equal texts are right and others wrong. A cell that
says that it is empty (`N/A`, `null`, …) is empty; an empty answer is right only where the truth is empty.

Report: §5.2 (WideSearch); Wong et al., "WideSearch", 2025, §4.
"""

import re
from datetime import date, datetime
from fractions import Fraction
from typing import NamedTuple
from urllib.parse import urlsplit

from manyeyes.reward.table_task import ColumnRule
from manyeyes.reward.written_dates import DateReader

NEAR_DAYS = 31
"""Days that two dates may lie apart: the official constant."""
EMPTY = frozenset("|#n/a|#n/a n/a|#na|<na>|n/a|na|null|nan|-nan|none".split("|"))
"""What an empty cell says, in lower case: what pandas reads as missing, for the official scorer reads with it."""

_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,2})?%?")
_FIRST_NUMBER = re.compile(r"[-+]?(?:\d*\.\d+|\d+\.?)%?")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_URL = re.compile(r"https?://(?:(?![,;]https?://)[^\s<>\"'|\\^`{}\[\]])+", re.IGNORECASE)


class Cell(NamedTuple):
    """What a pair of cells is worth, and the correction that decided it.

    Attributes:
        score: 0.0 or 1.0.
        flag: empty where the official rule says the same for the reason it should; see `wide_table`.
    """

    score: float
    flag: str = ""


def clean(text: str) -> str:
    """A cell without outer blanks; "" for one that says that it is empty."""
    text = text.strip()
    return "" if text.lower() in EMPTY else text


def prepare(text: str, rule: ColumnRule, *, read_date: DateReader) -> str:
    """A cell after the rule's preparation.

    Example:
        >>> prepare("about **1,200** km", ColumnRule(("extract_number",)), read_date=lambda text: None)
        '1200'
    """
    for name in rule.preprocess:
        if name == "norm_str":
            text = text.lower().replace(" ", "").replace("*", "").strip()
        elif name == "extract_number":
            number = _FIRST_NUMBER.search(text.replace(",", ""))
            text = number[0] if number else text
        else:
            day = _day(read_date(text))
            text = day.isoformat() if day else text
    return text


def compare(answer: str, gold: str, *, metric: str, criterion: object, read_date: DateReader) -> Cell:
    """A pair of prepared cells by one metric (all but llm_judge)."""
    if not answer or not gold:
        in_gold = metric == "in_match" and not answer and gold
        return Cell(float(answer == gold), "empty_in_gold" if in_gold else "")
    if metric == "in_match":
        return Cell(float(answer in gold))
    if metric == "url_match":
        return _same_pages(answer, gold)
    if metric == "number_near":
        return _near_numbers(answer, gold, criterion)
    if metric == "date_near":
        return _near_dates(answer, gold, read_date)
    return same_text(answer, gold)


def same_text(answer: str, gold: str) -> Cell:
    """Equal without case, or equal as numbers.

    Example:
        >>> same_text("1,200.0", "1200"), same_text("Rome", "ROME")
        (Cell(score=1.0, flag='number_form'), Cell(score=1.0, flag=''))
    """
    if answer.lower() == gold.lower():
        return Cell(1.0)
    one, other = read_number(answer), read_number(gold)
    return Cell(1.0, "number_form") if one is not None and one == other else Cell(0.0)


def join_form(text: str) -> Fraction | str:
    """What keys are joined on: the value of a number, otherwise the text."""
    number = read_number(text)
    return text if number is None else number


def read_number(text: str) -> Fraction | None:
    """The number that the whole text writes, exactly; None where it writes none.

    Example:
        >>> read_number("-1,234.5"), read_number("45%"), read_number("nan")
        (Fraction(-2469, 2), Fraction(9, 20), None)
    """
    text = _THOUSANDS.sub("", text)
    if not _NUMBER.fullmatch(text):
        return None
    return Fraction(text[:-1]) / 100 if text.endswith("%") else Fraction(text)


def _near_numbers(answer: str, gold: str, criterion: object) -> Cell:
    one, other, within = read_number(answer), read_number(gold), _tolerance(criterion)
    flag = "" if within is not None else "no_criterion"
    if one is not None and other is not None:
        return Cell(float(abs(one - other) <= abs(other) * (within or 0)), flag)
    same = answer.lower() == gold.lower()
    return Cell(float(same), "no_number" if one is other and not same else "")


def _tolerance(criterion: object) -> Fraction | None:
    return read_number(str(criterion)) if isinstance(criterion, int | float | str) else None


def _near_dates(answer: str, gold: str, read_date: DateReader) -> Cell:
    one, other = _day(read_date(answer)), _day(read_date(gold))
    if one and other:
        return Cell(float(abs((one - other).days) <= NEAR_DAYS))
    same = answer.lower() == gold.lower()
    return Cell(float(same), "no_date" if one is other and not same else "")


def _day(value: date | None) -> date | None:
    return value.date() if isinstance(value, datetime) else value


def _same_pages(answer: str, gold: str) -> Cell:
    ones, others = _pages(answer), _pages(gold)
    if not ones and not others:
        same = answer.lower() == gold.lower()
        return Cell(float(same), "" if same else "no_url")
    sites = {page[0] for page in others if not page[1]}
    one, other = ({page[:1] if page[0] in sites else page[:2] for page in pages} for pages in (ones, others))
    right, official = one == other, {page[2] for page in ones} == {page[2] for page in others}
    return Cell(float(right), "" if right == official else "other_page" if official else "same_host")


def _pages(text: str) -> set[tuple[str, str, str]]:
    return {page for url in _URL.findall(text) if (page := _page(url)) is not None}


def _page(url: str) -> tuple[str, str, str] | None:
    url = url.rstrip(".,;:!?*_~)\u3002\uff0c")
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = parts.netloc.lower().rpartition("@")[2].removeprefix("www.")
    path = parts.path.rstrip("/") + (f"?{parts.query}" if parts.query else "")
    return (host, path, parts.netloc) if host else None
