"""How far a task's rows were at each moment of an episode: item-F1 by critical steps.

    table     rows that agents have put down in the place that they share; the last word on a key counts
    answer    rows on pages that the orchestrator has opened, and rows that sub-agents have returned to it; the first
              value counts, as in an answer
    end       what the judge said

Rows of agents that work at once come at the same moment. An episode that was judged to be worth nothing, such as one
beyond its budget, has reached nothing: its end is its only moment.

Report: §5.2, Fig. 8 (time to reach an item-F1); `swarm.partial_scores` is the same for tables in Markdown.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from manyeyes.core.trajectory import MAIN, Trajectory
from manyeyes.swarm.parl import PERFORMANCE
from manyeyes.swarm.parl_log import Call, log_of
from manyeyes.swarm.parl_plan import Plan
from manyeyes.swarm.parl_rows import Rows, item_agreement, read_rows, written_rows
from manyeyes.swarm.parl_shared import rows_of
from manyeyes.swarm.parl_steps import timed, work_of


class Moment(NamedTuple):
    """From here on.

    Attributes:
        steps: critical steps so far.
        f1: of the rows that were there; at the end, of what was judged.
    """

    steps: int
    f1: float


def moments(trajectory: Trajectory, plan: Plan, *, table: bool = True) -> list[Moment]:
    """Every moment at which something came back, and the end.

    Args:
        plan: the task with its truth.
        table: whether agents share a place for rows; else the orchestrator's answer holds them.

    Raises:
        DataError: see `parl_log.log_of`.
    """
    judged = trajectory.rewards.get(PERFORMANCE, trajectory.reward or 0.0)
    end = Moment(work_of(trajectory).critical, judged)
    if judged == 0.0:
        return [end]
    calls: list[Call] = []
    found: list[Moment] = []
    for steps, over in groupby(timed(log_of(trajectory)), key=lambda one: one.steps):
        calls += [one.call for one in over]
        found.append(Moment(steps, worth(rows_of(calls) if table else told_by(calls, plan), plan)))
    return [*found, end]


def first_reached(found: Sequence[Moment], targets: Sequence[float]) -> dict[float, int | None]:
    """Critical steps at which each target was first reached; None where it never was.

    Example:
        >>> first_reached([Moment(3, 0.2), Moment(6, 0.65)], (0.3, 0.7))
        {0.3: 6, 0.7: None}
    """
    return {target: next((one.steps for one in found if one.f1 >= target), None) for target in targets}


def worth(rows: Rows, plan: Plan) -> float:
    """Item-F1 of rows."""
    return item_agreement(written_rows(rows), plan.rows).f1


def told_by(calls: Iterable[Call], plan: Plan) -> Rows:
    """Rows of the task in results that the orchestrator has seen; pages tell facts in the form of rows."""
    texts = [part for call in calls if call.agent == MAIN for part in call.result["parts"] if isinstance(part, str)]
    rows: dict[str, tuple[str, ...]] = {}
    for text in texts:
        for key, values in read_rows(text):
            if key in plan.rows:
                rows.setdefault(key, values)
    return rows
