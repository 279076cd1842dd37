"""How numbers, times and foreign text are written for people, in the terminal and on pages.

Whatever a run holds (names, questions, answers of a model) is foreign text: it may carry control characters that move a
terminal's cursor or break a page, so both views pass it through `printable`.
"""

import math
import re
from typing import Any

# C0 and C1 controls but tab and newline, DEL, lone surrogates, and the marks that reorder text.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def printable(text: object) -> str:
    r"""The text with every control character spelt out.

    Example:
        >>> printable("red\x1b[2J")
        'red\\x1b[2J'
    """
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), str(text))


def number(value: Any) -> float | None:
    """A log's value as a number; None for anything else (bool, text, missing)."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def figure(value: float) -> str:
    """About four digits, whatever the size.

    Example:
        >>> [figure(x) for x in (0.0, 2.34567, 12.3456, 1234.5, 0.00123456, 2e-7)]
        ['0', '2.346', '12.35', '1234', '0.00123', '2.0e-07']
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    size = abs(value)
    if size >= 1000:
        return compact(value) if size >= 1e5 else f"{value:.0f}"
    if size >= 0.1:
        return f"{value:.2f}" if size >= 10 else f"{value:.3f}"
    return f"{value:.5f}".rstrip("0") if size >= 1e-3 else f"{value:.1e}"


def compact(value: float) -> str:
    """A count in three digits and a letter.

    Example:
        >>> [compact(x) for x in (17, 4096, 123456, 2.5e9)]
        ['17', '4.10k', '123k', '2.50B']
    """
    if not math.isfinite(value):
        return f"{value:g}"
    for size, letter in _UNITS:
        if abs(value) >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.{max(0, 2 - int(math.log10(max(abs(scaled), 1.0)) + 1e-9))}f}{letter}"
    return f"{value:.0f}"


def percent(share: float) -> str:
    """A share as percent with one decimal.

    Example:
        >>> percent(0.7654)
        '76.5%'
    """
    return f"{100 * share:.1f}%" if math.isfinite(share) else f"{share:g}"


def duration(seconds: float) -> str:
    """A time span in its two largest units.

    Example:
        >>> [duration(x) for x in (4.2, 59.7, 125, 3725, 200_000)]
        ['4.2 s', '1 min', '2 min 5 s', '1 h 2 min', '2 d 7 h']
    """
    if not math.isfinite(seconds) or seconds < 0:
        return "?"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, below, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
