"""Held-out figures of a run, set by set: what each set measures, its newest figures, its curves.

What a set measures shows in the names of its scores, so pages need no list of sets:

    loss                 documents: negative log-likelihood a token
    exact + exact KIND   questions of several kinds, scored apart (VQA); `blind` is the image-blind baseline
    exact + similarity   reading (OCR)
    exact + difference   counting
    iou                  boxes (grounding)
    exact                short answers
    reward               tasks that a judge scores, as in reinforcement learning
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, sqrt
from typing import Any, Literal, NamedTuple

from manyeyes.view.history import Curve, History, figures
from manyeyes.view.wording import figure, percent

Kind = Literal["loss", "typed", "reading", "counting", "boxes", "rewards", "answers"]
MAIN: dict[Kind, str] = {
    "loss": "loss", "typed": "exact", "reading": "exact", "counting": "exact", "boxes": "iou",
    "rewards": "reward", "answers": "exact",
}  # fmt: skip
SHARES = ("exact", "iou", "similarity", "blind")


class Figure(NamedTuple):
    """The newest value of a score; `final` when it was taken over all records, at a stage's end."""

    value: float
    step: int
    stage: str
    final: bool


@dataclass
class HeldOutSet:
    """One set with its scores.

    Attributes:
        name: what the log calls it.
        source: the data source that it asks, "" where the configuration does not say.
        newest: score → newest figure.
        curves: score → values over the run's steps.
        questions: questions behind the newest figures, 0 where unknown.
    """

    name: str
    source: str = ""
    newest: dict[str, Figure] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    questions: int = 0

    @property
    def kind(self) -> Kind:
        """What it measures, told from the names of its scores."""
        scores = self.curves
        if "loss" in scores:
            return "loss"
        if any(score.startswith("exact ") for score in scores):
            return "typed"
        for score, kind in _TELLING.items():
            if score in scores:
                return kind
        return "answers"

    @property
    def main(self) -> Figure | None:
        """The figure that stands for the set."""
        return self.newest.get(MAIN[self.kind])

    @property
    def blind(self) -> float | None:
        """Accuracy of the best answer without looking, if the run says so."""
        found = self.newest.get("blind")
        return None if found is None else found.value

    @property
    def scores(self) -> dict[str, Figure]:
        """The newest figures but the baseline."""
        return {score: found for score, found in self.newest.items() if score != "blind"}

    def standard_error(self, score: str) -> float | None:
        """Of a share over independent questions; None for other scores."""
        found = self.newest.get(score)
        if score != "exact" or found is None or self.questions < 2 or not 0 <= found.value <= 1:
            return None
        return sqrt(found.value * (1 - found.value) / self.questions)


_TELLING: dict[str, Kind] = {"similarity": "reading", "difference": "counting", "iou": "boxes", "reward": "rewards"}


def held_out_sets(history: History) -> list[HeldOutSet]:
    """All sets that a run has scored, in the order of its configuration, then of the log."""
    sources = _sources(history.config)
    sets: dict[str, HeldOutSet] = {}
    for row in history.evaluations:
        for key, value in figures(row).items():
            name, _, score = key.partition("/")
            of_set = sets.setdefault(name, HeldOutSet(name, sources.get(name, "")))
            if score == "questions":
                continue
            steps, values = of_set.curves.setdefault(score, Curve([], []))
            steps.append(float(row.step))
            values.append(value)
    for key, row in history.latest_figures().items():
        name, _, score = key.partition("/")
        value = figures(row)[key]
        if score == "questions":
            sets[name].questions = int(value) if isfinite(value) else 0
            continue
        stage, final = str(row.values.get("stage", "")), bool(row.values.get("final"))
        sets[name].newest[score] = Figure(value, row.step, stage, final)
    order = list(sources)
    return sorted(sets.values(), key=lambda one: order.index(one.name) if one.name in order else len(order))


def _sources(config: Mapping[str, Any]) -> dict[str, str]:
    listed = config.get("held_out")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    return {str(row.get("name", "")): str(row.get("source", "")) for row in rows}


def written(score: str, value: float) -> str:
    """A score for people: shares as percent.

    Example:
        >>> written("exact shape", 0.5), written("loss", 3.25)
        ('50.0%', '3.250')
    """
    return percent(value) if score.split(" ")[0] in SHARES else figure(value)
