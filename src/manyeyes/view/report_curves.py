"""The curves of a run's page: held-out figures, losses by stage, and how training went."""

from collections.abc import Callable, Sequence

from manyeyes.view.chart import Level, Line, Span, line_chart, plain
from manyeyes.view.held_out_figures import HeldOutSet, Kind
from manyeyes.view.history import History, StageRecord, curve, loss_parts
from manyeyes.view.markup import Markup
from manyeyes.view.wording import number, percent

COLOURS = {"loss": 0, "text": 1, "vision": 2, "siglip": 4, "caption": 3}
"""A loss part has the same colour in every stage's chart; others take the next one."""
PALETTE = 8

Form = Callable[[float], str]


def _share(value: float) -> str:
    return f"{100 * value:.6g}%"


_CHANGING: tuple[tuple[str, str, str, Form], ...] = (
    ("learning_rate", "Learning rate", "each stage's warm-up and decay", plain),
    ("max_logit", "Largest attention logit", "any head of any layer", plain),
    ("load", "Expert load", "busiest over mean expert, worst layer; 1 is balanced", plain),
    ("tokens_per_second", "Tokens a second", "padding left out", plain),
    ("mfu", "MFU", "against the measured matmul peak", _share),
    ("gradient_norm", "Gradient norm", "before clipping", plain),
    ("balance", "Balance loss", "of the experts", plain),
    ("fill", "Filled rows", "share of a packed row that is not padding", _share),
)
_MAYBE_UNUSED = ("max_logit", "load", "balance")
"""0 where a stage has no experts or collects no logits: such steps are left out."""


def held_out_charts(sets: Sequence[HeldOutSet], history: History) -> list[Markup]:
    """One chart for each kind of figure; VQA and reading sets have their own."""
    spans = stage_spans(history)
    charts = []
    for of_set in _of_kind(sets, "typed"):
        scores = ["exact", *sorted(score for score in of_set.curves if score.startswith("exact "))]
        names = {score: score.removeprefix("exact ") if score != "exact" else "all questions" for score in scores}
        levels = [] if of_set.blind is None else [Level(f"image-blind {percent(of_set.blind)}", of_set.blind)]
        charts.append(_shares(f"{of_set.name}: right answers", _score_lines(of_set, names), spans, levels))
    for of_set in _of_kind(sets, "reading"):
        names = {"exact": "exact match", "similarity": "similarity (1 - edit distance)"}
        charts.append(_shares(f"{of_set.name}: reading", _score_lines(of_set, names), spans))
    charts.append(_shares("Grounding: mean IoU", _set_lines(_of_kind(sets, "boxes"), "iou"), spans))
    charts.append(_shares("Counting: right answers", _set_lines(_of_kind(sets, "counting"), "exact"), spans))
    charts.append(_shares("Short answers: exact match", _set_lines(_of_kind(sets, "answers"), "exact"), spans))
    losses = _set_lines(_of_kind(sets, "loss"), "loss")
    charts.append(line_chart("Held-out loss", losses, note="nats a token", spans=spans))
    return [chart for chart in charts if chart]


def loss_charts(stages: Sequence[StageRecord]) -> list[Markup]:
    """One chart a stage: its loss and the parts of it."""
    charts = []
    for stage in stages:
        lines = []
        for position, part in enumerate(loss_parts(stage.rows)):
            found = curve(stage.rows, part, within_stage=True)
            lines.append(Line(part, *found, colour=COLOURS.get(part, (position + 5) % PALETTE), smooth=True))
        note = f"{stage.step:,} of {stage.steps:,} steps"
        charts.append(line_chart(stage.plan.name, lines, note=note, x_name="step of the stage"))
    return [chart for chart in charts if chart]


def training_charts(history: History) -> list[Markup]:
    """Learning rate, logits, load, speed and the like over the whole run."""
    spans = stage_spans(history)
    charts = []
    for position, (key, title, note, form) in enumerate(_CHANGING):
        steps, values = _speed(history) if key == "tokens_per_second" else curve(history.train, key)
        if key in _MAYBE_UNUSED:
            kept = [(step, value) for step, value in zip(steps, values, strict=True) if value != 0]
            steps, values = [step for step, _ in kept], [value for _, value in kept]
        levels = _clip_level(history, values) if key == "max_logit" else []
        colour = (position + 1) % PALETTE
        line = Line(title.lower(), steps, values, colour=colour, smooth=key != "learning_rate")
        unit = "percent" if form is _share else ""
        charts.append(line_chart(title, [line], note=note, form=form, unit=unit, levels=levels, spans=spans))
    return [chart for chart in charts if chart]


def stage_spans(history: History) -> list[Span]:
    """Where each stage lies on the axis of the run's steps."""
    ran = [stage for stage in history.stages if stage.rows]
    return [Span(stage.plan.name, stage.rows[0].step - 1.0, float(stage.rows[-1].step)) for stage in ran]


def _of_kind(sets: Sequence[HeldOutSet], kind: Kind) -> list[HeldOutSet]:
    return [of_set for of_set in sets if of_set.kind == kind]


def _score_lines(of_set: HeldOutSet, names: dict[str, str]) -> list[Line]:
    known = [(score, name) for score, name in names.items() if score in of_set.curves]
    return [Line(name, *of_set.curves[score], colour=at, dots=True) for at, (score, name) in enumerate(known)]


def _set_lines(sets: Sequence[HeldOutSet], score: str) -> list[Line]:
    known = [of_set for of_set in sets if score in of_set.curves]
    lines = enumerate(known, start=1)
    return [Line(one.name, *one.curves[score], colour=at % PALETTE, dots=True) for at, one in lines]


def _shares(title: str, lines: list[Line], spans: list[Span], levels: Sequence[Level] = ()) -> Markup:
    return line_chart(
        title, lines, form=_share, unit="percent", y_range=(0.0, 1.0), levels=levels,
        spans=spans,
    )  # fmt: skip


def _speed(history: History) -> tuple[list[float], list[float]]:
    rows = [(row.step, number(row.values.get("tokens")), number(row.values.get("seconds"))) for row in history.train]
    known = [(float(step), tokens / seconds) for step, tokens, seconds in rows if tokens is not None and seconds]
    return [step for step, _ in known], [speed for _, speed in known]


def _clip_level(history: History, values: Sequence[float]) -> list[Level]:
    """QK-Clip's threshold, once logits come near it: drawn from the start it would flatten the curve."""
    loop = history.config.get("loop")
    optimizer = loop.get("optimizer") if isinstance(loop, dict) else None
    threshold = number(optimizer.get("clip_threshold")) if isinstance(optimizer, dict) else None
    near = threshold is not None and any(value > 0.4 * threshold for value in values)
    return [Level(f"QK-Clip at {threshold:g}", threshold)] if near and threshold is not None else []
