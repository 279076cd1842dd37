"""Figures of runs over training, of several seeds together: means, the lowest and the highest seed.

Report: Figures 2 and 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from manyeyes.core.errors import DataError
from manyeyes.core.runlog import RunFolder


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure.

    Attributes:
        steps: at which it is known of every seed, ascending; a held-out figure's first and last are the run's.
        seeds: its values, seed by seed.

    Example:
        >>> Curve([0, 10], [[0.25, 0.5], [0.75, 1.0]]).means
        [0.5, 0.75]
    """

    steps: list[int]
    seeds: list[list[float]]

    @property
    def means(self) -> list[float]:
        """Over the seeds."""
        return [mean(values) for values in zip(*self.seeds, strict=True)]

    @property
    def first(self) -> list[float]:
        """One a seed."""
        return [values[0] for values in self.seeds]

    @property
    def last(self) -> list[float]:
        """One a seed."""
        return [values[-1] for values in self.seeds]

    def series(self, name: str, **more: Any) -> dict[str, Any]:
        """For a panel of the figure: points and a band from the lowest to the highest seed."""
        columns = list(zip(*self.seeds, strict=True))
        return {
            "name": name,
            "xs": self.steps,
            "ys": _rounded(self.means),
            "low": _rounded([min(values) for values in columns]),
            "high": _rounded([max(values) for values in columns]),
            **more,
        }

    def smoothed(self, window: int) -> "Curve":
        """Means over so many neighbouring points, for figures of single batches."""
        reach = max(window, 1)
        seeds = [[mean(v[max(0, i - reach + 1) : i + 1]) for i in range(len(v))] for v in self.seeds]
        return Curve(self.steps, seeds)


def curve(runs: Sequence[RunFolder], figure: str, *, kind: str = "evaluation") -> Curve:
    """A figure of the runs' logs.

    Args:
        kind: of the rows: "evaluation" for held-out tasks, "rl" for the batches of training.

    Raises:
        DataError: no run tells it; or one does not tell a held-out figure at its first or last measurement, which is
            what verdicts are read from.
    """
    rows = [list(run.metrics(kind)) for run in runs]
    found = [{row.step: float(row.values[figure]) for row in own if figure in row.values} for own in rows]
    steps = sorted(set.intersection(*(set(one) for one in found))) if found else []
    if not steps:
        raise DataError(f"no step at which all of {', '.join(run.name for run in runs)} tell {figure!r}")
    if kind == "evaluation":
        told = [row.step for own in rows for row in own]
        for run, one in zip(runs, found, strict=True):
            _require_ends(run, figure, one, {min(told), max(told)})
    return Curve(steps, [[one[step] for step in steps] for one in found])


def _require_ends(run: RunFolder, figure: str, told: Mapping[int, float], ends: set[int]) -> None:
    """A curve of the steps in between would be read as the whole training."""
    if lost := sorted(ends - told.keys()):
        raise DataError(
            f"{run.path}: no {figure!r} was measured after step {lost[0]}, so nothing came to a verdict there; its "
            "worker.log says why, and without the folder it is made again"
        )


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of several figures of the same runs, seed by seed, at the steps that all have."""
    steps = sorted(set.intersection(*(set(one.steps) for one in curves)))
    seeds = range(len(curves[0].seeds))
    at = [{step: number for number, step in enumerate(one.steps)} for one in curves]
    values = [
        [mean(one.seeds[seed][place[step]] for one, place in zip(curves, at, strict=True)) for step in steps]
        for seed in seeds
    ]
    return Curve(steps, values)


class Figures(dict[str, float]):
    """What a measurement found, by name.

    Raises:
        DataError: it has no such figure: nothing came to a verdict there.
    """

    def __init__(self, run: RunFolder, found: Mapping[str, float]) -> None:
        super().__init__(found)
        self.run = run

    def __missing__(self, name: str) -> float:
        raise DataError(
            f"{self.run.path}: no {name!r} was measured, so nothing came to a verdict there; its worker.log says why, "
            "and without the folder it is measured again"
        )


def last_figures(run: RunFolder) -> Figures:
    """What its last whole measurement found.

    Raises:
        DataError: there is none.
    """
    rows = [row for row in run.metrics("evaluation") if row.values.get("final")]
    if not rows:
        raise DataError(f"{run.path}: no evaluation at the end of the run; delete the folder and run again")
    return Figures(run, {name: float(v) for name, v in rows[-1].values.items() if isinstance(v, int | float)})


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]
