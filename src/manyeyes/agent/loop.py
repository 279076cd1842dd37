"""The one loop that drives any environment with any model: show, ask, act, until the agent is done or at a limit.

    an answer that an interrupted run left open is acted on first
    while True:
        limit reached          → one last turn without tools, so that what was found is told      (stop = that cap)
        show the history       (context strategy; a restart or a summary is recorded)
        ask the model          no calls → done;  cut off, filtered, overflow, error → stop with what there is
        make all calls at once (those beyond the step cap are refused)
        the same round three times → stop = "loop"

Every call of the model waits while the run is paused and reserves its worst case first; every round ends when the time
is up, even in its middle. Tools are given a moment to close, and no more (`agent.grace`).

Report: App. D, App. E.6, E.8.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf

from manyeyes.agent.budget import Budget, Refusal
from manyeyes.agent.chat_model import ChatModel, ModelError, Reply, Sampling, Usage
from manyeyes.agent.context import estimated_tokens, hidden, last_look
from manyeyes.agent.environment import Environment, Session, Step
from manyeyes.agent.gate import Gate
from manyeyes.agent.grace import held
from manyeyes.agent.record import tool_message
from manyeyes.agent.recording import Recorder, Witness
from manyeyes.agent.task import CAPS, Outcome, Stop, Task
from manyeyes.agent.toolset import OVER_STEPS, ToolResult
from manyeyes.core.messages import Message, Tool, user

SAME_ROUNDS = 3
"""Equal rounds of calls in a row after which an agent is going round in circles."""
GRACE = 60.0
"""Seconds for last words when the time is up."""
LONGEST_ANSWER = 4_096
"""Tokens that an answer is reserved for where its sampling sets no limit."""
SHORTEST_ANSWER = 64
"""Tokens that last words are worth asking for."""
LONGEST_FOUND = 8_000
"""Characters of tool results that stand for the last words of an agent that never said any."""
OUT_OF_TIME = ToolResult.failed("timeout", "the time limit was reached while this call was under way")
CUT: dict[str, tuple[Stop, str]] = {
    "length": ("cut_off", "the answer reached its longest length and was cut off"),
    "filter": ("filtered", "the endpoint's content filter stopped the answer"),
}
"""Ends of an answer that are no end of the task."""
WRAP_UP = (
    "You have reached your limit ({limit}) and can call no more tools. Give your final answer now, from what you have "
    "found so far. Say what is missing or uncertain."
)


class _Unpaid(Exception):
    """A call of the model that the budget has not enough left for; never leaves this module."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


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
        gate: shut while the run is paused.
        history: since the last restart.
        tokens: that what is shown takes: as the endpoint counted, and an estimate of what came since.
        hidden_before: number of the message before which results are hidden; see `agent.context`.
    """

    task: Task
    environment: Environment
    model: ChatModel
    recorder: Recorder
    budget: Budget
    priority: int = 0
    gate: Gate = field(default_factory=Gate)
    history: list[Message] = field(default_factory=list)
    tokens: int = 0
    hidden_before: int = 0
    usage: Usage = Usage()
    turns: int = 0
    steps: int = 0
    _results: dict[int, ToolResult] = field(default_factory=dict)
    """Of the round that is under way, by position."""
    _estimates: list[int] = field(default_factory=list)
    _estimated: int = 0
    """Sum of the estimates of what is shown, kept up to date so that a step costs the same however long the history."""

    async def run(self) -> Outcome:
        """Work to the end; only cancellation raises."""
        async with held(self.environment.open(self.recorder), self.recorder.unclosed) as session:
            session.ctx = witness = Witness(session.ctx)
            self._results = witness.results
            self._begin()
            outcome = await self._redo(session, witness)
            while outcome is None:
                if refusal := self.budget.exhausted(for_last_words=True):
                    return await self._wrap_up(refusal)
                outcome = await self._within(self.budget.left("seconds"), session, witness)
            return outcome

    def _begin(self) -> None:
        known = self.recorder.history
        if known is None:
            self._restart(self.environment.prompt(self.task))
        else:
            self._take_up(list(known))

    async def _redo(self, session: Session, witness: Witness) -> Outcome | None:
        """Act on what an interrupted run had answered but not acted on, whatever limit is reached by now."""
        if (action := self._unanswered()) is None:
            return None
        if len(self.history) > 1 and _asks_for_last_words(self.history[-2]):
            refusal = self.budget.exhausted(for_last_words=True)
            return self._outcome(CAPS[refusal.what] if refusal else "turn_cap", self._found, str(refusal or ""))
        time_left = max(self.budget.left("seconds"), GRACE)
        return await self._within(time_left, session, witness, action)

    async def _within(
        self, seconds: float, session: Session, witness: Witness, action: Message | None = None
    ) -> Outcome | None:
        """One round that ends when the time is up or the budget is, with last words."""
        witness.results.clear()
        try:
            async with self.budget.clock.timeout(seconds) as deadline:
                return await self._round(session, action)
        except _Unpaid as unpaid:
            return await self._wrap_up(unpaid.refusal)
        except TimeoutError:
            if not deadline.expired():
                raise
        self._leave_calls(witness.results)
        return await self._wrap_up(self.budget.reached("seconds"))

    async def _round(self, session: Session, action: Message | None) -> Outcome | None:
        """One answer and its calls; an outcome when that was the last."""
        end = self.recorder.end
        if action is None:
            self._listen()
            try:
                shown = await self._make_room()
                reply = await self._ask(shown, session.tools)
            except ModelError as error:
                return self._no_answer(error)
            action, end = reply.message, reply.stop
        if not action.tool_calls and end in CUT:
            stop, why = CUT[end]
            return self._outcome(stop, action.text, why)
        if not session.acts(action):  # the last word, unless a person has something to say to it
            return None if self._listen() else self._outcome("done", action.text)
        step = await self._step(session, action)
        self._observe(step)
        if step.done:
            return self._outcome("done", action.text)
        return self._outcome("loop", self.said, "the same calls three times in a row") if self._circles() else None

    def _listen(self) -> bool:
        """Whether a person said something since the last turn; it belongs to the history now."""
        said = self.recorder.steering()
        self._add(*said)
        return bool(said)

    async def _step(self, session: Session, action: Message) -> Step:
        """Make the calls that the step cap allows, in order, and refuse the others; words that act are one step."""
        calls = action.tool_calls
        wanted = len(calls) or 1
        steps = int(max(0, min(wanted, self.budget.left("steps"))))
        allowed = calls[:steps]
        refused = tuple(tool_message(call.id, OVER_STEPS) for call in calls[len(allowed) :])
        if not steps:
            return Step(refused, False, 0)
        reserved = self.budget.reserve(steps=steps)
        assert not isinstance(reserved, Refusal), "no more than what is left was asked for"
        try:
            step = await session.step(replace(action, tool_calls=allowed))
        finally:
            reserved.settle()
        return step._replace(observations=(*step.observations, *refused))

    def _observe(self, step: Step) -> None:
        self.steps += step.steps
        self.budget.spend(steps=step.steps)
        self.recorder.observed(step.observations)
        self._add(*step.observations)

    def _leave_calls(self, results: dict[int, ToolResult]) -> None:
        """Answer the calls of a round that ran out of time: with their results where there are some."""
        if (action := self._unanswered()) is None or not action.tool_calls:
            return
        found = [results.get(i, replace(OUT_OF_TIME, steps=0)) for i in range(len(action.tool_calls))]
        told = tuple(tool_message(call.id, one) for call, one in zip(action.tool_calls, found, strict=True))
        self._observe(Step(told, False, sum(one.steps for one in found)))

    def _unanswered(self) -> Message | None:
        """The last answer, when nothing has followed from it yet."""
        last = self.history[-1]
        return last if last.role == "assistant" else None

    async def _ask(self, shown: Sequence[Message], tools: Sequence[Tool], sampling: Sampling | None = None) -> Reply:
        """The next answer; it belongs to the history."""
        reply = await self._complete(shown, tools, tokens=self.tokens, sampling=sampling)
        self.turns += 1
        self.recorder.answered(reply)
        self._add(reply.message)
        self.tokens = max(reply.usage.total, self._estimated)
        return reply

    async def _complete(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, tokens: int, sampling: Sampling | None = None
    ) -> Reply:
        """Call the model; `sampling` is given for last words, which may use what other calls leave for them."""
        kept = ("tokens", "cost") if sampling is None else ()
        sampling = sampling or self.environment.sampling
        most = Usage(tokens, sampling.max_tokens or LONGEST_ANSWER)
        amount = {"tokens": float(most.total), "cost": self.model.cost(most)}
        amount |= {what: amount[what] + self.budget.kept_back(what) for what in kept}
        while (reply := await self._try(messages, tools, sampling, amount)) is None:
            pass  # a person has seen to it that the same call may work now
        self.usage = self.usage + reply.usage
        return reply

    async def _try(
        self, messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling, amount: dict[str, float]
    ) -> Reply | None:
        """One call; None when it failed for want of something that a person has given since."""
        paused = await self.gate.passed()
        reserved = await self.budget.hold(**amount)
        if isinstance(reserved, Refusal):
            raise _Unpaid(reserved)
        opened = self.gate.opened
        try:
            self.recorder.asked(self.model.name, paused=paused)
            reply = await self.model.complete(
                messages, tools, sampling=sampling, priority=self.priority, gate=self.gate
            )
            reserved.settle(turns=1, tokens=reply.usage.total, cost=reply.usage.cost)
            return reply
        except ModelError as error:
            self.recorder.failed(error)
            failure = error
        finally:
            reserved.settle()
        if not await self.recorder.may_ask_again(failure, opened=opened):
            raise failure
        return None

    async def _make_room(self) -> Sequence[Message]:
        """What is shown next, after a restart or a summary where the context strategy asks for one."""
        shown = self.environment.context.show(self.history, tokens=self.tokens, hidden_before=self.hidden_before)
        if shown.applied:
            self.recorder.shown(shown, before=len(self.history))
        if shown.ask is not None:
            return await self._summarise(shown.ask)
        if shown.applied and len(shown.messages) < len(self.history):
            self._restart(list(shown.messages))
            return self.history
        self._hide(shown.hidden_before)
        return shown.messages

    async def _summarise(self, question: Message) -> Sequence[Message]:
        messages = [*self.history, question]
        reply = await self._complete(messages, (), tokens=self.tokens + estimated_tokens(question))
        self.recorder.summarised(reply)
        notes = user(f"Your notes so far:\n\n{reply.message.text}")
        self._restart([*self.environment.prompt(self.task), notes])
        return self.history

    def _hide(self, before: int) -> None:
        """Count results that are hidden from now on as what they are shown as."""
        if before <= self.hidden_before:
            return
        for i in range(self.hidden_before, before):
            if self.history[i].role == "tool":
                blank = estimated_tokens(hidden(self.history[i]))
                self._estimated += blank - self._estimates[i]
                self._estimates[i] = blank
        self.hidden_before, self.tokens = before, self._estimated

    def _restart(self, messages: list[Message]) -> None:
        self._take_up(messages)
        self.recorder.began(messages)

    def _take_up(self, messages: list[Message]) -> None:
        self.history = messages
        self._estimates = [estimated_tokens(message) for message in messages]
        self.tokens = self._estimated = sum(self._estimates)
        self.hidden_before = 0

    async def _wrap_up(self, refusal: Refusal) -> Outcome:
        """One turn without tools, unless even that cannot be paid."""
        if not _asks_for_last_words(self.history[-1]):
            question = user(WRAP_UP.format(limit=f"{refusal.limit:g} {refusal.what}"))
            self._add(question)
            self.recorder.told(question)
        try:
            async with self.budget.clock.timeout(GRACE):
                await self._last_words()
        except (ModelError, _Unpaid, TimeoutError):
            pass  # what was found stands for the last words
        return self._outcome(CAPS[refusal.what], self._found, str(refusal))

    async def _last_words(self) -> None:
        left = self.budget.left("tokens")
        shown = last_look(
            self.environment.context,
            self.history,
            tokens=self.tokens,
            room=left - SHORTEST_ANSWER,
            hidden_before=self.hidden_before,
        )
        self._hide(shown.hidden_before)
        room = int(min(left - self.tokens, self._payable(self.tokens), 2**31))
        if room < SHORTEST_ANSWER or self.budget.left("cost") <= 0:
            return
        sampling = self.environment.sampling
        if room < (sampling.max_tokens or LONGEST_ANSWER):
            sampling = replace(sampling, max_tokens=room)
        await self._ask(shown.messages, (), sampling)

    def _payable(self, prompt: int) -> float:
        """Tokens of an answer that the money which is left pays for, after those of the prompt."""
        known = self.model.cost(Usage(prompt, 0))
        each = self.model.cost(Usage(prompt, 1)) - known
        return (self.budget.left("cost") - known) / each if each > 0 else inf

    @property
    def _found(self) -> str:
        """The last words, or the results of the newest calls of an agent that never said anything."""
        if said := self.said:
            return said
        newest = next((i for i in reversed(range(len(self.history))) if self.history[i].tool_calls), len(self.history))
        results = [message.text for message in self.history[newest:] if message.role == "tool"]
        results = results or [result.text for _, result in sorted(self._results.items())]
        return "\n\n".join(results)[:LONGEST_FOUND]

    def _no_answer(self, error: ModelError) -> Outcome:
        stop: Stop = "context_overflow" if error.kind == "overflow" else "error"
        return self._outcome(stop, error.partial or self._found, str(error))

    def _add(self, *messages: Message) -> None:
        for message in messages:
            estimate = estimated_tokens(message)
            self.history.append(message)
            self._estimates.append(estimate)
            self._estimated += estimate
            self.tokens += estimate

    def _circles(self) -> bool:
        rounds = (m.tool_calls for m in reversed(self.history) if m.role == "assistant" and m.tool_calls)
        said = [tuple((call.name, call.arguments) for call in calls) for calls in islice(rounds, SAME_ROUNDS)]
        return len(said) == SAME_ROUNDS and len(set(said)) == 1

    @property
    def said(self) -> str:
        """Its last words."""
        return next((m.text for m in reversed(self.history) if m.role == "assistant" and m.text.strip()), "")

    def stopped(self, stop: Stop, reason: str) -> Outcome:
        """How it ended when something from outside ended it."""
        return self._outcome(stop, self._found, reason)

    def _outcome(self, stop: Stop, text: str, reason: str = "") -> Outcome:
        return Outcome(stop, text, reason, steps=self.steps, turns=self.turns, usage=self.usage)


def _asks_for_last_words(message: Message) -> bool:
    return message.role == "user" and message.text.startswith(WRAP_UP.partition("{")[0])
