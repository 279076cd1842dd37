"""`rl_page`: one page about a run of reinforcement learning (`report.write_report` writes it), in one file.

It can be written at any time; while the run is under way a browser loads it again now and then, so that an open page
follows it. All text in it is escaped, as in `report`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from manyeyes.core.runlog import RunFolder
from manyeyes.view.document import document
from manyeyes.view.markup import Markup, joined, tag
from manyeyes.view.measured_tables import measured_table
from manyeyes.view.report_tables import Tile, table, tiles, where_it_ran
from manyeyes.view.rl_curves import (
    group_charts,
    learning_charts,
    length_charts,
    measured_charts,
    reward_charts,
    time_charts,
)
from manyeyes.view.rl_history import RlHistory
from manyeyes.view.wording import compact, duration, figure, number, percent

RENEWED = 15
"""Seconds after which a page of a run that goes on is loaded again."""
MOST_NOTES = 40


def rl_page(folder: RunFolder, history: RlHistory) -> Markup:
    """The whole document."""
    content = tag("main", _header(folder, history), _sections(history))
    title = f"{history.name or folder.name} · {folder.name}"
    return document(title, content, renewed=0 if history.finished else RENEWED)


def _header(folder: RunFolder, history: RlHistory) -> Markup:
    done = history.finished is not None
    status = "finished" if done else f"unfinished: step {history.step:,} of {history.planned:,}"
    return tag(
        "header",
        tag("h1", history.name or folder.name, tag("span", status, class_="pill done" if done else "pill")),
        tag("p", str(history.config.get("about", ""))),
        tag("p", where_it_ran(history.start) or str(history.config.get("hardware", "")), class_="quiet"),
        tag("p", folder.name, ", written ", f"{datetime.now():%Y-%m-%d %H:%M:%S}", class_="quiet"),
    )


def _sections(history: RlHistory) -> Markup:
    groups = (
        ("What it can do", measured_charts(history)),
        ("What it is rewarded for", reward_charts(history)),
        ("How long its answers are", length_charts(history)),
        ("How it learns", learning_charts(history)),
        ("What groups taught", group_charts(history)),
        ("Where time went", time_charts(history)),
    )
    parts = [tiles(_tiles(history))]
    if measured := history.measured():
        parts += [tag("h2", "Held out, before and now"), measured_table(measured)]
    for title, charts in groups:
        parts += [tag("h2", title), tag("div", charts, class_="charts")] if charts else []
    if history.blind:
        parts += [tag("h2", "Tasks that are solved without their picture"), blind_table(history.blind)]
    if not history.steps:
        parts.append(tag("p", "No step yet: it is preparing, or was stopped before the first one.", class_="quiet"))
    parts += [tag("h2", "What did not go as planned"), notes(history), tag("h2", "Configuration"), _config(history)]
    return joined(parts)


def blind_table(sets: Mapping[str, Mapping[str, float]]) -> Markup:
    """Of each set that the first policy was asked without pictures: how many there were, and how many it solved."""
    rows = [
        (name, *(f"{of.get(what, 0):,.0f}" for what in ("tasks", "dropped", "failed"))) for name, of in sets.items()
    ]
    return table("set|#tasks|#solved blind, and dropped|#attempts failed", rows)


def notes(history: RlHistory) -> Markup:
    """Sources that ended, and attempts that were left out with their reasons."""
    said = [str(row.values.get("words") or _words(row.kind, row.values)) for row in history.notes]
    failures = _failures(history)
    if not said and not failures:
        return tag("p", "Nothing failed and nothing was refused.", class_="quiet")
    rows = [(f"{row.step:,}", words) for row, words in zip(history.notes, said, strict=True)]
    more = f"{len(rows) - MOST_NOTES:,} more in metrics.jsonl" if len(rows) > MOST_NOTES else None
    told = ", ".join(f"{count:,} × {cause}" for cause, count in failures.most_common())
    return tag(
        "div",
        tag("p", f"Failures: {told}.") if failures else None,
        table("#step|what", rows[-MOST_NOTES:]) if rows else None,
        tag("p", more, class_="quiet") if more else None,
    )


def _tiles(history: RlHistory) -> list[Tile]:
    reward, masked = history.recent("reward"), history.recent("masked")
    shown = [
        Tile("steps", f"{history.step:,}", f"of {history.planned:,}, {history.updates:,} of them updates"),
        Tile("time", duration(history.seconds), "in steps"),
    ]
    shown += [Tile("left", duration(history.left), "about")] if history.left is not None else []
    shown += [Tile("reward", figure(reward), "latest steps")] if reward is not None else []
    shown += [Tile(name, figure(value), note) for name, value, note in _recent(history) if value is not None]
    shown += [Tile("masked", percent(masked), "tokens outside the band")] if masked is not None else []
    speed = history.recent("tokens_per_second/rollout", times=True)
    return shown + ([Tile("tokens a second", compact(speed), "sampled")] if speed is not None else [])


def _recent(history: RlHistory) -> Iterable[tuple[str, float | None, str]]:
    yield "length", history.recent("length"), "tokens of an attempt"
    yield "entropy", history.recent("entropy"), "nats a token"
    yield "KL", history.recent("mismatch/kl_k3"), "from the sampler, k3"


def _failures(history: RlHistory) -> Counter[str]:
    causes: Counter[str] = Counter()
    for row in history.steps:
        told = row.values.get("failures")
        for cause, count in told.items() if isinstance(told, dict) else ():
            causes[str(cause)] += int(number(count) or 0)
    return +causes


def _words(kind: str, values: Mapping[str, Any]) -> str:
    if kind == "source_ended":
        return f"{values.get('source', 'a source')} had no more tasks"
    if kind == "moved":
        told = ", ".join(f"{name} {value}" for name, value in values.items())
        return f"went on elsewhere, not bit for bit what one run would give: {told}"
    return "all sources had ended" if kind == "used_up" else kind


def _config(history: RlHistory) -> Markup:
    whole = json.dumps(history.config, indent=1, ensure_ascii=False)
    return tag("details", tag("summary", "config.json"), tag("pre", whole))
