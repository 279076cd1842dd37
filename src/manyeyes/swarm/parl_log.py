"""What agents did, one agent after the other, read from a trajectory or from a journal: what steps are counted from.

    answers      of the agent's model
    calls        that came to an end, each at its place: the answer that made it, and its position there
    children     agents that it started, at the places of the calls that did

Both tellings of a run name the same places, so what is counted from one is what is counted from the other.

Report: §3 (critical steps).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from manyeyes.core import journal
from manyeyes.core.errors import DataError
from manyeyes.core.trajectory import MAIN, NOBODY, Trajectory
from manyeyes.swarm.orchestrator import ASSIGN, CREATE


class Place(NamedTuple):
    """Where something was done: in which answer, which call of it, and which of the agents that this call started.

    Example:
        >>> Place.read("2.1#0"), Place.read("2.1")
        (Place(answer=2, position=1, child=0), Place(answer=2, position=1, child=0))
    """

    answer: int
    position: int = 0
    child: int = 0

    @classmethod
    def read(cls, told: str) -> "Place":
        """From "answer.position" or "answer.position#child"."""
        call, _, child = told.partition("#")
        answer, _, position = call.partition(".")
        return cls(int(answer), int(position or 0), int(child or 0))

    @property
    def call(self) -> "Place":
        """The call that an agent was started by."""
        return self._replace(child=0)


class Call(NamedTuple):
    """A call that came to an end.

    Attributes:
        arguments: JSON.
        result: what came of it: "parts", "failure", and "data", which the tool noted.
    """

    agent: str
    place: Place
    name: str
    arguments: str
    result: Mapping[str, Any]

    @property
    def direct(self) -> bool:
        """Whether it started nobody."""
        return self.name not in (CREATE, ASSIGN)

    @property
    def prompt(self) -> str:
        """The task that it assigns; "" where it assigns none."""
        try:
            said = json.loads(self.arguments) if self.name == ASSIGN else {}
        except ValueError:
            return ""
        prompt = said.get("prompt", "") if isinstance(said, dict) else ""
        return prompt if isinstance(prompt, str) else ""


@dataclass(slots=True)
class Deeds:
    """Of one agent; see the module. Children are names by their places."""

    answers: int = 0
    calls: list[Call] = field(default_factory=list)
    children: dict[Place, str] = field(default_factory=dict)


Log = Mapping[str, Deeds]
"""By the agent's name."""


def log_of(trajectory: Trajectory) -> Log:
    """Of a rollout.

    Raises:
        DataError: an agent was started that the trajectory does not hold.
    """
    names = [span.name for span in trajectory.agents]
    log = {name: Deeds() for name in names}
    for node in trajectory.nodes:
        log[names[node.agent]].answers += 1
    for event in trajectory.events:
        if event.agent == NOBODY:
            continue
        deeds = log[names[event.agent]]
        if event.kind == "reply":
            deeds.answers += 1
        elif event.kind == "tool":
            deeds.calls.append(_call(names[event.agent], event.data))
        elif event.kind == "spawned":
            if event.data["agent"] not in log:
                raise DataError(f"{trajectory.name}: {event.data['agent']} was started, and is none of its agents")
            deeds.children[Place.read(event.data["place"])] = event.data["agent"]
    return log


def log_in(events: Iterable[journal.Event]) -> Log:
    """Of a session, from its journal; one that has not begun has a main agent that did nothing."""
    log = {MAIN: Deeds()}
    answered: set[tuple[str, int]] = set()
    for event in events:
        if event.kind == "agent.created":
            log.setdefault(event.agent, Deeds())
            if event.agent != MAIN:
                _adopt(log[event.agent.rpartition("/")[0]], event)
        elif event.kind == "llm.finished":
            answered.add((event.agent, event.data["turn"]))
        elif event.kind == "tool.finished":
            log[event.agent].calls.append(_call(event.agent, event.data))
    for agent, _ in answered:  # an answer that was lost by a kill is given again under its number
        log[agent].answers += 1
    return log


def _call(agent: str, data: Mapping[str, Any]) -> Call:
    return Call(agent, Place.read(data["place"]), data["name"], data.get("arguments", ""), data["result"])


def _adopt(parent: Deeds, event: journal.Event) -> None:
    place = Place.read(event.data["call"])
    siblings = sum(one.call == place for one in parent.children)
    parent.children[place._replace(child=siblings)] = event.agent
