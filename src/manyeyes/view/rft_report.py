"""`rft_page`: one page about a run of rejection sampling: what was attempted, what was kept, what was learned from it.

It can be written at any time; while the run is under way a browser loads it again now and then.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from manyeyes.core.runlog import Row, RunFolder
from manyeyes.view.document import document
from manyeyes.view.history import History
from manyeyes.view.markup import Markup, joined, tag
from manyeyes.view.measured_tables import measured_table
from manyeyes.view.report_curves import loss_charts, training_charts
from manyeyes.view.report_tables import Tile, configuration, quarantine, table, tiles, where_it_ran
from manyeyes.view.rl_history import measured_of
from manyeyes.view.rl_report import RENEWED
from manyeyes.view.wording import compact, duration, number, percent

FATES = {
    "kept": "learned from",
    "wrong": "wrong",
    "unjudged": "without a verdict",
    "masked": "failed",
    "cut": "right, but an answer was cut off",
    "malformed": "right, but an answer was no whole turn",
    "long": "right, but too long",
    "same": "right, and the same as another one",
    "more": "right, but there were better or briefer ones at the task",
}


def rft_page(folder: RunFolder, history: History) -> Markup:
    """The whole document."""
    name = str(history.config.get("name", folder.name))
    done = history.finished is not None
    header = tag(
        "header",
        tag("h1", name, tag("span", _status(history), class_="pill done" if done else "pill")),
        tag("p", str(history.config.get("about", ""))),
        tag("p", where_it_ran(history.start) or str(history.config.get("hardware", "")), class_="quiet"),
        tag("p", folder.name, ", written ", f"{datetime.now():%Y-%m-%d %H:%M:%S}", class_="quiet"),
    )
    content = tag("main", header, _sections(folder, history))
    return document(f"{name} · {folder.name}", content, renewed=0 if done else RENEWED)


def _status(history: History) -> str:
    if history.finished:
        return "finished"
    if history.train:
        return f"learning: step {history.step:,} of {history.steps:,}"
    if history.attempts:
        return f"attempting: task {history.attempts[-1].step:,} of {_count(history.attempts[-1], 'tasks')}"
    return "not started"


def _sections(folder: RunFolder, history: History) -> Markup:
    newest = history.kept or (history.attempts[-1] if history.attempts else None)
    parts: list[Markup | None] = [tiles(_tiles(newest, history)) if newest else None]
    if measured := measured_of(history.evaluations):
        parts += [tag("h2", "Held out, before and after"), measured_table(measured)]
    if history.kept is not None:
        parts += [tag("h2", "What was attempted"), _places(history.kept.values)]
        parts += [tag("h2", "What became of the attempts"), _fates(history.kept.values)]
    if history.train:
        parts += [tag("h2", "How it learned"), tag("div", loss_charts(history.stages), class_="charts")]
        parts += [tag("div", training_charts(history), class_="charts")]
    if newest is None:
        parts.append(tag("p", "No attempt yet: it is preparing, or was stopped before the first one.", class_="quiet"))
    parts += [tag("h2", "Quarantine"), quarantine(folder), tag("h2", "Configuration"), configuration(history)]
    return joined([part for part in parts if part is not None])


def _tiles(newest: Row, history: History) -> list[Tile]:
    attempts, right = (number(newest.values.get(key)) for key in ("attempts", "right"))
    share = percent(right / attempts) if attempts and right is not None else "?"
    shown = [Tile("attempts", _count(newest, "attempts")), Tile("right", share, f"{_count(newest, 'right')} of them")]
    if history.kept is not None:
        shown.append(Tile("examples", _count(newest, "kept"), f"{_count(newest, 'samples')} samples"))
        shown.append(Tile("tokens", compact(number(newest.values.get("tokens")) or 0.0), "of the examples"))
    if history.train:
        shown.append(Tile("steps", f"{history.step:,}", f"of {history.steps:,}"))
        shown.append(Tile("time", duration(history.seconds), "in steps"))
    return shown


def _places(kept: Mapping[str, Any]) -> Markup:
    """Attempts and successes of each place."""
    told = kept.get("places")
    rows = []
    for place, of in told.items() if isinstance(told, Mapping) else ():
        counts = [number(of.get(key)) if isinstance(of, Mapping) else None for key in ("attempts", "right")]
        if None not in counts and counts[0]:
            rows.append((str(place), f"{counts[0]:,.0f}", f"{counts[1]:,.0f}", percent((counts[1] or 0) / counts[0])))
    return table("place|#attempts|#right|#share", rows)


def _fates(kept: Mapping[str, Any]) -> Markup:
    told = kept.get("tally")
    counts = {str(fate): number(count) for fate, count in told.items()} if isinstance(told, Mapping) else {}
    order = [*(fate for fate in FATES if fate in counts), *(fate for fate in counts if fate not in FATES)]
    return table(
        "what became of it|#attempts", [(FATES.get(fate, fate), f"{counts[fate] or 0:,.0f}") for fate in order]
    )


def _count(row: Row, key: str) -> str:
    value = number(row.values.get(key))
    return "?" if value is None else f"{value:,.0f}"
