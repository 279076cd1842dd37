"""Attempts of a measurement, one by one, read from the folder's store: what was asked, what it was worth, how long.

Two models that were measured with the same seed were asked the same tasks, so their attempts make pairs. Accuracy under
a cap of tokens needs no new attempts: one that had not ended by then would have been cut off, and so wrong.

Report: §4.4.2 (Fig. 5).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from manyeyes.core.errors import DataError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.core.trajectory_summary import TrajectorySummary
from manyeyes.recipes.rl_measure import MEASURED


class Attempt(NamedTuple):
    """One attempt at a held-out task.

    Attributes:
        place: the set that it is of.
        task: id of the task, and number of the attempt at it.
        reward: 0 to 1; None where there is no verdict.
        tokens: that the model sampled; those of frozen agents not counted.
    """

    place: str
    task: str
    reward: float | None
    tokens: int

    def right_within(self, tokens: float) -> bool:
        """Whether it was wholly right by so many tokens."""
        return self.reward is not None and self.reward >= 1.0 and self.tokens <= tokens


def attempts(folder: RunFolder, *, step: int = 0) -> dict[tuple[str, str], Attempt]:
    """Of one measurement in a run folder, by place and task.

    Raises:
        DataError: the folder holds none.
    """
    with TrajectoryStore(folder.path / MEASURED, mode="read") as store:
        found = [_attempt(one) for one in store.find() if _step(one.name) == step]
    if not found:
        raise DataError(f"{folder.path}: no measured attempts; delete the folder and run again")
    return {(one.place, one.task): one for one in found}


def trajectories(folder: RunFolder, place: str, *, step: int = 0) -> Iterator[Trajectory]:
    """The whole attempts of one place, in the order of their names."""
    with TrajectoryStore(folder.path / MEASURED, mode="read") as store:
        names = sorted(one.name for one in store.find(order="name"))
        for name in names:
            if _step(name) == step and _parts(name)[1] == place:
                yield store.get(name, pictures=False)


def pairs(
    before: Mapping[tuple[str, str], Attempt], after: Mapping[tuple[str, str], Attempt]
) -> list[tuple[Attempt, Attempt]]:
    """Attempts of two models at the same tasks, where both have a verdict."""
    both = [(before[key], after[key]) for key in before if key in after]
    return [(one, other) for one, other in both if one.reward is not None and other.reward is not None]


def accuracy_within(found: Sequence[Attempt], tokens: float) -> float:
    """Share that is right within so many tokens."""
    return sum(one.right_within(tokens) for one in found) / len(found)


def _attempt(one: TrajectorySummary) -> Attempt:
    _, place, _, number = _parts(one.name)
    reward = None if one.masked else one.reward
    return Attempt(place, f"{one.task}#{number}", reward, one.sampled - one.frozen)


def _step(name: str) -> int:
    return int(_parts(name)[0])


def _parts(name: str) -> tuple[str, str, str, str]:
    """Step, place, number of the task, number of the attempt."""
    step, place, task, number = name.rsplit("/", 4)[1:]
    return step, place, task, number
