"""`ChatModel`: messages and tools in, one assistant message and what it cost out; the seam between agents and models.

A failed call is a `ModelError`, raised once the client's own retries are used up; its `kind` says who can help:
"request" (this call is wrong, siblings are not), "overflow" (its conversation is too long), "quota" (nobody's call will
work until somebody pays or waits), "endpoint" (down, silent, or answering nonsense).

    ManyeyesError
    └── ModelError    a call that gave no message, and why

Report: App. D.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from manyeyes.agent.gate import Gate
from manyeyes.agent.token_chat_sampled import Sampled
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.messages import Message, Tool

Stop = Literal["stop", "tool_calls", "length", "filter"]
ErrorKind = Literal["request", "overflow", "quota", "endpoint"]


class ModelError(ManyeyesError):
    """A call that gave no message.

    Attributes:
        kind: who can help; see the module.
        status: of HTTP, 0 where there was no answer.
        partial: text that had arrived.
    """

    def __init__(self, message: str, *, kind: ErrorKind, status: int = 0, partial: str = "") -> None:
        super().__init__(message)
        self.kind, self.status, self.partial = kind, status, partial


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money; adds up.

    Example:
        >>> (Usage(prompt=10, completion=2) + Usage(prompt=5, completion=1)).total
        18
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cost: float = 0.0
    """US dollars; 0 where no price is known."""

    @property
    def total(self) -> int:
        """Tokens in and out."""
        return self.prompt + self.completion

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
            self.cost + other.cost,
        )


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the model is asked to choose; the report's agents use temperature 1.0, top-p 0.95 (App. E).

    Attributes:
        max_tokens: of the answer; None leaves it to the endpoint.
        extra: more fields of the request's body, as the endpoint documents them.
    """

    temperature: float = 1.0
    top_p: float = 0.95
    max_tokens: int | None = None
    extra: dict[str, object] = field(default_factory=dict)


DEFAULT_SAMPLING = Sampling()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        message: of the assistant.
        stop: why it ended.
        usage: as the endpoint counted, or estimated where it did not.
        waited: seconds in the queue of the limiter, retries and pauses included.
        paused: seconds of these for which the run was paused.
        sampled: token for token, where the model is a sampler behind the chat format.
        first: seconds from the request to the first token.
        seconds: from the request to the end.
        attempts: requests that were sent.
    """

    message: Message
    stop: Stop = "stop"
    usage: Usage = Usage()
    waited: float = 0.0
    first: float = 0.0
    seconds: float = 0.0
    attempts: int = 1
    paused: float = 0.0
    sampled: Sampled | None = None


class ChatModel(Protocol):
    """Anything that answers: an endpoint, a script, a sampler behind the chat format."""

    @property
    def name(self) -> str:
        """For people and for accounts."""
        ...

    def cost(self, usage: Usage) -> float:
        """US dollars of a call that uses so many tokens; 0 where no price is known."""
        ...

    async def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        sampling: Sampling = DEFAULT_SAMPLING,
        priority: int = 0,
        on_text: Callable[[str], None] | None = None,
        gate: Gate | None = None,
    ) -> Reply:
        """One assistant message.

        Args:
            messages: the conversation so far; equal prefixes of later calls are cheap.
            priority: lower goes first where calls queue.
            on_text: called with pieces of the answer as they arrive.
            gate: that every request waits for, while the run is paused.

        Raises:
            ModelError: it could not be had.
        """
        ...
