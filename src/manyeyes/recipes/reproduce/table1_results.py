"""From the logs of all runs to the result of the experiment as plain data: scores, curves, comparisons, verdict.

    {"arms": {arm: {category: [one score a seed]}}, "curves": {arm: {figure: {"tokens", "mean", "low", "high"}}},
     "tokens": {arm: {"text", "vision"}}, "orderings", "dips", "sentences", "report", ...}

Scores are accuracies in percent. Bands of curves are the lowest and the highest seed. This is what is committed,
and all that the page and the tables are made from.
Report: Table 1, Figure 9, App. B.1.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from manyeyes.core.errors import DataError
from manyeyes.core.metrics_log import Row
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.table1 import ARMS, Budget, identity, model
from manyeyes.recipes.reproduce.table1_questions import CATEGORIES, TEXT_CATEGORIES, VISION_CATEGORIES
from manyeyes.recipes.reproduce.verdict import Difference, Dip, Ordering, dip, dip_outcome, not_hurt, ordering

REPORT = {
    "early": (25.8, 43.8, 65.7, 45.5, 58.5, 24.8),
    "mid": (25.0, 40.7, 64.1, 43.9, 58.6, 24.0),
    "late": (24.2, 39.0, 61.5, 43.1, 57.8, 24.0),
}
"""Table 1 of the report, in the order of `CATEGORIES`."""
GROUPS = {"vision": VISION_CATEGORIES, "text": TEXT_CATEGORIES}
"""Means over categories that are compared like a category."""

Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""Arm → category or group → one score a seed."""
Probes = Mapping[str, Sequence[Sequence[Row]]]
"""Arm → seed → the run's evaluations."""


def results(folders: Mapping[str, Sequence[RunFolder]], budget: Budget, *, seconds: float) -> dict[str, Any]:
    """The whole result.

    Args:
        folders: arm → finished runs, in the order of the seeds.
        seconds: that training took in this and earlier calls.

    Raises:
        DataError: a run's log lacks evaluations.
    """
    probes = {arm: [_evaluations(folder) for folder in runs] for arm, runs in folders.items()}
    scores = final_scores(probes)
    orderings = {name: ordering(*(scores[arm][name] for arm in ARMS)) for name in (*CATEGORIES, *GROUPS)}
    dips = {arm: dips_of(probes, arm) for arm in ARMS if arm != "early"}
    return {
        "experiment": "table1",
        "identity": identity(budget),
        "seeds": len(folders["early"]),
        "seconds": round(seconds),
        "budget": dataclasses.asdict(budget) | {"tokens": budget.tokens},
        "parameters": f"{model().text.hidden_size} wide, {model().text.num_hidden_layers} layers",
        "tokens": {arm: _tokens(folders[arm]) for arm in ARMS},
        "vision_from": {arm: start for arm in ARMS if (start := ARMS[arm](budget.tokens).segments[-1].start)},
        "report": {arm: dict(zip(CATEGORIES, row, strict=True)) for arm, row in REPORT.items()},
        "arms": {arm: dict(found) for arm, found in scores.items()},
        "orderings": {name: _plain(found) for name, found in orderings.items()},
        "dips": {arm: [dataclasses.asdict(one) for one in found] for arm, found in dips.items()},
        "sentences": sentences(scores, orderings, dips),
        "curves": {arm: curves(probes[arm]) for arm in ARMS},
    }


def final_scores(probes: Probes) -> dict[str, dict[str, list[float]]]:
    """Accuracy in percent at the end of each run, and the means of the groups."""
    found: dict[str, dict[str, list[float]]] = {}
    for arm, runs in probes.items():
        by_name = {name: [100 * rows[-1].values[f"{name}/accuracy"] for rows in runs] for name in CATEGORIES}
        for group, members in GROUPS.items():
            by_name[group] = [mean(by_name[name][seed] for name in members) for seed in range(len(runs))]
        found[arm] = {name: [round(value, 2) for value in values] for name, values in by_name.items()}
    return found


def dips_of(probes: Probes, arm: str) -> list[Dip]:
    """One a seed, where vision came late enough to have a before."""
    found = []
    for rows, early in zip(probes[arm], probes["early"], strict=True):
        losses, control = ([row.values["text_loss"] for row in run] for run in (rows, early))
        one = dip(losses, control, [row.values["tokens_vision"] for row in rows])
        found += [one] if one else []
    return found


def curves(runs: Sequence[Sequence[Row]]) -> dict[str, dict[str, list[float]]]:
    """Mean, lowest and highest seed of every figure over tokens."""
    names = [f"{name}/{kind}" for name in CATEGORIES for kind in ("accuracy", "confidence")]
    return {name: _curve(runs, name) for name in ("text_loss", *names)}


def _curve(runs: Sequence[Sequence[Row]], name: str) -> dict[str, list[float]]:
    points = list(zip(*([row for row in rows if name in row.values] for rows in runs), strict=True))
    values = [[row.values[name] for row in rows] for rows in points]
    return {
        "tokens": [round(mean(row.values["tokens"] for row in rows)) for rows in points],
        "mean": [round(mean(at), 4) for at in values],
        "low": [round(min(at), 4) for at in values],
        "high": [round(max(at), 4) for at in values],
    }


def sentences(scores: Scores, orderings: Mapping[str, Ordering], dips: Mapping[str, Sequence[Dip]]) -> list[str]:
    """The verdict: what showed and what did not, with the figures it rests on."""
    said = [_vision_sentence(orderings["vision"])]
    said += [_category_sentence(name, orderings[name]) for name in VISION_CATEGORIES]
    said += [_text_sentence(scores, arm) for arm in ARMS if arm != "early"]
    said += [_dip_sentence(arm, found) for arm, found in dips.items()]
    return said


def _vision_sentence(found: Ordering) -> str:
    return (
        f"Vision (mean of three categories), early >= mid >= late: {found.outcome}. "
        f"Early - mid {_points(found.early_mid)}, mid - late {_points(found.mid_late)}, "
        f"early - late {_points(found.early_late)}."
    )


def _category_sentence(name: str, found: Ordering) -> str:
    return f"{title(name)}: {found.outcome}; early - late {_points(found.early_late)}."


def _text_sentence(scores: Scores, arm: str) -> str:
    early, other = scores["early"]["text"], scores[arm]["text"]
    found, outcome = ordering(early, other, other).early_mid, not_hurt(early, other)
    meaning = {
        "shown": "early fusion is better on text, beyond noise",
        "not shown": "early fusion is worse on text, beyond noise",
        "consistent, within noise": "no difference on text beyond noise, so text is not seen to be hurt",
        "one seed only": "one seed says nothing about noise",
    }
    return f"Text (mean of three categories), early against {arm}: {_points(found)}: {meaning[outcome]}."


def _dip_sentence(arm: str, found: Sequence[Dip]) -> str:
    if not found:
        return f"Dip and recovery of text under {arm} fusion: not measured, no probe lies before vision."
    rise, control = mean(one.rise for one in found), mean(one.control for one in found)
    after = mean(one.end - one.before for one in found)
    gaps = [mean(getattr(one, name) for one in found) for name in ("gap_before", "gap_worst", "gap_end")]
    return (
        f"Dip and recovery of text under {arm} fusion: {dip_outcome(found)}. When vision came in, the loss on held-out "
        f"text changed by {rise:+.3f} nats a token at its worst (the early arm in the same window: {control:+.3f}); "
        f"at the end it stood {after:+.3f} from where it was before. Against the early arm after equally many tokens: "
        f"{gaps[0]:+.3f} before, {gaps[1]:+.3f} at the worst, {gaps[2]:+.3f} at the end."
    )


def title(name: str) -> str:
    """A category's name for people."""
    return "OCR" if name == "ocr" else name.replace("_", " ").capitalize()


def _points(found: Difference) -> str:
    if found.seeds < 2:
        return f"{found.mean:+.1f} points (one seed)"
    return f"{found.mean:+.1f} points (95 % interval {found.low:+.1f} to {found.high:+.1f}, {found.seeds} seeds)"


def _plain(found: Ordering) -> dict[str, Any]:
    pairs = ("early_mid", "mid_late", "early_late")
    plain: dict[str, Any] = {name: _interval(getattr(found, name)) for name in pairs}
    return plain | {"outcome": found.outcome}


def _interval(found: Difference) -> dict[str, float | None]:
    known = found.seeds > 1
    return {
        "mean": round(found.mean, 2),
        "low": round(found.low, 2) if known else None,
        "high": round(found.high, 2) if known else None,
    }


def _evaluations(folder: RunFolder) -> list[Row]:
    rows = folder.metrics("evaluation")
    if not rows or f"{CATEGORIES[0]}/accuracy" not in rows[-1].values:
        raise DataError(f"{folder.path}: no evaluation at the end of the run; delete the folder and run again")
    return rows


def _tokens(runs: Sequence[RunFolder]) -> dict[str, int]:
    """Mean over seeds of what was drawn, by domain."""
    ends = [folder.metrics("finished")[-1].values for folder in runs]
    return {domain: round(mean(end[domain] for end in ends)) for domain in ("text", "vision")}
