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
        since: Unix seconds of the last change.
        began, ended: Unix seconds; `ended` None while it lives.
        stop, reason: how it ended.
    """

    name: str
    role: str = ""
    prompt: str = ""
    activity: Activity = "waiting"
    doing: dict[str, str] = field(default_factory=dict)
    turns: int = 0
    calls: int = 0
    usage: Usage = Usage()
    since: float = 0.0
    began: float = 0.0
    ended: float | None = None
    stop: str = ""
    reason: str = ""

    @property
    def depth(self) -> int:
        """0 for the main agent."""
        return self.name.count("/")

    @property
    def alive(self) -> bool:
        """Whether it is still at work."""
        return self.ended is None


@dataclass
class SwarmState:
    """A whole run.

    Attributes:
        agents: by name, in the order of their creation.
        steps: critical and total steps.
        began, last: Unix seconds of the first and the newest event.
        stop: how the run ended; "" while it lives.
    """

    agents: dict[str, AgentState] = field(default_factory=dict)
    steps: StepCounter = field(default_factory=StepCounter)
    began: float = 0.0
    last: float = 0.0
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
        self.last = event.time
        self.steps.take(event)
        if event.kind == "run.finished":
            self.stop = event.data["stop"]
        if event.agent:
            agent = self.agents.setdefault(event.agent, AgentState(event.agent, began=event.time))
            agent.since = event.time
            _apply(agent, event)


def _apply(agent: AgentState, event: Event) -> None:
    data = event.data
    match event.kind:
        case "agent.created":
            agent.role, agent.prompt = data["role"], data["prompt"]
        case "agent.resumed":
            agent.activity, agent.doing = "waiting", {}
        case "llm.started":
            agent.activity = "thinking"
        case "llm.finished":
            agent.turns += 1
            agent.usage = agent.usage + Usage(*data["usage"])
            agent.activity = "waiting"
        case "context.summarised":
            agent.usage = agent.usage + Usage(*data["usage"])
        case "tool.started":
            agent.doing[data["place"]] = data["name"]
            agent.activity = "delegating" if data["name"] == "assign_task" else "tool"
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
