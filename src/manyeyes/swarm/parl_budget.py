"""The budget of critical steps of an episode, counted while it runs; laws relate it to `parl_steps`.

    spent += operations of this answer (direct calls; 1 for a group) + steps of the longest sub-agent of the group
    one step left      the last result says that it is time to answer
    none left          the episode is over, and there is no answer

A group costs what its slowest sub-agent takes, so a split into equal parts gets furthest on one budget. What is counted
is read from results alone, so a replayed episode counts as the first one did.

Report: §3 ("critical steps rather than total steps" constrain training).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from manyeyes.agent.environment import Ctx, Environment, Session, Step
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import Message, ToolCall
from manyeyes.swarm.orchestrator import ASSIGN, CREATE

LAST_STEP = "Answer now."


@dataclass
class Spending:
    """Critical steps of one orchestrator.

    Attributes:
        budget: 0 for no limit.
        spent: so far, the answer that ends the episode left out.

    Example:
        >>> spending = Spending(budget=9)
        >>> spending.answered(direct=0, notes=[{"stop": "done", "steps": 3, "turns": 4}])
        >>> spending.spent, spending.left
        (5, 4)
    """

    budget: int = 0
    spent: int = 0

    def answered(self, *, direct: int, notes: Sequence[Mapping[str, Any]] = ()) -> None:
        """An answer and all of its calls are over.

        Args:
            direct: calls that started nobody.
            notes: what `Delegation` noted of the sub-agents that it started.
        """
        self.spent += max(1, direct) + max(map(steps_of, notes), default=0)

    @property
    def left(self) -> float:
        """Critical steps, that of the answer included."""
        return self.budget - self.spent if self.budget else float("inf")


def steps_of(note: Mapping[str, Any]) -> int:
    """Critical steps of a sub-agent that starts nobody: a call each, and the answer."""
    return max(note["turns"], note["steps"] + (note["stop"] == "done"))


class BudgetedSession(Session):
    """See the module."""

    def __init__(self, environment: Environment, toolset: Toolset, ctx: Ctx, *, budget: int) -> None:
        super().__init__(environment, toolset, ctx)
        self.spending = Spending(budget)

    async def step(self, action: Message) -> Step:
        """See `Session.step`."""
        step = await super().step(action)
        if step.done or self.spending.left > 1:
            return step
        return _warned(step) if self.spending.left == 1 else step._replace(done=True)

    async def _results(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        results = await super()._results(calls)
        notes = [result.data[ASSIGN] for result in results if ASSIGN in result.data]
        self.spending.answered(direct=sum(call.name not in (CREATE, ASSIGN) for call in calls), notes=notes)
        return results


def _warned(step: Step) -> Step:
    """The last result tells that it is time to answer."""
    *others, last = step.observations
    return step._replace(observations=(*others, replace(last, content=f"{last.text}\n{LAST_STEP}")))
