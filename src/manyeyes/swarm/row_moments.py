"""How far a task's rows were at each moment of an episode: item-F1 by critical steps.

    table     rows that agents have put into the table that they share; the last word on a key counts
    answer    rows on pages that the orchestrator has opened, and rows that sub-agents have returned to it; the first
              value counts, as in an answer
    end       what the judge said

A call of a sub-agent is made as many steps behind the action that started it as the sub-agent has taken by then; so
rows of agents that work at once come at the same moment.

Report: §5.2, Fig. 8 (time to reach an item-F1); `swarm.partial_scores` is the same for tables in Markdown.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from manyeyes.core.trajectory import Event, Trajectory
from manyeyes.swarm.critical_steps import critical_steps
from manyeyes.swarm.orchestrator import ASSIGN, CREATE
from manyeyes.swarm.parl_plan import Plan
from manyeyes.swarm.parl_rows import Rows, item_agreement, read_rows, written_rows
from manyeyes.swarm.parl_steps import MAIN, actions_of, work_of


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
        table: whether agents share a table; else the orchestrator's answer holds the rows.
    """
    rows: dict[str, tuple[str, ...]] = {}
    found: dict[int, float] = {}
    for steps, event in sorted(timed(trajectory), key=lambda one: one[0]):
        if table:
            rows |= put_by(event)
        elif event.agent == MAIN:
            rows = told_by(event, plan) | rows
        found[steps] = worth(rows, plan)
    end = Moment(work_of(trajectory).critical, trajectory.reward or 0.0)
    return [*(Moment(steps, f1) for steps, f1 in found.items()), end]


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


def put_by(event: Event) -> dict[str, tuple[str, ...]]:
    """What a call has put into the shared table."""
    put: Mapping[str, str] = event.data["result"]["data"].get("put", {})
    return {key: (value,) for key, value in put.items()}


def told_by(event: Event, plan: Plan) -> dict[str, tuple[str, ...]]:
    """Rows of the task in a call's result; pages tell facts in the form of rows."""
    texts = [part for part in event.data["result"]["parts"] if isinstance(part, str)]
    return {key: values for text in texts for key, values in read_rows(text) if key in plan.rows}


def timed(trajectory: Trajectory, agent: int = MAIN, *, start: int = 0) -> list[tuple[int, Event]]:
    """All calls of an agent and of those that it started, each with the critical steps after which it was over.

    Args:
        start: critical steps before the agent's first answer.
    """
    calls, children = defaultdict[int, list[Event]](list), defaultdict[int, list[int]](list)
    by_name = {span.name: number for number, span in enumerate(trajectory.agents)}
    for event in trajectory.events:
        if event.agent != agent or "place" not in event.data:
            continue
        turn = int(str(event.data["place"]).partition("#")[0].partition(".")[0])
        if event.kind == "spawned":
            children[turn].append(by_name[event.data["agent"]])
        elif event.kind == "tool":
            calls[turn].append(event)
    found: list[tuple[int, Event]] = []
    now = start
    for turn in sorted(calls):
        now += max(1, sum(event.data["name"] not in (CREATE, ASSIGN) for event in calls[turn]))
        found += [one for child in children[turn] for one in timed(trajectory, child, start=now)]
        now += max((critical_steps(actions_of(trajectory, child)) for child in children[turn]), default=0)
        found += [(now, event) for event in calls[turn]]
    return found
