"""`AgentFamily`: agents that start agents: a child ends no later than its parent, and within what its parent may use.

A sub-agent that fails is an outcome that its parent can read; only the cancellation of the whole goes through. A child
that runs within a tool call does not use up the time of the call.

Report: App. D (recursive rollouts), §3.
"""

import asyncio
from dataclasses import asdict, replace
from math import inf
from typing import Any, Self

from manyeyes.agent.rollouts.agent_calls import MAKING, AgentCalls, Making
from manyeyes.agent.rollouts.agent_waits import is_json
from manyeyes.agent.rollouts.failures import AttemptFailed, Overdue, classified
from manyeyes.agent.rollouts.past import Drifted
from manyeyes.agent.rollouts.ticker import RATE, ticks
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.trajectory import AgentSpan, Policy

LAST_WORDS = 120.0
"""Seconds that an agent has behind its time limit, to say what it found, before it is ended."""


class AgentFamily(AgentCalls):
    """See the module."""

    __slots__ = ()

    async def spawn(self, task: Task, environment: Any, *, role: str, policy: Policy = "frozen") -> Outcome:
        """See `Ctx.spawn`: a sub-agent, in any environment or episode, to its end.

        An agent that may start no more, and one that fails, are outcomes with the stop "error".
        """
        if self.attempt.is_over:
            await self.ends()
        if refusal := self._refusal():
            return Outcome("error", "", refusal)
        making = MAKING.get()
        if making is not None and making.agent is not self:
            making = None
        child = self._born(task, role=role, policy=policy, making=making)
        in_call = making is not None and making.line.task is asyncio.current_task()
        line = making.line if making is not None and in_call else self.here()
        outer = line.enter_free("spawn", self.limit)
        try:
            outcome = await child.to_the_end(self.host.episode_of(environment))
        finally:
            line.leave(outer, free=True)
            self.over(line)
        return replace(outcome, data=outcome.data | {"agent": child.agent})

    async def to_the_end(self, episode: Any) -> Outcome:
        """Run a sub-agent."""
        try:
            outcome = await self._outcome(episode)
        except BaseException:
            self.ended_as(Outcome("cancelled", "", self.attempt.called_off or "it was cancelled"))
            raise
        self.ended_as(outcome)
        return outcome

    def ended_as(self, outcome: Outcome) -> None:
        """Write down how it ended."""
        span = self.trajectory.agents[self.number]
        span.ended, span.stop, span.reason, span.text = self.seconds, outcome.stop, outcome.reason, outcome.text
        if self.number:
            self.event("ended", outcome=_plain(outcome) if not outcome.data or is_json(outcome.data) else None)

    async def _outcome(self, episode: Any) -> Outcome:
        if self.past is not None and self.past.outcome is not None:
            return self.past.outcome
        try:
            return await self.live(episode)
        except Drifted:
            raise
        except Overdue as late:
            return self._lost(late, Outcome("time_cap", "", str(late)))
        except Exception as error:  # the boundary of a sub-agent
            failed = classified(error)
            return self._lost(failed, Outcome("error", "", f"{failed.cause}: {failed}"))

    def _lost(self, failed: AttemptFailed, outcome: Outcome) -> Outcome:
        self.host.stats.failures[failed.cause] += 1
        self.event("failed", cause=failed.cause, why=str(failed))
        return outcome

    def _refusal(self) -> str:
        """Why there may be no sub-agent; "" when there may."""
        config = self.host.config
        if self.depth >= config.most_depth:
            return f"agents may be nested {config.most_depth} deep, and {self.agent} is that deep"
        if self.attempt.agents >= config.most_agents:
            return f"an attempt may have {config.most_agents:,} agents, and this one has"
        return ""

    def _born(self, task: Task, *, role: str, policy: Policy, making: Making | None) -> Self:
        attempt = self.attempt
        agent, place = self._name_of_child(making)
        if (known := attempt.past.get(agent)) is not None:
            number = known.number
        else:
            number, attempt.agents = attempt.agents, attempt.agents + 1
            call = making.id if making is not None else ""
            span = AgentSpan(agent, role, self.number, self.tip, call, policy, task.id, self.seconds)
            self.trajectory.agents.append(span)
        self.event("spawned", place=place, agent=agent)
        child = type(self)(
            self.host, attempt, task, agent=agent, number=number, policy=policy, depth=self.depth + 1,
            limit=min(self.limit, self._limit_of(task)),
        )  # fmt: skip
        child.budget = self.budget
        self.forget_children()
        self.children = self.children or []
        self.children.append(child)
        return child

    def _name_of_child(self, making: Making | None) -> tuple[str, str]:
        """Its name, the same when the attempt is replayed, and the place that it is started from."""
        nth = self.born if making is None else making.started
        place = f"{self.turns - 1 if making is None else making.place}#{nth}"
        self.born += 1
        if making is not None:
            making.started += 1
        if self.past is None:
            return f"{self.agent}/{self.born - 1}", place
        return self.past.children.setdefault(place, f"{self.agent}/{len(self.past.children)}"), place

    def _limit_of(self, task: Task) -> int:
        """The tick at which an agent with a time limit of its own is ended."""
        if task.limits.seconds == inf:
            return self.limit
        return int(self.host.clock() * RATE) + ticks(task.limits.seconds + LAST_WORDS)


def _plain(outcome: Outcome) -> dict[str, Any]:
    """As `record.plain_outcome`, without what is not said: there are very many sub-agents."""
    plain: dict[str, Any] = {"stop": outcome.stop, "text": outcome.text}
    more = {name: value for name in ("reason", "steps", "turns", "data") if (value := getattr(outcome, name))}
    if outcome.usage.total:
        more["usage"] = asdict(outcome.usage)
    return plain | more
