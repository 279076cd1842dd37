"""What a rollout did, as actions: its critical steps, and which of the assigned tasks were finished.

    answer with k direct calls                   k actions (1 where there is none): S_main counts operations
    answer that starts sub-agents                one action, with these as its children
    critical steps                               `critical_steps` of the orchestrator's actions

A task is finished when its sub-agent ended by itself, said something, and had worked for it: it made calls, and the
last of them had a result. That is the runtime's record and not text: an apology is no finish, nor is a made-up answer.

Report: §3 (critical steps; r_finish); `swarm.critical_steps` counts an answer as one step however many calls it holds.
"""

from collections import defaultdict
from typing import Any, NamedTuple

from manyeyes.core.trajectory import NOBODY, AgentSpan, Event, Trajectory
from manyeyes.swarm.critical_steps import Action, critical_steps, total_steps
from manyeyes.swarm.orchestrator import ASSIGN, CREATE

MAIN = 0
"""Number of the orchestrator in a trajectory."""


class Work(NamedTuple):
    """What an orchestrator's rollout did.

    Attributes:
        critical: critical steps.
        total: steps of all agents.
        started: sub-agents of the orchestrator.
        finished: those that finished their task.

    Example:
        >>> Work(critical=6, total=18, started=4, finished=3).parallelism
        3.0
    """

    critical: int
    total: int
    started: int
    finished: int

    @property
    def parallelism(self) -> float:
        """Agents at work at once, over the critical steps."""
        return self.total / self.critical if self.critical else 0.0

    @property
    def finish_rate(self) -> float:
        """Of the assigned tasks; 0 where there are none."""
        return self.finished / self.started if self.started else 0.0


def work_of(trajectory: Trajectory) -> Work:
    """Of a whole rollout."""
    actions = actions_of(trajectory)
    agents = [number for number, span in enumerate(trajectory.agents) if span.parent == MAIN]
    finished = sum(is_finished(trajectory, number) for number in agents)
    return Work(critical_steps(actions), total_steps(actions), len(agents), finished)


def put_rows(trajectory: Trajectory) -> dict[str, str]:
    """The rows that agents put into their table; the last word on a key counts."""
    results = (event.data["result"]["data"] for event in trajectory.events if event.kind == "tool")
    return {key: value for data in results for key, value in data.get("put", {}).items()}


def actions_of(trajectory: Trajectory, agent: int = MAIN) -> list[Action]:
    """Of one agent, in order, those that it started inside."""
    direct, groups = defaultdict[int, int](int), defaultdict[int, list[tuple[Action, ...]]](list)
    for event in trajectory.events:
        if event.agent != agent or "place" not in event.data:
            continue
        turn = _turn(event.data["place"])
        if event.kind == "tool" and event.data["name"] not in (CREATE, ASSIGN):
            direct[turn] += 1
        elif event.kind == "spawned":
            child = _number_of(trajectory, event.data["agent"])
            groups[turn].append(tuple(actions_of(trajectory, child)))
    actions: list[Action] = []
    for turn in range(_answers(trajectory, agent)):
        actions.append(Action(tuple(groups[turn])))
        actions += [Action()] * (direct[turn] - 1)
    return actions


def is_finished(trajectory: Trajectory, agent: int) -> bool:
    """Whether an agent finished its task; see the module."""
    span = trajectory.agents[agent]
    if span.stop != "done" or not span.text.strip():
        return False
    calls = [event for event in trajectory.events if event.kind == "tool" and event.agent == agent]
    return bool(calls) and not _failure(calls[-1])


def _answers(trajectory: Trajectory, agent: int) -> int:
    """Answers of an agent's model: turns that were sampled, and those of models that only tell texts."""
    sampled = sum(node.agent == agent for node in trajectory.nodes)
    return sampled + sum(event.kind == "reply" and event.agent == agent for event in trajectory.events)


def _failure(call: Event) -> str:
    result: dict[str, Any] = call.data["result"]
    return result["failure"]


def _turn(place: str) -> int:
    """Number of the answer that a call or a child belongs to, from "answer.position" or "answer.position#child"."""
    return int(place.partition("#")[0].partition(".")[0])


def _number_of(trajectory: Trajectory, name: str) -> int:
    names: list[AgentSpan] = trajectory.agents
    return next((number for number, span in enumerate(names) if span.name == name), NOBODY)
