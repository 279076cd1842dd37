"""The one loop that drives any environment with any model: show, ask, act, until the agent is done or at a limit.

    while True:
        limit reached          → one last turn without tools, so that what was found is told      (stop = that cap)
        show the history       (context strategy; a restart or a summary is recorded)
        ask the model          no calls → done;  overflow, error → stop with what there is
        make all calls at once
        the same round three times → stop = "loop"

Report: App. D, App. E.6, E.8.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from manyeyes.agent.budget import Budget, Refusal
from manyeyes.agent.chat_model import ChatModel, ModelError, Reply, Usage
from manyeyes.agent.context import Shown, estimated_tokens
from manyeyes.agent.environment import Ctx, Environment, Session
from manyeyes.agent.task import CAPS, Outcome, Stop, Task
from manyeyes.core.messages import Message, Tool, user

SAME_ROUNDS = 3
"""Equal rounds of calls in a row after which an agent is going round in circles."""
WRAP_UP = (
    "You have reached your limit ({limit}) and can call no more tools. Give your final answer now, from what you have "
    "found so far. Say what is missing or uncertain."
)


class Recorder(Ctx, Protocol):
    """What the loop tells about an agent as it happens, and what it may know from an interrupted run."""

    def began(self, messages: Sequence[Message]) -> None:
        """The history begins with these."""
        ...

    def asked(self, model: str) -> None:
        """The model was asked."""
        ...

    def answered(self, reply: Reply) -> None:
        """It answered; the message belongs to the history."""
        ...

    def observed(self, messages: Sequence[Message]) -> None:
        """The calls are over; these belong to the history."""
        ...

    def told(self, message: Message) -> None:
        """Somebody (a person, a limit) said something to the agent."""
        ...

    def shown(self, shown: Shown, *, before: int) -> None:
        """A context strategy left something out."""
        ...

    def summarised(self, reply: Reply) -> None:
        """The model wrote down what matters; the history begins anew with that."""
        ...

    def failed(self, error: ModelError) -> None:
        """The model gave no answer."""
        ...

    def steering(self) -> list[Message]:
        """What a person said since the last turn."""
        ...

    @property
    def history(self) -> list[Message] | None:
        """Of an interrupted run, up to where it stopped; None for a fresh agent."""
        ...


@dataclass
class Agent:
    """One agent at work.

    Attributes:
        task: what to do.
        environment: where.
        model: with what.
        recorder: told of everything.
        budget: what it may use.
        priority: of its calls where calls queue; lower goes first.
    """

    task: Task
    environment: Environment
    model: ChatModel
    recorder: Recorder
    budget: Budget
    priority: int = 0
    history: list[Message] = field(default_factory=list)
    tokens: int = 0
    usage: Usage = Usage()
    turns: int = 0
    steps: int = 0

    async def run(self) -> Outcome:
        """Work to the end; only cancellation raises."""
        began = time.monotonic()
        async with self.environment.open(self.recorder) as session:
            self._begin()
            while True:
                self.budget.spent["seconds"] = time.monotonic() - began
                if refusal := self.budget.exhausted():
                    return await self._wrap_up(refusal)
                outcome = await self._round(session)
                if outcome is not None:
                    return outcome

    def _begin(self) -> None:
        known = self.recorder.history
        if known is None:
            self.history = self.environment.prompt(self.task)
            self.recorder.began(self.history)
        else:
            self.history = list(known)
        self.tokens = sum(map(estimated_tokens, self.history))

    async def _round(self, session: Session) -> Outcome | None:
        """One answer and its calls; an outcome when that was the last."""
        action = self._unanswered()
        if action is None:
            for message in self.recorder.steering():
                self._add(message)
            await self._make_room()
            try:
                action = (await self._ask(session.tools)).message
            except ModelError as error:
                return self._no_answer(error)
        step = await session.step(action)
        if step.done:
            return self._outcome("done", action.text)
        self.steps += step.steps
        self.budget.spend(steps=step.steps)
        self.recorder.observed(step.observations)
        self._add(*step.observations)
        return self._outcome("loop", self.said, "the same calls three times in a row") if self._circles() else None

    def _unanswered(self) -> Message | None:
        """Of a resumed agent: its last answer, when nothing has followed from it yet."""
        last = self.history[-1]
        return last if last.role == "assistant" else None

    async def _ask(self, tools: Sequence[Tool], *extra: Message) -> Reply:
        shown = self.environment.context.show(self.history, tokens=self.tokens)
        if shown.applied and shown.ask is None:
            self.recorder.shown(shown, before=len(self.history))
        self.recorder.asked(self.model.name)
        reply = await self.model.complete(
            [*shown.messages, *extra], tools, sampling=self.environment.sampling, priority=self.priority
        )
        self.turns += 1
        self.usage = self.usage + reply.usage
        self.budget.spend(turns=1, tokens=reply.usage.total, cost=reply.usage.cost)
        self.recorder.answered(reply)
        self._add(reply.message)
        self.tokens = max(reply.usage.total, sum(map(estimated_tokens, (*shown.messages, reply.message))))
        return reply

    async def _make_room(self) -> None:
        """A restart or a summary, where the context strategy asks for one."""
        shown = self.environment.context.show(self.history, tokens=self.tokens)
        if shown.ask is not None:
            self.recorder.shown(shown, before=len(self.history))
            self.recorder.asked(self.model.name)
            reply = await self.model.complete(
                [*self.history, shown.ask], (), sampling=self.environment.sampling, priority=self.priority
            )
            self.usage = self.usage + reply.usage
            self.budget.spend(turns=1, tokens=reply.usage.total, cost=reply.usage.cost)
            self.recorder.summarised(reply)
            notes = user(f"Your notes so far:\n\n{reply.message.text}")
            self._restart([*self.environment.prompt(self.task), notes])
        elif shown.applied and len(shown.messages) < len(self.history):
            self.recorder.shown(shown, before=len(self.history))
            self._restart(list(shown.messages))

    def _restart(self, messages: list[Message]) -> None:
        self.history = messages
        self.tokens = sum(map(estimated_tokens, messages))
        self.recorder.began(messages)

    async def _wrap_up(self, refusal: Refusal) -> Outcome:
        """One turn without tools, unless even that cannot be paid."""
        stop = CAPS[refusal.what]
        if refusal.what in ("steps", "turns", "seconds") and self._unanswered() is None:
            last_words = user(WRAP_UP.format(limit=f"{refusal.limit:g} {refusal.what}"))
            self._add(last_words)
            self.recorder.told(last_words)
            try:
                await self._ask(())
            except ModelError as error:
                self.recorder.failed(error)
        return self._outcome(stop, self.said, str(refusal))

    def _no_answer(self, error: ModelError) -> Outcome:
        self.recorder.failed(error)
        stop: Stop = "context_overflow" if error.kind == "overflow" else "error"
        return self._outcome(stop, error.partial or self.said, str(error))

    def _add(self, *messages: Message) -> None:
        self.history += messages
        self.tokens += sum(map(estimated_tokens, messages))

    def _circles(self) -> bool:
        rounds = [m.tool_calls for m in self.history if m.role == "assistant" and m.tool_calls][-SAME_ROUNDS:]
        said = [tuple((call.name, call.arguments) for call in calls) for calls in rounds]
        return len(said) == SAME_ROUNDS and len(set(said)) == 1

    @property
    def said(self) -> str:
        """Its last words."""
        return next((m.text for m in reversed(self.history) if m.role == "assistant" and m.text.strip()), "")

    def stopped(self, stop: Stop, reason: str) -> Outcome:
        """How it ended when something from outside ended it."""
        return self._outcome(stop, self.said, reason)

    def _outcome(self, stop: Stop, text: str, reason: str = "") -> Outcome:
        return Outcome(stop, text, reason, steps=self.steps, turns=self.turns, usage=self.usage)
