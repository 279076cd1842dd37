"""A model made of rules, which really uses the tools: it searches, opens, reads, weighs dates, delegates and merges.

    alone           list page → for each member: search, open its pages newest first → table or answer
    orchestrator    list page → create_subagent → assign_task for batches, all at once → merge; gaps are assigned again
    sub-agent       its rows as above → table

One search or one page a turn, like a careful reader. It knows nothing but what its conversation holds (`rule_notes`),
so it is a function of messages: the same for a scripted model, an endpoint, a resumed run. Only the order in which it
looks at the candidates of a question differs from one attempt to the next (a restart with an empty context is a new
attempt), as sampling makes a real model's attempts differ; a resumed run reads their number in its journal.

Report: §3 (orchestrator and sub-agents), App. E.8; the rules are a stand-in for a trained policy.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.context import WRITE_DOWN, estimated_tokens
from manyeyes.agent.fakes import Scripted
from manyeyes.core.journal import Event
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.core.seeds import stream
from manyeyes.swarm.orchestrator import ASSIGN, CREATE
from manyeyes.swarm.rule_attempts import attempts_of
from manyeyes.swarm.rule_lookup import Action, LookUp, arguments
from manyeyes.swarm.rule_notes import Known, Note, notes_of, notes_on, notes_on_table, table_text
from manyeyes.swarm.rule_plan import part_of_table, plan_of, role_subject

NO_MORE_TOOLS = "can call no more tools"
"""In what the loop says to an agent that is at its limit."""
MOST_CHECKERS, CHECKERS_AGAIN = 6, 2
"""Sub-agents for a question, and for what one of them left undone: the report's orchestrator has 15 steps on
BrowseComp, and each assignment is one."""


def rule_model(
    *,
    seconds: float = 0.0,
    rows_each: int = 4,
    most_agents: int = 16,
    context_tokens: int | None = None,
    seed: int = 0,
    past: Iterable[Event] = (),
) -> Scripted:
    """The rules as a `ChatModel`; see `RulePolicy`.

    Args:
        seconds: that each answer takes.
    """
    policy = RulePolicy(
        rows_each=rows_each, most_agents=most_agents, context_tokens=context_tokens, seed=seed, past=past
    )
    return Scripted(policy, seconds=seconds)


class RulePolicy:
    """The next answer in a conversation.

    Args:
        rows_each: that a sub-agent is given.
        most_agents: that an orchestrator starts at once; with more rows each gets more.
        context_tokens: of the model it stands for; a longer conversation is an overflow. None for no limit.
        seed: of the order in which candidates are looked at.
        past: events of the run that is gone on with; its attempts count.
    """

    def __init__(
        self,
        *,
        rows_each: int = 4,
        most_agents: int = 16,
        context_tokens: int | None = None,
        seed: int = 0,
        past: Iterable[Event] = (),
    ) -> None:
        self.rows_each, self.most_agents, self.context_tokens, self.seed = rows_each, most_agents, context_tokens, seed
        self._attempts: Counter[str] = attempts_of(past)

    def __call__(self, messages: Sequence[Message]) -> Message:
        """See the module.

        Raises:
            ModelError: the conversation is longer than the context.
        """
        self._check_length(messages)
        task = next(message.text for message in messages if message.role == "user")
        if not any(message.role == "assistant" for message in messages):
            self._attempts[task] += 1
        return _Turn(self, messages, task, attempt=self._attempts[task]).answer()

    def _check_length(self, messages: Sequence[Message]) -> None:
        if self.context_tokens is None:
            return
        tokens = sum(map(estimated_tokens, messages))
        if tokens > self.context_tokens:
            why = f"the conversation has {tokens:,} tokens, the context {self.context_tokens:,}"
            raise ModelError(why, kind="overflow", status=400)


class _Turn:
    """One answer: what is known, what was just read, what to do next."""

    def __init__(self, policy: RulePolicy, messages: Sequence[Message], task: str, *, attempt: int) -> None:
        self.policy, self.messages, self.task, self.attempt = policy, messages, task, attempt
        self.plan = plan_of(task)
        self.delegates = any(message.role == "system" and CREATE in message.text for message in messages)
        self.known = Known()
        self.calls = [call for message in messages for call in message.tool_calls]
        self.new = self._read()
        self.look_up = LookUp(self.plan, self.known, self._members(), self.calls)

    def _read(self) -> list[Note]:
        """Take up the notes so far, and make notes on what the last calls gave."""
        fresh: list[str] = []
        for message in self.messages:
            if message.role == "assistant":
                self.known.take(notes_of(message.reasoning or ""))
                fresh = []
            elif message.role == "user":
                self.known.take(notes_of(message.text))
            elif message.role == "tool":
                fresh.append(message.text)
        labels = (*self.plan.labels, self.plan.beyond)
        new = [note for text in fresh for note in notes_on(text, labels=labels, topic=self.plan.topic)]
        new += [note for text in fresh for note in notes_on_table(text)]
        self.known.take(new)
        return new

    def _members(self) -> list[str]:
        """The rows, in the list's order; of a question in this attempt's order."""
        rows = list(self.plan.rows or self.known.members)
        if not self.plan.deep or self.delegates:
            return rows
        order = stream(self.policy.seed, f"swarm/rules/{self.plan.topic}", self.attempt).permutation(len(rows))
        return [rows[int(number)] for number in order]

    def answer(self) -> Message:
        """What to say."""
        last = self.messages[-1]
        if last.text == WRITE_DOWN:
            return assistant("\n".join(map(str, self.known.notes())))
        if last.role == "user" and NO_MORE_TOOLS in last.text:
            return self._end()
        actions = self._actions()
        if not actions:
            return self._end()
        begin = len(self.calls)
        calls = [ToolCall.of(name, said, index=begin + number) for number, (name, said) in enumerate(actions)]
        return assistant("", reasoning=self._reasoning(), calls=tuple(calls))

    def _actions(self) -> list[Action]:
        """The calls to make; none at the end."""
        if not self.plan.columns:
            return self._anything()
        if not self.plan.rows and (action := self.look_up.find_list()):
            return [action]
        if self.delegates and (actions := self._delegate()):
            return actions
        if self.plan.deep and (row := self.look_up.match()) is not None:
            steps = self.look_up.of_match(row)
        else:
            steps = iter(()) if self.delegates else self.look_up.rows()
        return [action for action in (next(steps, None),) if action is not None]

    def _reasoning(self) -> str:
        return "\n".join(["What I have just read:", *map(str, self.new)]) if self.new else "Let me see."

    # Giving work away.

    def _delegate(self) -> list[Action]:
        """Create a specification, then assign all batches, then once more what is still missing."""
        name = f"{role_subject(self.plan.topic)} {'Checker' if self.plan.deep else 'Researcher'}"
        waves = [message for message in self.messages if any(call.name == ASSIGN for call in message.tool_calls)]
        if not any(call.name == CREATE for call in self.calls) and self.known.members:
            prompt = (
                f"You are {name}. You look facts up, page by page, compare the dates of pages that disagree, and "
                f"return a Markdown table. You never guess: a cell that you find nothing for stays empty."
            )
            return [(CREATE, {"name": name, "system_prompt": prompt})]
        rows = self._gaps(len(waves)) if waves else list(self.known.members)
        parts = self._batches(rows, again=bool(waves))
        return [(ASSIGN, {"agent": name, "prompt": part_of_table(self.plan, part)}) for part in parts]

    def _gaps(self, waves: int) -> list[str]:
        """Rows that nobody filled, after the first wave; of a question, where rows are dropped, those left undone."""
        if waves > 1:
            return []
        if self.plan.deep:
            return [] if self.look_up.match() else self._left_undone()
        facts = self.known.facts
        return [row for row in self.known.members if any((row, label) not in facts for label in self.plan.labels)]

    def _left_undone(self) -> list[str]:
        """Rows of the first sub-agent that did not finish; halves of them fit where the whole did not."""
        told = {message.tool_call_id: message.text for message in self.messages if message.role == "tool"}
        calls = [call for call in self.calls if call.name == ASSIGN]
        failed = [call for call in calls if not told.get(call.id, "").partition("\n")[0].endswith(": finished]")]
        return [row for call in failed[:1] for row in plan_of(arguments(call.arguments)["prompt"]).rows]

    def _batches(self, rows: Sequence[str], *, again: bool) -> Iterator[tuple[str, ...]]:
        most = self.policy.most_agents
        if self.plan.deep:
            most = CHECKERS_AGAIN if again else MOST_CHECKERS
        parts = max(1, min(most, -(-len(rows) // self.policy.rows_each)))
        for number in range(parts):
            if part := tuple(rows[len(rows) * number // parts : len(rows) * (number + 1) // parts]):
                yield part

    # Ending.

    def _end(self) -> Message:
        return assistant(self._final(), reasoning=self._reasoning())

    def _final(self) -> str:
        if not self.plan.columns:
            return self._whatever_was_read()
        if self.plan.deep:
            return self._exact_answer()
        rows = [row for row in self.look_up.members if self._worth_telling(row)]
        cells = [[row, *(self.look_up.value(row, label) for label in self.plan.labels)] for row in rows]
        return table_text(self.plan.columns, cells)

    def _worth_telling(self, row: str) -> bool:
        if self.plan.conditions:
            return self.look_up.fails(row) is False
        return any(self.look_up.value(row, label) for label in self.plan.labels)

    def _exact_answer(self) -> str:
        row = self.look_up.match()
        value = "" if row is None else self.look_up.value(row, self.plan.asked)
        if value and self.plan.beyond:
            value = self.look_up.value(value, self.plan.beyond)
        why = f"{row} meets all conditions." if row else "None of those that I looked at meets all conditions."
        return f"Explanation: {why}\nExact Answer: {value or 'unknown'}\nConfidence: {95 if value else 0}%"

    # A task that the rules do not know.

    def _anything(self) -> list[Action]:
        """Search for its words, then open the best page."""
        if not self.calls:
            return [("search", {"queries": [self.task[:200]], "top": 3})]
        urls = [note.words[2] for note in self.new if note.kind == "lead"]
        return [("open", {"url": url}) for url in urls[:1]] if len(self.calls) == 1 else []

    def _whatever_was_read(self) -> str:
        pages = [message.text for message in self.messages if message.role == "tool" and "\nL1: " in message.text]
        found = pages[-1] if pages else "(no page was found)"
        return f"I am a set of rules and know only a few kinds of task. The best page says:\n\n{found}"
