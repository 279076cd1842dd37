"""The tables of a run's page: key numbers, figures, stages, configuration, quarantine."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple

from manyeyes.core.runlog import Row, RunFolder
from manyeyes.view.held_out_figures import MAIN, HeldOutSet, written
from manyeyes.view.history import History, StageRecord, curve, total
from manyeyes.view.markup import Child, Markup, tag
from manyeyes.view.wording import compact, duration, figure, number, percent

SHOWN_FAILURES = 40


class Tile(NamedTuple):
    """A number that is shown large."""

    name: str
    value: str
    note: str = ""


def tiles(rows: Sequence[Tile]) -> Markup:
    """Large numbers side by side."""
    return tag("div", [_tile(row) for row in rows], class_="tiles")


def _tile(row: Tile) -> Markup:
    return tag("div", tag("small", row.name), tag("b", row.value), tag("small", row.note) if row.note else None)


def run_tiles(history: History) -> list[Tile]:
    """What the run took."""
    speed = history.tokens / history.seconds if history.seconds else 0.0
    mfu = total(history.train, "mfu") / len(history.train) if history.train else 0.0
    clipped = int(total(history.train, "clipped"))
    return [
        Tile("tokens", compact(history.tokens), "padding left out"),
        Tile("steps", f"{history.step:,}", "all" if history.finished else f"of {history.steps:,}"),
        Tile("time", duration(history.time_left.spent), f"{duration(history.seconds)} of it in steps"),
        Tile("tokens a second", compact(speed), "mean"),
        Tile("MFU", percent(mfu), "mean, of the measured peak"),
        Tile("QK-Clip", f"{clipped:,}", "heads rescaled"),
    ]


def figure_tiles(sets: Sequence[HeldOutSet]) -> list[Tile]:
    """The main figure of each set."""
    shown = []
    for of_set in sets:
        main = of_set.main
        if main is not None:
            score = MAIN[of_set.kind]
            notes = [{"exact": "exact match", "iou": "mean IoU", "loss": "nats a token", "reward": "reward"}[score]]
            notes += [f"blind {percent(of_set.blind)}"] if of_set.blind is not None else []
            notes += [] if main.final else ["within the stage"]
            shown.append(Tile(of_set.name, written(score, main.value), ", ".join(notes)))
    return shown


def figures_table(sets: Sequence[HeldOutSet]) -> Markup:
    """Every newest figure with its standard error, and where it was taken."""
    rows = []
    for of_set in sets:
        for score, found in of_set.scores.items():
            error = of_set.standard_error(score)
            rows.append((
                of_set.name if score == next(iter(of_set.scores)) else "", of_set.source, score,
                tag("b", written(score, found.value)) if score == MAIN[of_set.kind] else written(score, found.value),
                "" if error is None else f"± {percent(error)}",
                _baseline(of_set) if score == "exact" else "",
                f"{of_set.questions:,}" if of_set.questions and score != "loss" else "",
                f"{found.stage}, {found.step:,}" + ("" if found.final else " (part)"),
            ))  # fmt: skip
    return table("set|source|score|#figure|#± 1 s.e.|#image-blind|#questions|stage, step", rows)


def _baseline(of_set: HeldOutSet) -> str:
    main = of_set.main
    if of_set.blind is None or main is None:
        return ""
    return f"{percent(of_set.blind)} ({100 * (main.value - of_set.blind):+.1f})"


def history_table(sets: Sequence[HeldOutSet]) -> Markup:
    """The main figures of all evaluations: the curves as numbers."""
    columns = [(of_set, MAIN[of_set.kind]) for of_set in sets if MAIN[of_set.kind] in of_set.curves]
    steps = sorted({step for of_set, score in columns for step in of_set.curves[score].steps})
    rows = []
    for step in steps:
        cells: list[Child] = [f"{step:,.0f}"]
        for of_set, score in columns:
            found = dict(zip(*of_set.curves[score], strict=True))
            cells.append(written(score, found[step]) if step in found else "")
        rows.append(cells)
    return table("|".join(["#step", *(f"#{of_set.name} {score}" for of_set, score in columns)]), rows)


def stages_table(stages: Sequence[StageRecord]) -> Markup:
    """What each stage did; with a last column of notes when there are any."""
    noted = any(stage.notes for stage in stages)
    rows = [
        (
            tag("b", stage.plan.name), _learns(stage), f"{stage.step:,} / {stage.steps:,}", compact(stage.tokens),
            "" if stage.plan.vision is None else f"{100 * stage.plan.vision:.0f}%",
            f"{stage.plan.row_length:,}" if stage.plan.row_length else "",
            "" if stage.plan.peak_rate is None else f"{stage.plan.peak_rate:g}",
            duration(stage.seconds) if stage.rows else "", compact(stage.tokens_per_second) if stage.rows else "",
            percent(total(stage.rows, "mfu") / len(stage.rows)) if stage.rows else "", _fall(stage),
            *([stage.notes] if noted else []),
        )
        for stage in stages
    ]  # fmt: skip
    heads = "stage|what learns|#steps|#tokens|#vision|#row|#peak rate|#time|#tokens/s|#MFU|#loss, first → last tenth"
    return table(heads + "|notes" * noted, rows)


def _learns(stage: StageRecord) -> str:
    learns = ", ".join(stage.plan.learns).replace("_", " ")
    return f"{learns} (SigLIP + caption)" if stage.plan.objective == "coca" else learns


def _fall(stage: StageRecord) -> str:
    values = [value for value in curve(stage.rows, "loss").values if isfinite(value)]
    if not values:
        return ""
    tenth = max(1, len(values) // 10)
    return f"{figure(sum(values[:tenth]) / tenth)} → {figure(sum(values[-tenth:]) / tenth)}"


def facts(history: History) -> list[tuple[str, str]]:
    """The configuration in a few lines; whatever is missing is left out."""
    config = history.config
    model = _below(config, "model")
    text, vision = _below(model, "text"), _below(model, "vision")
    lines = [
        ("language model", _said(text, "{num_hidden_layers} layers, width {hidden_size}, {num_attention_heads} heads")),
        ("experts", _said(text, "{n_routed_experts} routed, {num_experts_per_tok} active, {n_shared_experts} shared")),
        ("MoonViT-3D", _said(vision, "{vt_num_hidden_layers} layers, width {vt_hidden_size}, patches of {patch_size}")),
        ("vocabulary", _said(config, "{vocabulary}") + _said(text, ", {vocab_size} entries")),
        ("seed", _said(config, "{seed}")),
        ("meant for", _said(config, "{hardware}")),
    ]
    return [(name, value) for name, value in lines if value]


def configuration(history: History) -> Markup:
    """The facts, and the whole configuration folded away."""
    listed = tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in facts(history)])
    whole = json.dumps(history.config, indent=1, ensure_ascii=False)
    return tag("div", listed, tag("details", tag("summary", "config.json"), tag("pre", whole)))


def where_it_ran(start: Row | None) -> str:
    """When a run began and on what, of its log's row "start"; "" without one."""
    if start is None:
        return ""
    values = start.values
    parts = [f"{datetime.fromtimestamp(start.time):%Y-%m-%d %H:%M}", str(values.get("device", ""))]
    threads, peak = number(values.get("threads")), number(values.get("peak"))
    parts += [f"{threads:.0f} thread{'s' * (threads != 1)}"] if threads else []
    parts += [str(values["dtype"]).removeprefix("torch.")] if "dtype" in values else []
    parts += [f"matmul peak {peak / 1e9:,.0f} GFLOP/s"] if peak else []
    parts += [f"engine: {values['engine']}"] if "engine" in values else []
    return " · ".join(part for part in parts if part)


def quarantine(folder: RunFolder) -> Markup:
    """Records that could not be read, or a line that says there were none."""
    rows = list(_failures(folder))
    if not rows:
        return tag("p", "Every record was read; none had to be replaced.", class_="quiet")
    shown = [[_word(row, key) for key in ("stage", "source", "index", "epoch", "reason")] for row in rows]
    more = f"{len(rows) - SHOWN_FAILURES:,} more lines in quarantine/" if len(rows) > SHOWN_FAILURES else None
    records = len({(source, index) for _, source, index, _, _ in shown})  # each has a line for every stage and epoch
    noun = "record" if records == 1 else "records"
    count = f"{records:,} {noun} could not be read; padding of the planned length took the place of each."
    listed = table("stage|source|#record|#epoch|reason", shown[:SHOWN_FAILURES])
    return tag("div", tag("p", count), listed, tag("p", more, class_="quiet") if more else None)


def _failures(folder: RunFolder) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.path.glob("quarantine/*.jsonl")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # cut short by a kill
                continue
            if isinstance(row, dict):
                yield row


def table(heads: str, rows: Sequence[Sequence[Child]]) -> Markup:
    """A table; heads are separated by "|", those of number columns begin with "#"."""
    names = heads.split("|")
    classes = ["number" if name.startswith("#") else None for name in names]
    head = tag("tr", [tag("th", name.removeprefix("#"), class_=c) for name, c in zip(names, classes, strict=True)])
    body = [tag("tr", [tag("td", cell, class_=c) for cell, c in zip(row, classes, strict=True)]) for row in rows]
    return tag("div", tag("table", tag("thead", head), tag("tbody", body)), class_="wide")


def _below(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, Mapping) else {}


def _said(config: Mapping[str, Any], pattern: str) -> str:
    known = {key: f"{v:,}" if number(v) is not None and isinstance(v, int) else v for key, v in config.items()}
    try:
        return pattern.format_map(known)
    except KeyError:
        return ""


def _word(row: Mapping[str, Any], key: str) -> str:
    return str(row.get(key, ""))
