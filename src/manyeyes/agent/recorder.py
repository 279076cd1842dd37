"""`AgentRecord`: one agent's recorder; writes its events before anything follows from them, and answers from the past.

Report: App. D.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from manyeyes.agent.budget import Budget
from manyeyes.agent.chat_model import ModelError, Reply, Stop
from manyeyes.agent.context import Shown
from manyeyes.agent.environment import Environment
from manyeyes.agent.grace import ends_when_cancelled
from manyeyes.agent.past import TRANSIENT, Past
from manyeyes.agent.record import plain_of, plain_outcome, plain_result
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.journal import Event, Journal, JournalError
from manyeyes.core.messages import Message, ToolCall
from manyeyes.core.trajectory import Policy

_PLACE: ContextVar[str] = ContextVar("place of the call that is being made")
INTERRUPTED = (
    "the run was interrupted while this call was under way; whether it took effect is unknown. "
    "Check before you repeat it"
)


class Runs(Protocol):
    """The run that an agent belongs to.

    Attributes:
        journal: of all agents.
        steering: what people said and agents have not read yet.
        last_of: number of each agent's newest event.
    """

    journal: Journal
    steering: dict[str, list[Message]]
    last_of: dict[str, int]

    async def run_child(
        self,
        parent: "AgentRecord",
        name: str,
        task: Task,
        environment: Environment,
        *,
        role: str,
        call: str,
        policy: Policy,
        after: tuple[int, ...],
    ) -> Outcome:
        """Run a sub-agent to its end."""
        ...

    async def may_ask_again(self, error: ModelError, *, opened: int) -> bool:
        """See `Recorder.may_ask_again`."""
        ...


class AgentRecord:
    """One agent's recorder: writes its events, and answers from the past where there is one."""

    def __init__(
        self,
        run: Runs,
        name: str,
        past: Past | None,
        *,
        after: tuple[int, ...],
        task: Task,
        role: str,
        call: str,
        budget: Budget,
        policy: Policy = "live",
    ) -> None:
        self.run, self.agent, self.past, self.budget = run, name, past, budget
        self.newest = after
        self.turn = 0
        self.may_go_on = False
        self._started: dict[str, int] = {}
        self._waited_for: dict[str, list[int]] = {}
        self._finished: list[int] = []
        self._recorded: set[str] = set()
        self._delegating = Counter[str]()
        self.children = 0 if past is None else len(past.children)
        if past is None:
            self._event("agent.created", role=role, task=task.id, prompt=task.prompt, call=call, policy=policy)
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
        return [] if self.past is None else list(self.past.notes.values())

    @property
    def end(self) -> Stop:
        """See `Recorder.end`."""
        return "stop" if self.past is None else self.past.end

    def began(self, messages: Sequence[Message]) -> None:
        """See `Recorder.began`."""
        self._event("agent.began", messages=[plain_of(message, self._keep) for message in messages])

    def asked(self, model: str, *, paused: float) -> None:
        """See `Recorder.asked`."""
        self._event("llm.started", model=model, turn=self.turn, **({"paused": round(paused, 4)} if paused else {}))

    def answered(self, reply: Reply) -> None:
        """See `Recorder.answered`."""
        message = plain_of(reply.message, self._keep)
        self._event("llm.finished", turn=self.turn, message=message, end=reply.stop, **_cost_of(reply))
        self.turn += 1
        self.may_go_on = False

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
        self.may_go_on = error.kind in TRANSIENT
        self._event("llm.failed", turn=self.turn, cause=error.kind, status=error.status, why=str(error))

    async def may_ask_again(self, error: ModelError, *, opened: int) -> bool:
        """See `Recorder.may_ask_again`."""
        return await self.run.may_ask_again(error, opened=opened)

    def unclosed(self, why: str) -> None:
        """See `Recorder.unclosed`."""
        self._event("tools.unclosed", why=why)

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
        except asyncio.CancelledError:
            self._started.pop(place)  # a call that is left to itself starts no more sub-agents
            raise
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
            result = await ends_when_cancelled(toolset.call(call), patient=lambda: self._delegating[place] > 0)
            msgspec.json.encode(result.data)
        except JournalError:
            raise
        except Exception as error:  # the boundary for tools that are no `Functions`
            return ToolResult.failed("crash", f"{call.name} failed: {type(error).__name__}: {error}")
        return result

    async def spawn(self, task: Task, environment: Environment, *, role: str, policy: Policy = "frozen") -> Outcome:
        """See `Ctx.spawn`."""
        place = _PLACE.get()
        name = self.past.children.get(place, "") if self.past is not None else ""
        if not name:
            name, self.children = f"{self.agent}/{self.children}", self.children + 1
        started = self._started[place]
        self._delegating[place] += 1
        try:
            outcome = await self.run.run_child(
                self, name, task, environment, role=role, policy=policy, after=(started,), call=place
            )
        finally:
            self._delegating[place] -= 1
        self._waited_for.setdefault(place, []).append(self.run.last_of[name])
        return replace(outcome, data=outcome.data | {"agent": name})

    def _interrupted(self, place: str) -> bool:
        """Whether an earlier process began this call and nobody knows what became of it."""
        return self.past is not None and place in self.past.interrupted

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
        **({"paused": round(reply.paused, 4)} if reply.paused else {}),
    }
