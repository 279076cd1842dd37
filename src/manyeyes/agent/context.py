"""What of a long conversation the model is shown: none, hide-tool-results, discard-all, summary (§5.2, App. E).

    none                 everything; an overflow ends the task
    hide_tool_results    past a threshold only the newest round of tool messages stays, all reasoning stays
    discard_all          past a threshold everything after the task is dropped and the agent begins anew
    summary              past a threshold the model writes down what matters, and goes on from that

A strategy maps a history to what is shown; the history itself stays whole in the journal. Tokens are those that the
endpoint reported for the last call, plus an estimate of what came since.

Report: §5.2.2 (BrowseComp: discard-all), App. E.6 (HLE: hide-tool-result), App. D.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from manyeyes.core.messages import Message, user

HIDDEN = "[result hidden to save context; call the tool again if you need it]"
BYTES_A_TOKEN = 4
"""Of English; good enough for what came since the endpoint last counted."""
TOKENS_A_PICTURE = 1024
WRITE_DOWN = (
    "Your context is nearly full. Write down everything that you need to finish the task: what was asked, what you "
    "found and where (with links), what is still open, what you will do next. You will see nothing but this."
)


class Shown(NamedTuple):
    """What the model gets to see.

    Attributes:
        messages: in order.
        applied: the strategy that changed something; "" when nothing was left out.
        ask: a question that the model must answer before it goes on ("summary"); its answer replaces the history.
    """

    messages: tuple[Message, ...]
    applied: str = ""
    ask: Message | None = None


class ContextStrategy(Protocol):
    """Chooses what is shown."""

    @property
    def name(self) -> str:
        """For people and for the journal."""
        ...

    def show(self, history: Sequence[Message], *, tokens: int) -> Shown:
        """What to show.

        Args:
            history: everything since the last restart; the first messages up to the first user message are the task.
            tokens: that the history takes now.
        """
        ...


@dataclass(frozen=True, slots=True)
class ShowAll:
    """Everything, always: an overflow is a failure (the report's setting "none")."""

    name: str = "none"

    def show(self, history: Sequence[Message], *, tokens: int) -> Shown:
        """See `ContextStrategy.show`."""
        return Shown(tuple(history))


@dataclass(frozen=True, slots=True)
class HideToolResults:
    """Past `threshold` tokens, tool messages before the newest `keep` rounds are blanked."""

    threshold: int
    keep: int = 1
    name: str = "hide_tool_results"

    def show(self, history: Sequence[Message], *, tokens: int) -> Shown:
        """See `ContextStrategy.show`."""
        rounds = [i for i, message in enumerate(history) if message.role == "assistant" and message.tool_calls]
        if tokens <= self.threshold or len(rounds) <= self.keep:
            return Shown(tuple(history))
        newest = rounds[-self.keep] if self.keep else len(history)
        shown = tuple(
            replace(message, content=HIDDEN) if message.role == "tool" and i < newest else message
            for i, message in enumerate(history)
        )
        return Shown(shown, self.name)


@dataclass(frozen=True, slots=True)
class DiscardAll:
    """Past `threshold` tokens the agent begins anew with nothing but its task."""

    threshold: int
    name: str = "discard_all"

    def show(self, history: Sequence[Message], *, tokens: int) -> Shown:
        """See `ContextStrategy.show`."""
        task = task_of(history)
        if tokens <= self.threshold or len(history) == len(task):
            return Shown(tuple(history))
        return Shown(task, self.name)


@dataclass(frozen=True, slots=True)
class Summarise:
    """Past `threshold` tokens the model is asked to write down what matters; its answer becomes the history."""

    threshold: int
    name: str = "summary"

    def show(self, history: Sequence[Message], *, tokens: int) -> Shown:
        """See `ContextStrategy.show`."""
        if tokens <= self.threshold or len(history) <= len(task_of(history)) + 1:
            return Shown(tuple(history))
        return Shown(tuple(history), self.name, ask=user(WRITE_DOWN))


def task_of(history: Sequence[Message]) -> tuple[Message, ...]:
    """The messages that say what is to be done: all before the first answer."""
    first = next((i for i, message in enumerate(history) if message.role == "assistant"), len(history))
    return tuple(history[:first])


def estimated_tokens(message: Message) -> int:
    """About how many tokens a message takes."""
    letters = len(message.text.encode()) + len((message.reasoning or "").encode())
    letters += sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return 4 + letters // BYTES_A_TOKEN + TOKENS_A_PICTURE * len(message.media)
