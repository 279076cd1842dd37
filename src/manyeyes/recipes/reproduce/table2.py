"""Table 2 of the report at small scale: text scores before and after visual RL, whose rewards are for pictures alone.

    command      manyeyes reproduce table2
    chain        tiny → tiny.sft → tiny.vision_rl; both models are asked the same held-out text tasks, for each seed
    measured     accuracy by family of text problems, reasoned and answered at temperature 1; loss on held-out text

The families and texts are those that `tiny.toggle` and `tiny.sft` hold out; no problem or text of them is learned. The
recipe learns fine-tuning's dialogues beside its rewards (`ptx`), some of the same families; the page says so.
Report: §2.3, Table 2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from manyeyes.recipes.reproduce.fig2 import sft, vision_rl
from manyeyes.recipes.reproduce.post_curves import Figures, last_figures
from manyeyes.recipes.reproduce.post_findings import listed, percent, points, risen, summed
from manyeyes.recipes.reproduce.post_pictures import VISION
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.reproduce.verdict import Difference, Outcome
from manyeyes.recipes.rl_parts import Measured
from manyeyes.recipes.run import HeldOut

BEFORE, AFTER = "before", "after"
PRINTED = {"MMLU-Pro": (84.7, 86.4), "GPQA-Diamond": (84.3, 86.4), "LongBench v2": (56.7, 58.9)}
"""Table 2 of the report: before and after visual RL."""
REPORT = (
    "Table 2, before and after visual RL: MMLU-Pro 84.7, 86.4 (+1.7); GPQA-Diamond 84.3, 86.4 (+2.1); LongBench v2 "
    "56.7, 58.9 (+2.2).",
    "§2.3: outcome-based visual RL improves text tasks measurably, without degrading language.",
)
SAME = 0.01
"""Nats that the loss on held-out text may rise before it counts as worse."""


def plan(scale: Scale) -> Plan:
    """What has to be run."""
    asked, losses = text_tasks(scale), text_losses(scale)
    made = {}
    for seed in range(scale.seeds):
        first, last = sft(scale, seed), vision_rl(scale, seed)
        made[BEFORE, seed] = scale.measuring("text-before", seed, first, measured=asked, losses=losses)
        made[AFTER, seed] = scale.measuring("text-after", seed, last, measured=asked, losses=losses)
    return made


def text_tasks(scale: Scale) -> tuple[Measured, ...]:
    """Held-out text tasks: those that Toggle's recipe measures."""
    return tuple(one for one in scale.recipes("tiny.toggle").measured if one.place.environment == "thoughts")


def text_losses(scale: Scale) -> tuple[HeldOut, ...]:
    """Held-out documents: those that fine-tuning measures."""
    return tuple(one for one in scale.recipes("tiny.sft").held_out if one.scorer == "loss")


Rises = dict[str, tuple[Difference, Outcome]]


def results(found: Finished, scale: Scale) -> dict[str, Any]:
    """The whole result, from the logs alone."""
    figures = {arm: [last_figures(run) for run in found.runs(arm)] for arm in (BEFORE, AFTER)}
    work = found.work(BEFORE)
    scores = {one.name: scores_of(figures, f"{one.name}/reward") for one in work.measured}
    scores["mean"] = {arm: means([scores[one.name][arm] for one in work.measured]) for arm in (BEFORE, AFTER)}
    losses = {one.name: scores_of(figures, f"{one.name}/loss") for one in work.losses}
    rises = {name: risen(score[BEFORE], score[AFTER]) for name, score in scores.items()}
    worse = {name: risen(loss[BEFORE], loss[AFTER]) for name, loss in losses.items()}
    names = [one.name for one in work.measured]
    return result(
        "table2", "Text before and after visual RL", found, scale,
        about=[
            f"{scale.seeds} seeds. Before and after visual RL the model is asked the same "
            f"{sum(one.count for one in work.measured):,} held-out text problems of {len(names)} families, reasons, "
            f"and answers; 1 for a right answer, else 0.",
        ],
        report=REPORT,
        sentences=[*sentences(rises, text_beside=text_beside(scale)), *loss_sentences(worse)],
        tables=[
            table("Accuracy on text, %", ["family", "before", "after", "change", ""], score_rows(scores, rises)),
            table("Loss on held-out text, nats a token", ["text", "before", "after", "change"], loss_rows(losses)),
            table("The report's Table 2", ["benchmark", "before", "after", "change"], printed_rows()),
        ],
        panels=[bars(scores, names)],
        figures={"scores": scores, "losses": losses},
    )  # fmt: skip


def scores_of(figures: Mapping[str, Sequence[Figures]], name: str) -> dict[str, list[float]]:
    """A figure of both measurements, one a seed."""
    return {arm: [one[name] for one in seeds] for arm, seeds in figures.items()}


def means(columns: list[list[float]]) -> list[float]:
    """Seed by seed."""
    return [sum(values) / len(values) for values in zip(*columns, strict=True)]


def text_beside(scale: Scale) -> bool:
    """Whether visual RL learns text beside its rewards; then text that is kept or better is no effect of pictures."""
    return scale.shortened(VISION).ptx is not None


def sentences(rises: Rises, *, text_beside: bool) -> list[str]:
    """What showed on the text problems."""
    mean, outcome = rises["mean"]
    families = {name: found for name, found in rises.items() if name != "mean"}
    up = [name for name, (difference, _) in families.items() if difference.mean > 0]
    down = [name for name, (difference, found) in families.items() if difference.high < 0]
    meaning = {
        "shown": "visual RL improves text",
        "consistent, within noise": "text is better by less than the noise",
        "not shown": "text is worse beyond noise" if mean.high < 0 else "text is not better; the loss is within noise",
        "one seed only": "one seed says nothing about noise",
    }
    kept = "which did not keep it" if mean.high < 0 else "so this is no effect of pictures"
    whose = f"; fine-tuning's text was learned beside the rewards, {kept}" if text_beside else ""
    return [
        f"Text (mean of {len(families)} families), after - before visual RL: {points(mean)}: {outcome}; "
        f"{meaning[outcome]}{whose}.",
        f"Better in the mean on {len(up)} of {len(families)} families; worse beyond noise: {listed(down)}. "
        f"By family: {summed([found for _, found in families.values()])}.",
    ]


def loss_sentences(worse: Rises) -> list[str]:
    """What became of held-out text."""
    return [
        f"Loss on held-out {name}: {difference.mean:+.3f} nats a token; "
        + ("no worse." if difference.mean <= SAME else "language modelling is a little worse after RL.")
        for name, (difference, _) in worse.items()
    ]


def score_rows(scores: dict[str, dict[str, list[float]]], rises: Rises) -> list[list[str]]:
    """A row a family, the mean last."""
    return [
        [name, percent(one[BEFORE]), percent(one[AFTER]), f"{100 * rises[name][0].mean:+.1f}", rises[name][1]]
        for name, one in scores.items()
    ]


def loss_rows(losses: dict[str, dict[str, list[float]]]) -> list[list[str]]:
    """A row a text."""
    rows = []
    for name, one in losses.items():
        before, after = (sum(one[arm]) / len(one[arm]) for arm in (BEFORE, AFTER))
        rows.append([name, f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}"])
    return rows


def printed_rows() -> list[list[str]]:
    """As the report prints it."""
    return [[name, f"{a:.1f}", f"{b:.1f}", f"{b - a:+.1f}"] for name, (a, b) in PRINTED.items()]


def bars(scores: dict[str, dict[str, list[float]]], names: list[str]) -> dict[str, Any]:
    """Before and after by family, as points."""
    series = []
    for arm in (BEFORE, AFTER):
        columns = [scores[name][arm] for name in names]
        series.append(
            {"name": f"{arm} visual RL", "xs": list(range(1, len(names) + 1)), "form": "points",
             "ys": [round(sum(c) / len(c), 4) for c in columns], "low": [round(min(c), 4) for c in columns],
             "high": [round(max(c), 4) for c in columns]}
        )  # fmt: skip
    return panel(
        "Accuracy by family",
        "",
        series,
        percent=True,
        x_names=names,
        y_range=(0.0, 1.0),
        x_range=(0.5, len(names) + 0.5),
    )
