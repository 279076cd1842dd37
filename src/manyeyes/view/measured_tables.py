"""Held-out tasks that a judge scores, before and now: a line a set, and the parts of the reward folded away.

A measurement in between asks a part of the tasks that the first one and the last one ask; the table says how many.
"""

from collections.abc import Mapping
from math import isfinite
from statistics import fmean

from manyeyes.view.history import Curve
from manyeyes.view.markup import Markup, tag
from manyeyes.view.report_tables import table
from manyeyes.view.wording import figure, percent

Scores = Mapping[str, Curve]
IN_A_LINE = ("reward", "tokens", "calls", "questions", "failed")
"""Scores that the line of a set has; all others are parts."""


def measured_table(sets: Mapping[str, Scores]) -> Markup:
    """Reward of each set first, now, and the difference; length and use of tools beside it.

    Args:
        sets: scores over steps, by set and score.
    """
    rows = [_line(name, scores) for name, scores in sets.items()]
    if len(rows) > 1 and (mean := _mean(sets)):
        rows.append(mean)
    heads = "set|#reward, first|#now|#change|#tokens of an answer|#attempts that call a tool|#failed|#asked|#step"
    return tag("div", table(heads, rows), _parts(sets))


def _line(name: str, scores: Scores) -> tuple[Markup | str, ...]:
    first, now = _ends(scores, "reward")
    steps = [found.steps[-1] for found in scores.values() if found.steps]
    return (
        name, _figure(first), tag("b", _figure(now)), _change(first, now),
        _fall(scores, "tokens", share=False), _fall(scores, "calls", share=True), _count(scores, "failed"),
        _asked(scores), f"{max(steps):,.0f}" if steps else "",
    )  # fmt: skip


def _mean(sets: Mapping[str, Scores]) -> tuple[Markup | str, ...] | None:
    """Over sets that have a reward at both ends."""
    ends = [_ends(scores, "reward") for scores in sets.values()]
    known = [(first, now) for first, now in ends if first is not None and now is not None]
    if not known:
        return None
    first, now = fmean(one for one, _ in known), fmean(one for _, one in known)
    name = tag("b", "mean" if len(known) == len(ends) else f"mean of {len(known)}")
    return name, _figure(first), tag("b", _figure(now)), _change(first, now), "", "", "", "", ""


def _parts(sets: Mapping[str, Scores]) -> Markup | None:
    rows = []
    for name, scores in sets.items():
        for score, found in scores.items():
            if score not in IN_A_LINE and found.values:
                first, now = _ends(scores, score)
                words = score.removeprefix("part_").replace("_", " ")
                rows.append((name, words, _figure(first), _figure(now), _change(first, now)))
    if not rows:
        return None
    listed = table("set|part|#first|#now|#change", rows)
    return tag("details", tag("summary", "parts of the reward, and tools by name"), listed)


def _ends(scores: Scores, score: str) -> tuple[float | None, float | None]:
    """The first and the last finite value."""
    values = [value for value in scores[score].values if isfinite(value)] if score in scores else []
    return (values[0], values[-1]) if values else (None, None)


def _figure(value: float | None) -> str:
    return "" if value is None else figure(value)


def _change(first: float | None, now: float | None) -> str:
    return "" if first is None or now is None else f"{now - first:+.3f}"


def _fall(scores: Scores, score: str, *, share: bool) -> str:
    first, now = _ends(scores, score)
    if first is None or now is None:
        return ""
    return f"{percent(first)} → {percent(now)}" if share else f"{first:.1f} → {now:.1f}"


def _asked(scores: Scores) -> str:
    """Tasks of the last measurement; those of the first as well, where these were others."""
    first, now = _ends(scores, "questions")
    return _count(scores, "questions") if first == now else f"{first:,.0f}, now {now:,.0f}"


def _count(scores: Scores, score: str) -> str:
    now = _ends(scores, score)[1]
    return "" if now is None else f"{now:,.0f}"
