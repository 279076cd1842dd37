"""`AgentRun`: a tree of agents in one process, recorded in one journal, that goes on after `kill -9` where it was.

    main ── main/0 ── …          an agent's name is its path; the n-th child of an agent is always its n-th

Every agent's history is in the journal before anything follows from it. A resumed run replays histories: finished
agents are not run again, a pending model call is asked again, a tool call that was under way comes back as
"interrupted" unless it started a sub-agent, which then goes on itself.

    pause / go_on     no new model calls; those under way finish, time stands still
    say / cancel      to one agent: something to read before its next turn; the end, with what it had
    out of quota      attended: a pause with the reason, then the very same call again
                      unattended: the agent fails, and a resumed run tries again

Report: §3 (orchestrator and sub-agents), App. D (trajectory tree, ctx.spawn). A later rollout manager replaces only
this executor.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal

from manyeyes.agent.budget import Budget, tightest
from manyeyes.agent.chat_model import ChatModel, ModelError, Usage
from manyeyes.agent.environment import Environment
from manyeyes.agent.gate import Gate
from manyeyes.agent.loop import Agent
from manyeyes.agent.past import fold
from manyeyes.agent.recorder import AgentRecord
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.journal import Event, Journal, JournalError, read_blob
from manyeyes.core.messages import Message, user
from manyeyes.core.trajectory import Policy

MAIN = "main"
OnQuota = Literal["stop", "pause"]
BY_A_PERSON = "a person stopped it"


class AgentRun:
    """Runs agents, records them, and knows what an earlier process recorded.

    Args:
        journal: of this run.
        model: that agents use.
        budget: of the whole tree.
        past: events of an interrupted run.
        on_quota: what happens when the endpoint wants money or a key: "pause" where a person attends.
    """

    def __init__(
        self,
        journal: Journal,
        model: ChatModel,
        *,
        budget: Budget | None = None,
        past: Sequence[Event] = (),
        on_quota: OnQuota = "stop",
    ) -> None:
        self.journal, self.model, self.on_quota = journal, model, on_quota
        self.budget = budget or Budget()
        self.past = fold(past, lambda name: read_blob(journal.folder, name))
        spent = sum((agent.usage for agent in self.past.values()), Usage())
        self.budget.spend(tokens=spent.total, cost=spent.cost)
        self.steering: dict[str, list[Message]] = {
            name: [user(text) for text in agent.unread] for name, agent in self.past.items() if agent.unread
        }
        self.last_of: dict[str, int] = {}
        self.gate = Gate()
        self._paused_at: int | None = None
        self._tasks: dict[str, asyncio.Future[Outcome]] = {}
        self._called_off: dict[str, str] = {}
        self._over = False

    async def start(self, task: Task, environment: Environment) -> Outcome:
        """Run the main agent to its end."""
        try:
            return await self._run(MAIN, task, environment, role="", call="", budget=self.budget, after=())
        finally:
            self._over = True

    async def run_child(
        self,
        parent: AgentRecord,
        name: str,
        task: Task,
        environment: Environment,
        *,
        role: str,
        call: str,
        policy: Policy,
        after: tuple[int, ...],
    ) -> Outcome:
        """Run a sub-agent to its end; what it uses counts towards its parent, too.

        Args:
            policy: recorded; people's runs have one model for all.
        """
        return await self._run(
            name, task, environment, role=role, call=call, budget=parent.budget, after=after, policy=policy
        )

    @property
    def paused(self) -> bool:
        """Whether nothing new is asked of the model."""
        return not self.gate.is_open

    @property
    def paused_for(self) -> str:
        """Why; "" while it goes on."""
        return self.gate.reason

    def pause(self, reason: str = "a person paused it") -> None:
        """Start no model calls until `go_on`; those under way finish, time limits stand still."""
        if self.paused or self._over:
            return
        self.gate.shut(reason)
        self.budget.clock.stop()
        self._paused_at = self.journal.append("run.paused", reason=reason).seq

    def go_on(self, reason: str = "a person let it go on") -> None:
        """End a pause."""
        if not self.paused or self._over:
            return
        assert self._paused_at is not None, "a pause is recorded when it begins"
        self.journal.append("run.continued", after=(self._paused_at,), reason=reason)
        self.budget.clock.go_on()
        self.gate.open()

    def say(self, agent: str, text: str) -> None:
        """Something that the agent reads before its next turn, after a kill and a resume, too."""
        if (last := self.last_of.get(agent)) is not None and not self._over:
            self.journal.append("agent.addressed", agent=agent, after=(last,), text=text)
        self.steering.setdefault(agent, []).append(user(text))

    def cancel(self, agent: str = MAIN, reason: str = BY_A_PERSON) -> None:
        """Stop an agent and everything below it; each ends as "cancelled" with what it had."""
        if (task := self._tasks.get(agent)) is not None:
            self._called_off.setdefault(agent, reason)
            task.cancel()

    async def may_ask_again(self, error: ModelError, *, opened: int) -> bool:
        """See `Recorder.may_ask_again`: pause for lack of quota, unless the news is older than the last `go_on`."""
        if error.kind != "quota" or self.on_quota != "pause":
            return False
        if self.gate.opened == opened:
            self.pause(str(error))
        await self.gate.passed()
        return True

    async def _run(
        self,
        name: str,
        task: Task,
        environment: Environment,
        *,
        role: str,
        call: str,
        budget: Budget,
        after: tuple[int, ...],
        policy: Policy = "live",
    ) -> Outcome:
        past = self.past.get(name)
        if past is not None and past.outcome is not None:
            self.last_of[name] = past.last
            return past.outcome
        limits = tightest(task.limits, environment.limits)
        budget = budget.child(limits, elapsed=0.0 if past is None else past.seconds)
        if past is not None:  # the run's own budget has it already
            spent = {"turns": past.turns, "steps": past.steps, "tokens": past.usage.total, "cost": past.usage.cost}
            budget.spent |= spent
        record = AgentRecord(
            self, name, past, after=after, task=task, role=role, call=call, budget=budget, policy=policy
        )
        priority = 0 if name == MAIN else 1
        agent = Agent(task, environment, self.model, record, budget, priority=priority, gate=self.gate)
        if past is not None:
            agent.turns, agent.steps, agent.usage = past.turns, past.steps, past.usage
        outcome = await self._outcome(name, agent, record)
        if name == MAIN and record.may_go_on and outcome.stop != "cancelled":
            record.stopped(outcome)
        else:
            record.over(outcome)
        return outcome

    async def _outcome(self, name: str, agent: Agent, record: AgentRecord) -> Outcome:
        """How it ends, whatever happens."""
        running = self._tasks[name] = asyncio.ensure_future(agent.run())
        try:
            return await running
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is None or not me.cancelling():
                return agent.stopped("cancelled", self._called_off.get(name, "it was cancelled from within"))
            running.cancel()
            if (reason := self._called_off_with(name)) is not None:
                record.over(agent.stopped("cancelled", reason))
            elif record.budget.left("seconds") <= 0:  # for good; a run that is stopped goes on when resumed
                record.over(agent.stopped("time_cap", "the time of the run is over"))
            raise
        except JournalError:
            raise
        except Exception as error:  # the one boundary: a bug in an agent's tools or environment is that agent's end
            return agent.stopped("error", f"{type(error).__name__}: {error}")
        finally:
            self._tasks.pop(name, None)

    def _called_off_with(self, name: str) -> str | None:
        """Why an agent ends whose forebear was cancelled; None where none was."""
        forebears = [name[:end] for end, letter in enumerate(name) if letter == "/"]
        return next((self._called_off[one] for one in forebears if one in self._called_off), None)
