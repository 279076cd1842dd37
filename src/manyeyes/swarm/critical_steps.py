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
    actions: list[list[str]] = field(default_factory=list)


class StepCounter:
    """Follows a journal and knows the figures at every moment.

    Args:
        main: name of the agent at the root.
    """

    def __init__(self, main: str = "main") -> None:
        self.main = main
        self._agents: dict[str, _Agent] = {}

    def take(self, event: Event) -> None:
        """Take one event in."""
        if event.kind == "agent.created":
            self._agents.setdefault(event.agent, _Agent())
            parent = self._agents.get(event.agent.rpartition("/")[0])
            if parent is not None and parent.actions:
                parent.actions[-1].append(event.agent)
        elif event.kind == "llm.finished":
            self._agents.setdefault(event.agent, _Agent()).actions.append([])

    def actions(self, agent: str = "") -> tuple[Action, ...]:
        """What an agent did; the root when no name is given."""
        known = self._agents.get(agent or self.main, _Agent())
        return tuple(Action(tuple(self.actions(child) for child in children)) for children in known.actions)

    @property
    def critical(self) -> int:
        """Critical steps so far."""
        return critical_steps(self.actions())

    @property
    def total(self) -> int:
        """Steps of all agents so far."""
        return total_steps(self.actions())
