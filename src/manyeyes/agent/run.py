"""`AgentRun`: a tree of agents in one process, recorded in one journal, that goes on after `kill -9` where it was.

    main ── main/0 ── …          an agent's name is its path; the n-th child of an agent is always its n-th

Every agent's history is in the journal before anything follows from it. A resumed run replays histories: finished
agents are not run again, a pending model call is asked again, a tool call that was under way comes back as
"interrupted" unless it started a sub-agent, which then goes on itself.

Report: §3 (orchestrator and sub-agents), App. D (trajectory tree, ctx.spawn). A later rollout manager replaces only
this executor.
"""

import asyncio
import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from manyeyes.agent.budget import Budget, tightest
from manyeyes.agent.chat_model import ChatModel, ModelError, Reply, Usage
from manyeyes.agent.context import Shown
from manyeyes.agent.environment import Environment
from manyeyes.agent.loop import Agent
from manyeyes.agent.record import (
    Fetch,
    message_of,
    outcome_from,
    plain_of,
    plain_outcome,
    plain_result,
    result_from,
    tool_message,
)
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.journal import Event, Journal, JournalError, read_blob
from manyeyes.core.messages import Message, TextPart, ToolCall, user

MAIN = "main"
_PLACE: ContextVar[str] = ContextVar("place of the call that is being made")
INTERRUPTED = (
    "the run was interrupted while this call was under way; whether it took effect is unknown. "
    "Check before you repeat it"
)


@dataclass
class Past:
    """What the journal knows of one agent.

    Attributes:
        history: since its last restart.
        results: of finished calls, by place: number of the answer and position in it (ids of calls may repeat).
        started: places of calls that were begun.
        children: by the place of the call that started them.
        noted: what finished calls left behind (`ToolResult.data`), in order, restarts included.
        turns, steps, usage: spent so far.
        outcome: where it is over.
        last: number of its newest event.
    """

    history: list[Message] = field(default_factory=list)
    results: dict[str, ToolResult] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    children: dict[str, str] = field(default_factory=dict)
    noted: list[dict[str, Any]] = field(default_factory=list)
    turns: int = 0
    steps: int = 0
    usage: Usage = Usage()
    outcome: Outcome | None = None
    last: int = 0


class AgentRun:
    """Runs agents, records them, and knows what an earlier process recorded.

    Args:
        journal: of this run.
        model: that agents use.
        models: others by name, for agents whose environment asks for one.
        budget: of the whole tree.
        past: events of an interrupted run.
    """

    def __init__(
        self, journal: Journal, model: ChatModel, *, budget: Budget | None = None, past: Sequence[Event] = ()
    ) -> None:
        self.journal, self.model = journal, model
        self.budget = budget or Budget()
        self.past = fold(past, lambda name: read_blob(journal.folder, name))
        spent = sum((agent.usage for agent in self.past.values()), Usage())
        self.budget.spend(tokens=spent.total, cost=spent.cost)
        self.steering: dict[str, list[Message]] = {}
        self.last_of: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Future[Outcome]] = {}

    async def start(self, task: Task, environment: Environment) -> Outcome:
        """Run the main agent to its end."""
        return await self._run(MAIN, task, environment, role="", call="", budget=self.budget, after=())

    async def run_child(
        self,
        parent: "_Record",
        name: str,
        task: Task,
        environment: Environment,
        *,
        role: str,
        call: str,
        after: tuple[int, ...],
    ) -> Outcome:
        """Run a sub-agent to its end; what it uses counts towards its parent, too."""
        return await self._run(name, task, environment, role=role, call=call, budget=parent.budget, after=after)

    def say(self, agent: str, text: str) -> None:
        """Something that the agent reads before its next turn."""
        self.steering.setdefault(agent, []).append(user(text))

    def cancel(self, agent: str = MAIN) -> None:
        """Stop an agent and everything below it; it ends as "cancelled" with what it had."""
        if (task := self._tasks.get(agent)) is not None:
            task.cancel()

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
    ) -> Outcome:
        past = self.past.get(name)
        if past is not None and past.outcome is not None:
            self.last_of[name] = past.last
            return past.outcome
        budget = budget.child(tightest(task.limits, environment.limits))
        if past is not None:  # the run's own budget has it already
            spent = {"turns": past.turns, "steps": past.steps, "tokens": past.usage.total, "cost": past.usage.cost}
            budget.spent |= spent
        record = _Record(self, name, past, after=after, task=task, role=role, call=call, budget=budget)
        agent = Agent(task, environment, self.model, record, budget, priority=0 if name == MAIN else 1)
        if past is not None:
            agent.turns, agent.steps, agent.usage = past.turns, past.steps, past.usage
        running = asyncio.ensure_future(agent.run())
        self._tasks[name] = running
        try:
            outcome = await running
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is not None and me.cancelling():
                running.cancel()
                if budget.left("seconds") <= 0:  # out of time for good; a run that is stopped goes on when resumed
                    record.over(agent.stopped("time_cap", "the time of the run is over"))
                raise
            outcome = agent.stopped("cancelled", "cancelled")
        except JournalError:
            raise
        except Exception as error:  # the one boundary: a bug in an agent's tools or environment is that agent's end
            outcome = agent.stopped("error", f"{type(error).__name__}: {error}")
        finally:
            self._tasks.pop(name, None)
        if name == MAIN and record.may_go_on:
            record.stopped(outcome)
        else:
            record.over(outcome)
        return outcome


class _Record:
    """One agent's recorder: writes its events, and answers from the past where there is one."""

    def __init__(
        self,
        run: AgentRun,
        name: str,
        past: Past | None,
        *,
        after: tuple[int, ...],
        task: Task,
        role: str,
        call: str,
        budget: Budget,
    ) -> None:
        self.run, self.agent, self.past, self.budget = run, name, past, budget
        self.newest = after
        self.turn = 0
        self.may_go_on = False
        self._started: dict[str, int] = {}
        self._waited_for: dict[str, list[int]] = {}
        self._finished: list[int] = []
        self._recorded: set[str] = set()
        self.children = 0 if past is None else len(past.children)
        if past is None:
            self._event("agent.created", role=role, task=task.id, prompt=task.prompt, call=call)
        else:
            self.turn, self.newest = past.turns, (*after, past.last)
            self._event("agent.resumed", messages=len(past.history))

    @property
    def history(self) -> list[Message] | None:
        """See `Recorder.history`."""
        return None if self.past is None or not self.past.history else self.past.history

    @property
    def noted(self) -> list[dict[str, Any]]:
        """See `Ctx.noted`."""
        return [] if self.past is None else self.past.noted

    def began(self, messages: Sequence[Message]) -> None:
        """See `Recorder.began`."""
        self._event("agent.began", messages=[plain_of(message, self._keep) for message in messages])

    def asked(self, model: str) -> None:
        """See `Recorder.asked`."""
        self._event("llm.started", model=model, turn=self.turn)

    def answered(self, reply: Reply) -> None:
        """See `Recorder.answered`."""
        self._event(
            "llm.finished",
            turn=self.turn,
            message=plain_of(reply.message, self._keep),
            **_cost_of(reply),
        )
        self.turn += 1

    def observed(self, messages: Sequence[Message]) -> None:
        """See `Recorder.observed`: the results are in the journal; this says that the round is over."""
        places = [f"{self.turn - 1}.{position}" for position in range(len(messages))]
        unmade = [
            None if place in self._recorded else message.text for place, message in zip(places, messages, strict=True)
        ]
        ids = [message.tool_call_id for message in messages]
        self._event("round.finished", results=[list(one) for one in zip(places, ids, unmade, strict=True)])

    def told(self, message: Message) -> None:
        """See `Recorder.told`."""
        self._event("agent.told", message=plain_of(message, self._keep))

    def shown(self, shown: Shown, *, before: int) -> None:
        """See `Recorder.shown`."""
        self._event("context.applied", strategy=shown.applied, before=before, left=len(shown.messages))

    def summarised(self, reply: Reply) -> None:
        """See `Recorder.summarised`."""
        self._event("context.summarised", text=reply.message.text, **_cost_of(reply))

    def failed(self, error: ModelError) -> None:
        """See `Recorder.failed`. What the endpoint could not do today it may do when the run is resumed."""
        self.may_go_on = error.kind in ("quota", "endpoint")
        self._event("llm.failed", turn=self.turn, cause=error.kind, status=error.status, why=str(error))

    def steering(self) -> list[Message]:
        """See `Recorder.steering`."""
        said = self.run.steering.pop(self.agent, [])
        for message in said:
            self.told(message)
        return said

    def stopped(self, outcome: Outcome) -> None:
        """The agent could not go on; a resumed run tries again."""
        self._event("agent.stopped", outcome=plain_outcome(outcome))

    def over(self, outcome: Outcome) -> None:
        """The agent has ended."""
        self._event("agent.finished", outcome=plain_outcome(outcome))

    async def call(self, toolset: Toolset, call: ToolCall, *, position: int) -> ToolResult:
        """See `Ctx.call`. Calls of one round wait for the same answer, and the round for all of them."""
        place = f"{self.turn - 1}.{position}"
        known = self.past.results.get(place) if self.past is not None else None
        if known is not None:
            self._recorded.add(place)
            return known
        began = time.monotonic()
        said = {"place": place, "id": call.id, "name": call.name}
        started = self._write("tool.started", self.newest, arguments=call.arguments, **said)
        self._started[place] = started.seq
        token = _PLACE.set(place)
        try:
            result = await self._result(toolset, call, place)
        finally:
            _PLACE.reset(token)
        waited_for = (started.seq, *self._waited_for.pop(place, ()))
        seconds = round(time.monotonic() - began, 4)
        plain = plain_result(result, self._keep)
        finished = self._write("tool.finished", waited_for, seconds=seconds, result=plain, **said)
        self._finished.append(finished.seq)
        self._recorded.add(place)
        return result

    async def _result(self, toolset: Toolset, call: ToolCall, place: str) -> ToolResult:
        """The call's result, whatever happens: an agent goes on when its tool does not."""
        if self._interrupted(place) and call.name not in toolset.repeatable:
            return ToolResult.failed("interrupted", INTERRUPTED)
        try:
            result = await toolset.call(call)
            msgspec.json.encode(result.data)
        except JournalError:
            raise
        except Exception as error:  # the boundary for tools that are no `Functions`
            return ToolResult.failed("crash", f"{call.name} failed: {type(error).__name__}: {error}")
        return result

    async def spawn(self, task: Task, environment: Environment, *, role: str) -> Outcome:
        """See `Ctx.spawn`."""
        place = _PLACE.get()
        name = self.past.children.get(place, "") if self.past is not None else ""
        if not name:
            name, self.children = f"{self.agent}/{self.children}", self.children + 1
        started = self._started[place]
        outcome = await self.run.run_child(self, name, task, environment, role=role, after=(started,), call=place)
        self._waited_for.setdefault(place, []).append(self.run.last_of[name])
        return replace(outcome, data=outcome.data | {"agent": name})

    def _interrupted(self, place: str) -> bool:
        """Whether an earlier process began this call and nobody knows what became of it."""
        return self.past is not None and place in self.past.started and place not in self.past.children

    def _event(self, kind: str, **data: Any) -> Event:
        """An event after everything that this agent has waited for."""
        event = self._write(kind, (*self.newest, *self._finished) if self._finished else self.newest, **data)
        self.newest, self._finished = (event.seq,), []
        return event

    def _write(self, kind: str, after: tuple[int, ...], **data: Any) -> Event:
        event = self.run.journal.append(kind, agent=self.agent, after=after, **data)
        self.run.last_of[self.agent] = event.seq
        return event

    def _keep(self, content: bytes) -> str:
        return self.run.journal.blob(content)


def _cost_of(reply: Reply) -> dict[str, Any]:
    """What an answer cost, as an event tells it."""
    return {
        "usage": [reply.usage.prompt, reply.usage.completion, reply.usage.cached, reply.usage.cost],
        "seconds": round(reply.seconds, 4),
        "waited": round(reply.waited, 4),
        "attempts": reply.attempts,
    }


def fold(events: Sequence[Event], fetch: Fetch) -> dict[str, Past]:
    """What every agent had done when the events end."""
    found: dict[str, Past] = {}
    for event in events:
        if not event.agent:
            continue
        past = found.setdefault(event.agent, Past())
        past.last = event.seq
        _take(past, event, fetch)
        if event.kind == "agent.created" and event.data.get("call"):
            parent = event.agent.rpartition("/")[0]
            found[parent].children[event.data["call"]] = event.agent
    return found


def _take(past: Past, event: Event, fetch: Fetch) -> None:
    data = event.data
    match event.kind:
        case "agent.began":
            past.history = [message_of(plain, fetch) for plain in data["messages"]]
        case "agent.told":
            past.history.append(message_of(data["message"], fetch))
        case "llm.finished":
            past.history.append(message_of(data["message"], fetch))
            past.turns, past.usage = past.turns + 1, past.usage + Usage(*data["usage"])
        case "context.summarised":
            past.usage = past.usage + Usage(*data["usage"])
        case "tool.started":
            past.started.add(data["place"])
        case "tool.finished":
            past.results[data["place"]] = result_from(data["result"], fetch)
            past.noted += [data["result"]["data"]] if data["result"]["data"] else []
        case "round.finished":
            for place, call, unmade in data["results"]:
                result = past.results[place] if unmade is None else ToolResult((TextPart(unmade),), "refused", steps=0)
                past.steps += result.steps
                past.history.append(tool_message(call, result))
        case "agent.finished":
            past.outcome = outcome_from(data["outcome"])
        case _:
            pass
