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
        stop: how the main agent ended, see `Outcome`.
        critical: steps of an orchestrator or of an agent alone; None of other tasks.
    """

    place: str
    task: str
    reward: float | None
    tokens: int
    stop: str = ""
    critical: float | None = None

    @property
    def task_id(self) -> str:
        """Id of the task alone."""
        return self.task.rpartition("#")[0]

    @property
    def right(self) -> bool:
        """Whether it was wholly right."""
        return self.reward is not None and self.reward >= 1.0

    @property
    def judged(self) -> bool:
        """Whether there is a verdict."""
        return self.reward is not None

    @property
    def ended(self) -> bool:
        """Whether it was judged, and ended by itself or at an orchestrator's budget of critical steps, which ends an
        episode in order: not by a full context, a loop or a cap.
        """
        return self.reward is not None and self.stop == "done"

    def right_within(self, tokens: float) -> bool:
        """Whether it was wholly right by so many tokens."""
        return self.right and self.tokens <= tokens


def attempts(folder: RunFolder, *, step: int = 0) -> dict[tuple[str, str], Attempt]:
    """Of one measurement in a run folder, by place and task.

    Raises:
        DataError: the folder holds none.
    """
    with TrajectoryStore(folder.path / MEASURED, mode="read") as store:
        found = [_attempt(one) for one in _standing(store, step)]
    if not found:
        raise DataError(f"{folder.path}: no measured attempts; delete the folder and run again")
    return {(one.place, one.task): one for one in found}


def trajectories(folder: RunFolder, place: str, *, step: int = 0) -> Iterator[Trajectory]:
    """The whole attempts of one place, in the order of their names."""
    with TrajectoryStore(folder.path / MEASURED, mode="read") as store:
        for name in sorted(one.name for one in _standing(store, step)):
            if place_of(name) == place:
                yield store.get(name, pictures=False)


def _standing(store: TrajectoryStore, step: int) -> list[TrajectorySummary]:
    """The attempts of a step that its figures are of.

    A run that was killed and came to other weights measures a step anew; attempts of before bear another mark, and are
    told by it: of each place those count that bear the mark of the last one that was stored.
    """
    found = [one for one in store.find() if _parts(one.name).step == step]
    last = {_parts(one.name).place: _parts(one.name).mark for one in sorted(found, key=lambda one: one.stored)}
    return [one for one in found if _parts(one.name).mark == last[_parts(one.name).place]]


def pairs(
    before: Mapping[tuple[str, str], Attempt], after: Mapping[tuple[str, str], Attempt]
) -> list[tuple[Attempt, Attempt]]:
    """Attempts of two models at the same tasks, where both have a verdict."""
    both = [(before[key], after[key]) for key in before if key in after]
    return [(one, other) for one, other in both if one.reward is not None and other.reward is not None]


def accuracy_within(found: Sequence[Attempt], tokens: float) -> float:
    """Share that is right within so many tokens."""
    return sum(one.right_within(tokens) for one in found) / len(found)


def place_of(name: str) -> str:
    """The held-out set that a stored attempt is of, by its name."""
    return _parts(name).place


def _attempt(one: TrajectorySummary) -> Attempt:
    told = _parts(one.name)
    reward = None if one.masked else one.reward
    critical = one.rewards.get("critical_steps")
    return Attempt(told.place, f"{one.task}#{told.attempt}", reward, one.sampled - one.frozen, one.stop, critical)


class _Parts(NamedTuple):
    """What the name of a stored attempt tells (`rl_measure`)."""

    step: int
    place: str
    mark: str
    attempt: str


def _parts(name: str) -> _Parts:
    step, place, task, attempt = name.rsplit("/", 4)[1:]
    return _Parts(int(step), place, task.partition(".")[2], attempt)
