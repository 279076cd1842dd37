"""Small programs that count and compute, with known bugs.

Report: none; App. E.5 has tasks of this kind on real repositories.
"""

from typing import Any

import numpy as np

from manyeyes.agent.environments.bug_program import Bug, Program, whole

INTERVALS_SOURCE = '''def merge(intervals):
    """Overlapping or touching intervals joined, sorted by where they begin."""
    merged = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    return merged
'''


def _intervals(draw: np.random.Generator) -> list[Any]:
    lows = draw.integers(0, 20, whole(draw, 2, 6)).tolist()
    return [["merge", [[[low, low + whole(draw, 0, 6)] for low in lows]]]]


INTERVALS = Program(
    "intervals", "Merges overlapping intervals.", INTERVALS_SOURCE, (
        Bug("max(merged[-1][1], high)", "high",
            "an interval inside of a longer one cuts the longer one short"),
        Bug("low <= merged", "low < merged",
            "intervals that touch each other are not joined"),
        Bug("sorted(intervals)", "intervals",
            "the result is wrong when the intervals come in another order"),
    ), _intervals,
)  # fmt: skip

SEARCH_SOURCE = '''def first_at_least(values, target):
    """Where the first value stands that is not below the target; len(values) when all are."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] < target:
            low = middle + 1
        else:
            high = middle
    return low


def count(values, target):
    """How often the target stands in sorted whole numbers."""
    return first_at_least(values, target + 1) - first_at_least(values, target)
'''


def _search(draw: np.random.Generator) -> list[Any]:
    values, target = sorted(draw.integers(0, 12, whole(draw, 0, 9)).tolist()), whole(draw, -1, 13)
    return [["first_at_least", [values, target]], ["count", [values, target]]]


SEARCH = Program(
    "search", "Binary search.", SEARCH_SOURCE, (
        Bug("values[middle] < target", "values[middle] <= target",
            "for a value that is there it answers the place behind it"),
        Bug("0, len(values)", "0, len(values) - 1",
            "it never answers that all values are below the target"),
        Bug("target + 1)", "target)",
            "count is always 0"),
    ), _search,
)  # fmt: skip

DATES_SOURCE = '''LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def is_leap(year):
    """Whether a year has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def day_of_year(year, month, day):
    """1 for the first of January; ValueError for a day that is none."""
    lengths = [29 if number == 1 and is_leap(year) else length for number, length in enumerate(LENGTHS)]
    if not 1 <= month <= 12 or not 1 <= day <= lengths[month - 1]:
        raise ValueError(f"{year}-{month}-{day} is no day")
    return sum(lengths[:month - 1]) + day
'''


def _dates(draw: np.random.Generator) -> list[Any]:
    year = int(draw.choice([1900, 1996, 2000, 2023, 2024, 2100]))
    return [
        ["is_leap", [year]],
        ["day_of_year", [year, whole(draw, 1, 12), whole(draw, 1, 29)]],
        ["day_of_year", [year, 2, 29]],
    ]


DATES = Program(
    "dates", "Days of the calendar.", DATES_SOURCE, (
        Bug(" and (year % 100 != 0 or year % 400 == 0)", "",
            "1900 counts as a leap year"),
        Bug("number == 1 and", "number == 2 and",
            "the 29th of February of a leap year is refused"),
        Bug("lengths[:month - 1]", "lengths[:month]",
            "days are off by the length of their month"),
    ), _dates,
)  # fmt: skip

MONEY_SOURCE = '''def split(cents, people):
    """Shares that add up to the amount and differ by a cent at most, larger ones first; ValueError for nobody."""
    if people < 1:
        raise ValueError("nobody to split among")
    share, rest = divmod(cents, people)
    return [share + 1] * rest + [share] * (people - rest)


def shown(cents):
    """Such as 12.05, with a sign where it is below 0."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"
'''


def _money(draw: np.random.Generator) -> list[Any]:
    amounts = [whole(draw, -1500, 1500), whole(draw, -9, 9)]
    return [*(["shown", [cents]] for cents in amounts), ["split", [whole(draw, 0, 5000), whole(draw, -1, 7)]]]


MONEY = Program(
    "money", "Splits amounts without losing a cent.", MONEY_SOURCE, (
        Bug("[share + 1] * rest + [share] * (people - rest)", "[share] * people",
            "a few cents are lost"),
        Bug("{abs(cents) % 100:02d}", "{abs(cents) % 100}",
            "5 cents are shown as 0.5"),
        Bug("{abs(cents) // 100}", "{cents // 100}",
            "amounts below 0 are shown wrong"),
        Bug('    if people < 1:\n        raise ValueError("nobody to split among")\n', "    people = max(1, people)\n",
            "splitting among nobody is no error"),
    ), _money,
)  # fmt: skip

NUMBERS_PROGRAMS = (INTERVALS, SEARCH, DATES, MONEY)
