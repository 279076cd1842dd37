"""What a swarm's journal says at any moment: every agent's state, and the run's counters. A pure fold over events.

Terminal view, pages and tests read this; nothing here prints or waits.

Report: §3, Fig. 6 (roles), Fig. 8.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from manyeyes.agent.chat_model import Usage
from manyeyes.core.journal import Event
from manyeyes.swarm.critical_steps import StepCounter
from manyeyes.swarm.orchestrator import ASSIGN

Activity = Literal["waiting", "thinking", "tool", "delegating", "finished", "failed", "cancelled"]
ENDS: dict[str, Activity] = {"done": "finished", "cancelled": "cancelled"}


@dataclass
class AgentState:
    """One agent.

    Attributes:
        name: its path in the tree.
        role: name of its specification; "" for the main agent.
        prompt: its task.
        activity: what it does now.
        doing: the tools that are under way.
        turns, calls: answers and tool calls so far.
        usage: of its own calls.
        waited: seconds that its calls waited for the limiter.
        since: Unix seconds of the last change.
        began, ended: Unix seconds; `ended` None while it lives.
        away: seconds of its life for which no process was at the run, or it was paused.
        stop, reason: how it ended.
        round: the agent that started it and the number of the answer that did; None for the main agent.
    """

    name: str
    role: str = ""
    prompt: str = ""
    activity: Activity = "waiting"
    doing: dict[str, str] = field(default_factory=dict)
    turns: int = 0
    calls: int = 0
    usage: Usage = Usage()
    waited: float = 0.0
    since: float = 0.0
    began: float = 0.0
    ended: float | None = None
    away: float = 0.0
    stop: str = ""
    reason: str = ""
    round: tuple[str, str] | None = None

    @property
    def depth(self) -> int:
        """0 for the main agent."""
        return self.name.count("/")

    @property
    def alive(self) -> bool:
        """Whether it is still at work."""
        return self.ended is None

    def seconds(self, now: float) -> float:
        """What it has taken, without the time that it stood still; `now` in Unix seconds."""
        return max(0.0, (now if self.ended is None else self.ended) - self.began - self.away)


@dataclass
class SwarmState:
    """A whole run.

    Attributes:
        agents: by name, in the order of their creation.
        steps: critical and total steps.
        rounds: by agent and number of its answer, how many sub-agents that answer started.
        serial: seconds that all model calls and tools took, as if one after the other.
        began, last: Unix seconds of the first and the newest event.
        away: seconds that no process was at the run, or that it was paused.
        paused_for: why it is paused; "" while it is not.
        stop: how the run ended; "" while it lives.
    """

    agents: dict[str, AgentState] = field(default_factory=dict)
    steps: StepCounter = field(default_factory=StepCounter)
    rounds: dict[tuple[str, str], int] = field(default_factory=dict)
    serial: float = 0.0
    began: float = 0.0
    last: float = 0.0
    away: float = 0.0
    paused_for: str = ""
    stop: str = ""

    @classmethod
    def of(cls, events: Iterable[Event]) -> "SwarmState":
        """After these events."""
        state = cls()
        for event in events:
            state.take(event)
        return state

    @property
    def usage(self) -> Usage:
        """Of all agents."""
        return sum((agent.usage for agent in self.agents.values()), Usage())

    @property
    def thinking(self) -> int:
        """Model calls that are under way, those that wait for the limiter included."""
        return sum(agent.activity == "thinking" for agent in self.agents.values())

    @property
    def alive(self) -> int:
        """Agents at work."""
        return sum(agent.alive for agent in self.agents.values())

    def seconds(self, now: float) -> float:
        """What it has taken, without the time that it stood still; `now` in Unix seconds."""
        return max(0.0, (self.last if self.stop or self.paused_for else now) - self.began - self.away)

    def speed_up(self, now: float) -> float:
        """How much faster than one thing after the other; 1 while there is nothing to compare."""
        took = self.seconds(now)
        return self.serial / took if took > 0 and self.serial else 1.0

    @property
    def roles(self) -> dict[str, int]:
        """How many sub-agents had each role."""
        found: dict[str, int] = {}
        for agent in self.agents.values():
            if agent.role:
                found[agent.role] = found.get(agent.role, 0) + 1
        return found

    def take(self, event: Event) -> None:
        """Take one event in."""
        self.began = self.began or event.time
        if event.kind == "run.resumed" or self.paused_for:
            self._stand_still(event.time - self.last)
        self.last = event.time
        self.steps.take(event)
        self._account(event)
        if event.agent:
            agent = self.agents.setdefault(event.agent, AgentState(event.agent, began=event.time))
            agent.since = event.time
            _apply(agent, event)

    def _stand_still(self, seconds: float) -> None:
        self.away += seconds
        for agent in self.agents.values():
            if agent.alive:
                agent.away += seconds

    def _account(self, event: Event) -> None:
        """What concerns the run as a whole."""
        data = event.data
        if "usage" in data or (event.kind == "tool.finished" and data["name"] != ASSIGN):
            self.serial += float(data["seconds"])
        elif event.kind == "agent.created" and (place := _round(event)) is not None:
            self.rounds[place] = self.rounds.get(place, 0) + 1
        elif event.kind == "run.finished":
            self.stop = data["stop"]
        elif event.kind == "run.paused":
            self.paused_for = data.get("reason") or "paused"
        elif event.kind in ("run.continued", "run.resumed"):
            self.paused_for, self.stop = "", ""


def _round(event: Event) -> tuple[str, str] | None:
    """Which answer of which agent started this one."""
    call = event.data.get("call")
    return (event.agent.rpartition("/")[0], call.partition(".")[0]) if call else None


def _apply(agent: AgentState, event: Event) -> None:
    data = event.data
    match event.kind:
        case "agent.created":
            agent.role, agent.prompt, agent.round = data["role"], data["prompt"], _round(event)
        case "agent.resumed":
            agent.activity, agent.doing = "waiting", {}
            agent.ended, agent.stop, agent.reason = None, "", ""  # what the endpoint failed may be tried again
        case "llm.started":
            agent.activity = "thinking"
        case "llm.finished":
            agent.turns += 1
            agent.usage = agent.usage + Usage(*data["usage"])
            agent.waited += float(data.get("waited", 0.0))
            agent.activity = "waiting"
        case "llm.failed":
            agent.activity = "waiting"
        case "context.summarised":
            agent.usage = agent.usage + Usage(*data["usage"])
        case "tool.started":
            agent.doing[data["place"]] = data["name"]
            agent.activity = "delegating" if data["name"] == ASSIGN else "tool"
        case "tool.finished":
            agent.calls += 1
            agent.doing.pop(data["place"], None)
            agent.activity = agent.activity if agent.doing else "waiting"
        case "agent.finished":
            outcome = data["outcome"]
            agent.stop, agent.reason, agent.ended = outcome["stop"], outcome["reason"], event.time
            agent.activity, agent.doing = ENDS.get(agent.stop, "failed"), {}
        case _:
            pass
