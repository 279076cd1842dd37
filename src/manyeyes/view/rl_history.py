"""`RlHistory`: the log of a run of reinforcement learning as pages need it: steps, measurements, and what went wrong.

Rows may come bit by bit. A resumed run writes again what its checkpoint had not seen; a row at an earlier step thus
replaces everything from that step on. Nothing here trusts the file: what is missing or of another kind is left out.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from statistics import fmean
from typing import Any

from manyeyes.core.runlog import Row, RunFolder
from manyeyes.view.history import Curve, curve, figures, number

NOTES = ("source_ended", "used_up", "rl_finding", "moved")
"""Rows that say what did not go as planned."""
RECENT = 20
"""Steps whose pace tells the time left."""


class RlHistory:
    """See the module.

    Attributes:
        steps: a row a step ("rl"): figures of rollouts, objective and update.
        times: a row a step ("rl_time"): seconds, shares, tokens a second.
        evaluations: rows of held-out figures.
        blind: tasks that were asked without their picture, and those that were dropped, by set.
        notes: rows of `NOTES`.
        start: the row that names the hardware, if there is one.
        finished: the last row of a run that reached its end.
        last_time: Unix time of the newest row, 0 without any.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config: dict[str, Any] = dict(config or {})
        self.steps: list[Row] = []
        self.times: list[Row] = []
        self.evaluations: list[Row] = []
        self.blind: dict[str, dict[str, float]] = {}
        self.notes: list[Row] = []
        self.start: Row | None = None
        self.finished: Row | None = None
        self.last_time = 0.0

    @classmethod
    def read(cls, folder: RunFolder) -> "RlHistory":
        """All that a run folder's log holds. Raises RunFolderError when it cannot be read."""
        history = cls(folder.config())
        history.extend(folder.metrics())
        return history

    def extend(self, rows: Iterable[Row]) -> None:
        """Takes in rows in the order of the log."""
        for row in rows:
            if isinstance(row.step, int) and isinstance(row.time, int | float):
                self._add(row)

    @property
    def name(self) -> str:
        """Of the recipe; "" where the configuration does not say."""
        return str(self.config.get("name", ""))

    @property
    def step(self) -> int:
        """Steps done."""
        return self.steps[-1].step if self.steps else 0

    @property
    def planned(self) -> int:
        """Steps of the whole run; at least those done."""
        planned = self.config.get("steps")
        return max(planned if isinstance(planned, int) else 0, self.step)

    @property
    def left(self) -> float | None:
        """Seconds to the end at the pace of the latest steps, measurements included; None when unknown."""
        recent = self.steps[-RECENT - 1 :]
        if len(recent) < 2 or self.finished is not None or self.step >= self.planned:
            return None
        pace = (recent[-1].time - recent[0].time) / (len(recent) - 1)
        return max(0.0, pace) * (self.planned - self.step)

    @property
    def seconds(self) -> float:
        """Within steps."""
        return sum(value for value in curve(self.times, "seconds").values if isfinite(value))

    @property
    def updates(self) -> int:
        """Steps that taught something."""
        return sum(row.values.get("updated") is True for row in self.steps)

    def names(self, prefix: str) -> list[str]:
        """Figures of steps that begin so, in the order in which they first came."""
        return list(dict.fromkeys(key for row in self.steps for key in row.values if key.startswith(prefix)))

    def measured(self) -> dict[str, dict[str, Curve]]:
        """By held-out set and score."""
        return measured_of(self.evaluations)

    def tally(self, key: str) -> Curve:
        """A count of each step's, over steps; 0 where it is not named."""
        told = [(row.step, row.values.get("tally")) for row in self.steps]
        counts = [(float(step), number(of.get(key)) or 0.0) for step, of in told if isinstance(of, Mapping)]
        return Curve([step for step, _ in counts], [count for _, count in counts])

    def recent(self, key: str, *, times: bool = False) -> float | None:
        """The mean of a figure over the latest steps that have it; None where none has."""
        values = curve((self.times if times else self.steps)[-RECENT:], key).values
        known = [value for value in values if isfinite(value)]
        return fmean(known) if known else None

    def _add(self, row: Row) -> None:
        if row.kind == "rl":
            if self.steps and row.step <= self.steps[-1].step:
                self._forget(row.step)
            self.steps.append(row)
        elif row.kind == "rl_time":
            self.times.append(row)
        elif row.kind == "evaluation":
            self.evaluations = [seen for seen in self.evaluations if seen.step < row.step] + [row]
        elif row.kind == "blind":
            for key, value in figures(row).items():
                name, _, what = key.rpartition("/")
                self.blind.setdefault(name, {})[what] = value
        elif row.kind in NOTES:
            self.notes.append(row)
        elif row.kind == "start":
            self.start = row
        elif row.kind == "finished":
            self.finished = row
        self.last_time = float(row.time)

    def _forget(self, step: int) -> None:
        self.steps, self.times, self.evaluations = (
            [row for row in rows if row.step < step] for rows in (self.steps, self.times, self.evaluations)
        )
        self.notes = [row for row in self.notes if row.step < step]
        self.finished = None


def measured_of(evaluations: Iterable[Row]) -> dict[str, dict[str, Curve]]:
    """Figures of rows of measurements, by held-out set and score."""
    sets: dict[str, dict[str, Curve]] = {}
    for row in evaluations:
        for key, value in figures(row).items():
            name, _, score = key.rpartition("/")
            steps, values = sets.setdefault(name, {}).setdefault(score, Curve([], []))
            steps.append(float(row.step))
            values.append(value)
    return sets
