"""What of a long conversation the model is shown: none, hide-tool-results, discard-all, summary (§5.2, App. E).

    none                 everything; an overflow ends the task
    hide_tool_results    past a threshold only the newest round of tool messages stays, all reasoning stays
    discard_all          past a threshold everything after the task is dropped and the agent begins anew
    summary              past a threshold the model writes down what matters, and goes on from that

A strategy maps a history to what is shown; the history itself stays whole in the journal. Tokens are those that the
endpoint reported for the last call, plus an estimate of what came since. Strategies are shared and have no state: what
one agent no longer sees is a number that the agent keeps, `hidden_before`. It only grows, because a result that comes
back would be paid for again and would break the prefix that the endpoint has cached.

Report: §5.2.2 (BrowseComp: discard-all), App. E.6 (HLE: hide-tool-result), App. D.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
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
        applied: the strategy that left something out that was shown before; "" when nothing was.
        ask: a question that the model must answer before it goes on ("summary"); its answer replaces the history.
        hidden_before: tool messages before this one of the history are hidden, now and from now on.
    """

    messages: tuple[Message, ...]
    applied: str = ""
    ask: Message | None = None
    hidden_before: int = 0


class ContextStrategy(Protocol):
    """Chooses what is shown."""

    @property
    def name(self) -> str:
        """For people and for the journal."""
        ...

    @property
    def threshold(self) -> float:
        """Tokens past which something is left out."""
        ...

    def show(self, history: Sequence[Message], *, tokens: int, hidden_before: int = 0) -> Shown:
        """What to show.

        Args:
            history: everything since the last restart; the first messages up to the first user message are the task.
            tokens: that what was shown of it, and what came since, takes now.
            hidden_before: as the last `Shown` of this history said.
        """
        ...


@dataclass(frozen=True, slots=True)
class ShowAll:
    """Everything, always: an overflow is a failure (the report's setting "none")."""

    name: str = "none"
    threshold: float = inf

    def show(self, history: Sequence[Message], *, tokens: int, hidden_before: int = 0) -> Shown:
        """See `ContextStrategy.show`."""
        return Shown(tuple(history))


@dataclass(frozen=True, slots=True)
class HideToolResults:
    """Past `threshold` tokens, tool messages before the newest `keep` rounds are blanked, and stay so."""

    threshold: float
    keep: int = 1
    name: str = "hide_tool_results"

    def show(self, history: Sequence[Message], *, tokens: int, hidden_before: int = 0) -> Shown:
        """See `ContextStrategy.show`."""
        newest = _newest_rounds(history, self.keep) if tokens > self.threshold else hidden_before
        if not any(message.role == "tool" for message in history[hidden_before:newest]):
            return Shown(with_hidden(history, hidden_before), hidden_before=hidden_before)
        return Shown(with_hidden(history, newest), self.name, hidden_before=newest)


@dataclass(frozen=True, slots=True)
class DiscardAll:
    """Past `threshold` tokens the agent begins anew with nothing but its task."""

    threshold: float
    name: str = "discard_all"

    def show(self, history: Sequence[Message], *, tokens: int, hidden_before: int = 0) -> Shown:
        """See `ContextStrategy.show`."""
        task = task_of(history)
        if tokens <= self.threshold or len(history) == len(task):
            return Shown(tuple(history))
        return Shown(task, self.name)


@dataclass(frozen=True, slots=True)
class Summarise:
    """Past `threshold` tokens the model is asked to write down what matters; its answer becomes the history."""

    threshold: float
    name: str = "summary"

    def show(self, history: Sequence[Message], *, tokens: int, hidden_before: int = 0) -> Shown:
        """See `ContextStrategy.show`."""
        if tokens <= self.threshold or len(history) <= len(task_of(history)) + 1:
            return Shown(tuple(history))
        return Shown(tuple(history), self.name, ask=user(WRITE_DOWN))


def last_look(
    strategy: ContextStrategy, history: Sequence[Message], *, tokens: int, room: float, hidden_before: int
) -> Shown:
    """What an agent sees when it says its last words: all that it found, older results hidden where that is too long.

    A restart or a summary would take away what the last words are to be about.

    Args:
        room: tokens that can be paid.
    """
    threshold = min(strategy.threshold, room)
    return HideToolResults(threshold).show(history, tokens=tokens, hidden_before=hidden_before)


def _newest_rounds(history: Sequence[Message], keep: int) -> int:
    """Where the newest `keep` rounds of calls begin; 0 when there are no more than these."""
    if keep == 0:
        return len(history)
    for i in reversed(range(len(history))):
        keep -= history[i].role == "assistant" and bool(history[i].tool_calls)
        if keep == 0:
            return i
    return 0


def with_hidden(history: Sequence[Message], before: int) -> tuple[Message, ...]:
    """The history with tool messages before number `before` blanked."""
    blanked = (hidden(message) if message.role == "tool" else message for message in history[:before])
    return (*blanked, *history[before:])


def hidden(message: Message) -> Message:
    """A tool message without its result; the same object every time, for encoders know messages by identity."""
    return _hidden(message.tool_call_id, message.name)


@lru_cache(maxsize=2**16)
def _hidden(call: str | None, name: str | None) -> Message:
    return Message("tool", HIDDEN, tool_call_id=call, name=name)


def task_of(history: Sequence[Message]) -> tuple[Message, ...]:
    """The messages that say what is to be done: all before the first answer."""
    first = next((i for i, message in enumerate(history) if message.role == "assistant"), len(history))
    return tuple(history[:first])


def estimated_tokens(message: Message) -> int:
    """About how many tokens a message takes."""
    letters = len(message.text.encode()) + len((message.reasoning or "").encode())
    letters += sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return 4 + letters // BYTES_A_TOKEN + TOKENS_A_PICTURE * len(message.media)
