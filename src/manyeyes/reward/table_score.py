"""What a table is worth: precision, recall and F1 of rows and of cells, and success; then over trials and tasks.

    row    TP = Σ over matched rows of the worst cell       P = TP / rows of the answer    R = TP / rows of the truth
    item   TP = Σ over matched rows of all cells            the same, × number of required columns
    success = 1 where every one of the six is exactly 1

Avg@N is the mean over N trials, Max@N (of success: Pass@N) the greatest, Min@N the least; then the mean over tasks.

Report: §5.2 (Item-F1 of WideSearch), App. E (Avg@4); Wong et al., "WideSearch", 2025, §4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Agreement(NamedTuple):
    """Precision, recall and F1.

    Example:
        >>> Agreement.of(2, predicted=3, true=2).f1.__round__(3)
        0.8
    """

    precision: float = 0.0
    recall: float = 0.0
    f1: float = 0.0

    @classmethod
    def of(cls, hits: float, *, predicted: int, true: int) -> "Agreement":
        """From true positives and how many there could be on either side."""
        precision, recall = hits / predicted if predicted else 0.0, hits / true if true else 0.0
        both = precision + recall
        return cls(precision, recall, 2 * precision * recall / both if both > 1e-9 else 0.0)

    @property
    def perfect(self) -> bool:
        """All three are exactly 1."""
        return self.precision == self.recall == self.f1 == 1.0


@dataclass(frozen=True, slots=True)
class TableScore:
    """The score of one answer.

    Attributes:
        success: 1.0 where the whole table is right, else 0.0.
        row: agreement of rows.
        item: agreement of cells.
        matched: rows of the answer that were joined to rows of the truth.
        flags: names of the corrections that were needed; see `wide_table`.
        failure: why nothing was scored; empty where something was.

    Example:
        >>> TableScore(failure="no table").item.f1
        0.0
    """

    success: float = 0.0
    row: Agreement = Agreement()
    item: Agreement = Agreement()
    matched: int = 0
    flags: tuple[str, ...] = ()
    failure: str = ""

    @property
    def figures(self) -> dict[str, float]:
        """The seven numbers by name: success, row_precision, …, item_f1."""
        parts = {f"{level}_{name}": value for level in ("row", "item") for name, value in self._part(level).items()}
        return {"success": self.success, **parts}

    def _part(self, level: str) -> dict[str, float]:
        return getattr(self, level)._asdict()


class OverTrials(NamedTuple):
    """One number over N trials of each task, then over tasks."""

    average: float
    greatest: float
    least: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A benchmark's numbers.

    Attributes:
        figures: by the names of `TableScore.figures`; empty where no task is complete.
        tasks: how many are in the means.
        incomplete: tasks left out because they have fewer than N trials, as the official script leaves them out.
    """

    figures: dict[str, OverTrials]
    tasks: int
    incomplete: tuple[str, ...]


def tally(cells_MC: Sequence[Sequence[float]], *, predicted: int, true: int, width: int) -> TableScore:
    """The score from the cells (C for each of M matched rows) and the size of both tables.

    Args:
        cells_MC: from 0 to 1; a matched row without cells is worth 0.
        width: number of required columns.

    Example:
        >>> tally([[1.0, 1.0], [1.0, 0.0]], predicted=2, true=2, width=2).item.f1
        0.75
    """
    rows = sum(min(cells, default=0.0) for cells in cells_MC)
    row = Agreement.of(rows, predicted=predicted, true=true)
    item = Agreement.of(sum(map(sum, cells_MC)), predicted=predicted * width, true=true * width)
    return TableScore(float(row.perfect and item.perfect), row, item, matched=len(cells_MC))


def over_trials(scores: Mapping[str, Sequence[TableScore]], *, trials: int) -> Summary:
    """Avg@N, Max@N and Min@N of every number.

    Args:
        scores: by task, one for each trial. A trial that crashed is a `TableScore()`, not an absence.
        trials: N.
    """
    if trials < 1 or any(len(one) > trials for one in scores.values()):
        raise ValueError(f"expected 1 to {trials} trials a task, got {[len(one) for one in scores.values()]}")
    full = {task: [score.figures for score in one] for task, one in scores.items() if len(one) == trials}
    names = TableScore().figures if full else {}
    figures = {name: _over_tasks([[figures[name] for figures in one] for one in full.values()]) for name in names}
    return Summary(figures, len(full), tuple(task for task in scores if task not in full))


def _over_tasks(values_TN: list[list[float]]) -> OverTrials:
    count = len(values_TN)
    return OverTrials(
        sum(sum(trials) / len(trials) for trials in values_TN) / count,
        sum(map(max, values_TN)) / count,
        sum(map(min, values_TN)) / count,
    )
