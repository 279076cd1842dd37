"""`History`: the log of one run as pages need it: steps by stage, evaluations, and where the run stands.

Rows may come bit by bit. A resumed run writes again what its checkpoint had not seen; a row at an earlier step thus
replaces everything from that step on, so a history is the same whether it was followed live or read at once.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from manyeyes.core.runlog import Row, RunFolder
from manyeyes.view.stage_plan import StagePlan, planned
from manyeyes.view.time_left import TimeLeft
from manyeyes.view.wording import number

NOT_LOSSES = {
    "stage", "stage_step", "tokens", "seconds", "mfu", "max_logit", "clipped", "load", "learning_rate",
    "gradient_norm", "fill", "pairs", "balance",
}  # fmt: skip
"""Values of a train row that are no part of the loss (the balance loss is, but lives on another scale)."""


class Curve(NamedTuple):
    """A value over steps; both lists have the same length."""

    steps: list[float]
    values: list[float]


class StageRecord(NamedTuple):
    """A stage: its plan, and its rows so far.

    Attributes:
        used_up: it ended early, because its finite mixture had no more data.
        replaced: records that could not be read, with padding in their places.
    """

    plan: StagePlan
    rows: list[Row]
    used_up: bool = False
    replaced: int = 0

    @property
    def step(self) -> int:
        """Steps done."""
        return stage_step(self.rows[-1]) if self.rows else 0

    @property
    def steps(self) -> int:
        """Steps planned; at least those done."""
        return max(self.plan.steps, self.step)

    @property
    def done(self) -> bool:
        """Whether it has done all its steps, or all that its data allowed."""
        return self.used_up or (self.steps > 0 and self.step >= self.steps)

    @property
    def notes(self) -> str:
        """What did not go as planned; "" when all did."""
        replaced = f"{self.replaced:,} record{'s' * (self.replaced > 1)} replaced" if self.replaced else ""
        return ", ".join(note for note in ("data used up" if self.used_up else "", replaced) if note)

    @property
    def seconds(self) -> float:
        """Time within its steps."""
        return total(self.rows, "seconds")

    @property
    def tokens(self) -> int:
        """Tokens it trained on, padding left out."""
        return int(total(self.rows, "tokens"))

    @property
    def tokens_per_second(self) -> float:
        """Its mean speed."""
        return self.tokens / self.seconds if self.seconds else 0.0


class History:
    """A run's log, row by row.

    Attributes:
        train: one row a step.
        evaluations: rows of held-out figures.
        used_up: rows of stages that ended early, without data.
        quarantine: rows of replaced records.
        attempts: of rejection sampling, how far they are; until it learns from them.
        kept: of rejection sampling, what became of the attempts.
        start: the row that names the hardware, if there is one.
        finished: the last row of a run that reached its end.
        last_time: Unix time of the newest row, 0 without any.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config: dict[str, Any] = dict(config or {})
        self.plan = planned(self.config)
        self._clear()

    @classmethod
    def read(cls, folder: RunFolder) -> "History":
        """All that a run folder's log holds. Raises RunFolderError when it cannot be read."""
        history = cls(folder.config())
        history.extend(folder.metrics())
        return history

    def extend(self, rows: Iterable[Row]) -> None:
        """Takes in rows in the order of the log."""
        for row in rows:
            self._add(row)

    def _clear(self) -> None:
        self.train: list[Row] = []
        self.evaluations: list[Row] = []
        self.used_up: list[Row] = []
        self.quarantine: list[Row] = []
        self.attempts: list[Row] = []
        self.kept: Row | None = None
        self.start: Row | None = None
        self.finished: Row | None = None
        self.last_time = 0.0
        self.time_left = TimeLeft(self.plan)

    def _add(self, row: Row) -> None:
        if not isinstance(row.step, int) or not isinstance(row.time, int | float):
            return  # not written by a run
        if row.kind == "start":
            self._clear()
            self.start = row
        elif row.kind == "train":
            if self.train and row.step <= self.train[-1].step:
                self._forget(row.step)
            self.train.append(row)
            self._time(row)
        elif row.kind == "evaluation":
            self.evaluations = [seen for seen in self.evaluations if seen.step < row.step]
            self.evaluations.append(row)
        elif row.kind == "used_up":
            self.used_up.append(row)
        elif row.kind == "quarantine":  # comes before the train row of its step
            if self.train and row.step <= self.train[-1].step:
                self._forget(row.step)
            self.quarantine.append(row)
        elif row.kind == "attempts":
            self.attempts = [seen for seen in self.attempts if seen.step < row.step] + [row]
        elif row.kind == "rft":
            self.kept = row
        elif row.kind == "finished":
            self.finished = row
        self.last_time = row.time

    def _forget(self, step: int) -> None:
        """The run was resumed before `step`: what it wrote from there on no longer holds."""
        self.train = [row for row in self.train if row.step < step]
        self.evaluations = [row for row in self.evaluations if row.step < step]
        self.used_up = [row for row in self.used_up if row.step < step]
        self.quarantine = [row for row in self.quarantine if row.step < step]
        self.finished = None
        self.time_left = TimeLeft(self.plan)
        for row in self.train:
            self._time(row)

    def _time(self, row: Row) -> None:
        seconds, tokens = number(row.values.get("seconds")), number(row.values.get("tokens"))
        if seconds is not None and math.isfinite(seconds):
            self.time_left.add(stage_of(row), seconds=seconds, tokens=int(tokens or 0), at=row.time)

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self.train[-1].step if self.train else 0

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run; at least those done."""
        return max(sum(plan.steps for plan in self.plan), self.step)

    @property
    def tokens(self) -> int:
        """Tokens the run trained on, padding left out."""
        return int(total(self.train, "tokens"))

    @property
    def seconds(self) -> float:
        """Time within steps; evaluations and checkpoints are left out."""
        return total(self.train, "seconds")

    @property
    def stages(self) -> list[StageRecord]:
        """Every planned stage, and any that the plan does not know, in order."""
        rows: dict[str, list[Row]] = {plan.name: [] for plan in self.plan}
        for row in self.train:
            rows.setdefault(stage_of(row), []).append(row)
        plans = {plan.name: plan for plan in self.plan}
        used_up, replaced = {stage_of(row) for row in self.used_up}, Counter(map(stage_of, self.quarantine))
        return [
            StageRecord(plans.get(name, StagePlan(name, 0)), of_stage, name in used_up, replaced[name])
            for name, of_stage in rows.items()
        ]

    @property
    def stage(self) -> StageRecord | None:
        """The stage that the run is in, or ended with."""
        return next((stage for stage in reversed(self.stages) if stage.rows), None)

    @property
    def left(self) -> float | None:
        """Seconds to the end, None when unknown."""
        stage = self.stage
        if stage is None:
            return None
        return self.time_left.seconds(
            stage.plan.name, stage_left=stage.steps - stage.step, run_left=self.steps - self.step
        )

    def latest_figures(self) -> dict[str, Row]:
        """For each "set/score" the newest evaluation that has it."""
        newest: dict[str, Row] = {}
        for row in self.evaluations:
            newest.update(dict.fromkeys(figures(row), row))
        return newest


def curve(rows: Iterable[Row], key: str, *, within_stage: bool = False) -> Curve:
    """A value over the run's steps, or over its stage's. Rows without it are left out; NaN and infinities stay."""
    steps, values = [], []
    for row in rows:
        value = number(row.values.get(key))
        if value is not None:
            steps.append(float(stage_step(row) if within_stage else row.step))
            values.append(value)
    return Curve(steps, values)


def loss_parts(rows: Iterable[Row]) -> list[str]:
    """Names of the loss parts, the whole loss first; a part that always equals another is left out."""
    rows = list(rows)
    seen: Counter[str] = Counter()
    for row in rows:
        seen.update(name for name, value in row.values.items() if name not in NOT_LOSSES and number(value) is not None)
    names = sorted(seen, key=lambda name: (name != "loss", list(seen).index(name)))
    return [name for name in names if name == "loss" or not _same_as_loss(rows, name)]


def _same_as_loss(rows: list[Row], name: str) -> bool:
    pairs = [(number(row.values.get("loss")), number(row.values.get(name))) for row in rows]
    known = [(whole, part) for whole, part in pairs if whole is not None and part is not None]
    return bool(known) and all(abs(whole - part) <= 0.002 * abs(whole) + 1e-9 for whole, part in known)


def figures(row: Row) -> dict[str, float]:
    """The "set/score" figures of an evaluation row."""
    pairs = ((name, number(value)) for name, value in row.values.items() if "/" in name)
    return {name: value for name, value in pairs if value is not None}


def total(rows: Iterable[Row], key: str) -> float:
    """Sum of a value over rows, whatever is missing or not finite left out."""
    values = (number(row.values.get(key)) for row in rows)
    return sum(value for value in values if value is not None and math.isfinite(value))


def stage_of(row: Row) -> str:
    """The name of a row's stage."""
    return str(row.values.get("stage", "?"))


def stage_step(row: Row) -> int:
    """A train row's step within its stage."""
    step = row.values.get("stage_step")
    return step if isinstance(step, int) else row.step
