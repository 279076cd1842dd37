"""Critical steps: the length of a run if everything that can run at once does.

    CriticalSteps = Σ_t ( S_main(t) + max_i S_sub,i(t) )

t counts the orchestrator's actions. S_main is 1 for each, however many plain calls it holds; S_sub,i are the steps of
the i-th sub-agent that this action started, critical steps again where sub-agents may spawn. A step is an answer of a
model, the last one included (the limits of App. E.8 count tool calls instead).

Report: §3 (critical steps as the measure of a swarm's latency).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from manyeyes.core.journal import Event


@dataclass(frozen=True, slots=True)
class Action:
    """One answer of an agent, and the agents that it started.

    Example:
        >>> critical_steps([Action(children=((Action(), Action()), (Action(),)))])
        3
    """

    children: tuple[tuple["Action", ...], ...] = ()


def critical_steps(actions: Iterable[Action]) -> int:
    """Of an agent with these actions."""
    return sum(1 + max(map(critical_steps, action.children), default=0) for action in actions)


def total_steps(actions: Iterable[Action]) -> int:
    """Answers of all agents: what the run would take if nothing ran at once."""
    return sum(1 + sum(map(total_steps, action.children)) for action in actions)


@dataclass
class _Agent:
    """Steps of one agent so far; `longest` holds for each of its actions the steps of the longest child."""

    parent: "_Agent | None" = None
    action: int = -1
    critical: int = 0
    longest: list[int] = field(default_factory=list)

    def act(self) -> None:
        """One more answer."""
        self.longest.append(0)
        self._grow(1)

    def _grow(self, steps: int) -> None:
        self.critical += steps
        if self.parent is None or self.action < 0:
            return
        more = self.critical - self.parent.longest[self.action]
        if more > 0:
            self.parent.longest[self.action] = self.critical
            self.parent._grow(more)


class StepCounter:
    """Follows a journal and knows the figures at every moment, at a cost that does not grow with the run.

    Args:
        main: name of the agent at the root.
    """

    def __init__(self, main: str = "main") -> None:
        self.main = main
        self.total = 0
        self._agents: dict[str, _Agent] = {}

    def take(self, event: Event) -> None:
        """Take one event in."""
        if event.kind == "agent.created":
            parent = self._agents.get(event.agent.rpartition("/")[0])
            action = -1 if parent is None else len(parent.longest) - 1
            self._agents.setdefault(event.agent, _Agent(parent, action))
        elif event.kind in ("llm.finished", "context.summarised"):
            self.total += 1
            self._agents.setdefault(event.agent, _Agent()).act()

    @property
    def critical(self) -> int:
        """Critical steps so far."""
        return self._agents[self.main].critical if self.main in self._agents else 0
