"""What crosses between a dialect (how a client speaks) and an upstream (what answers): both in OpenAI's chat form.

    body ── Dialect.read ──→ Ask ──→ Upstream.answer ──→ Answer ── Dialect.whole ──→ body
                                          └── pieces ──→ Voice ──→ events of a stream

So each dialect is translated once, whatever answers, and each upstream is written once, whoever asks.

Report: App. D.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from manyeyes.core.media import Media
from manyeyes.core.sampler import Draw, LogprobKind
from manyeyes.inference.serve_errors import ApiError
from manyeyes.inference.serve_wire import ChatRequest, read

Json = dict[str, Any]
Fields = dict[str, msgspec.Raw]
"""The top of a JSON object, its values as they were written."""


@dataclass(slots=True, eq=False)
class Ask:
    """What a client wants.

    Attributes:
        stream: whether piece by piece.
        model: the name that it used; told back to it.
        request: in OpenAI's chat form; None where `fields` is passed on as it is.
        fields: the body of a chat request.
        usage: whether a stream ends with the tokens it took.
        extra: what its dialect has to know when it answers.
    """

    stream: bool
    model: str
    request: ChatRequest | None = None
    fields: Fields | None = None
    usage: bool = False
    extra: Json = field(default_factory=dict)

    @property
    def chat(self) -> ChatRequest:
        """The request in chat form, read now where it was not before. Raises ApiError."""
        if self.request is None:
            from_fields = msgspec.json.encode(self.fields)
            self.request = read_chat(from_fields)
        return self.request


class Heard(NamedTuple):
    """What an upstream knows of a call, token for token.

    Attributes:
        prompt: every id that was sent; None where nobody told.
        ids, logprobs, versions: of what was sampled.
        media: one item for each run of `<|media_pad|>` in `prompt`.
        kind, stop, fork, malformed, masked: as in a `Node`.
        routing: uint16 [prompt + ids, layers, experts a token]; None where nobody told.
        told: assistant messages of the conversation.
        text: of an endpoint: the conversation's new messages and the answer.
        draw: what `ids` were drawn from; None where nobody knows.
    """

    prompt: NDArray[np.int32] | None
    ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    versions: NDArray[np.int32]
    media: tuple[Media, ...] = ()
    kind: LogprobKind = "sampled"
    stop: str = ""
    fork: str = ""
    malformed: str = ""
    masked: str = ""
    routing: NDArray[np.uint16] | None = None
    told: int = 0
    text: Json | None = None
    draw: Draw | None = None


@dataclass(slots=True, eq=False)
class Answer:
    """What came back.

    Attributes:
        choice: message, logprobs and finish_reason, as OpenAI's API has them.
        usage: the same.
        body: of an endpoint whose answer goes to the client as it is; the two above are then left empty.
    """

    choice: Json = field(default_factory=dict)
    usage: Json = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True, eq=False)
class Telling:
    """How an upstream tells what comes, while it comes.

    Attributes:
        pieces: takes choices of a chat stream.
        raw: takes events that are the client's already.
        heard: what is known so far; a call that is cut is captured from this.
    """

    pieces: Callable[[Sequence[Json]], None]
    raw: Callable[[bytes], None]
    heard: Heard | None = None


class Voice(Protocol):
    """A stream of one dialect."""

    def begin(self) -> bytes:
        """The first events."""
        ...

    def take(self, pieces: Sequence[Json]) -> bytes:
        """Events for choices of a chat stream."""
        ...

    def end(self, usage: Json) -> bytes:
        """The last events."""
        ...


class Dialect(Protocol):
    """How a client speaks."""

    name: str
    ping: bytes

    def read(self, body: bytes) -> Ask:
        """What is wanted. Raises ApiError."""
        ...

    def whole(self, ask: Ask, answer: Answer, id: str) -> bytes:
        """An answer in one piece."""
        ...

    def voice(self, ask: Ask, id: str) -> Voice:
        """An answer in pieces."""
        ...

    def error(self, error: ApiError) -> Json:
        """The body that says what is wrong."""
        ...

    def error_event(self, error: ApiError) -> bytes:
        """The end of a stream that breaks."""
        ...


def read_chat(body: bytes) -> ChatRequest:
    """A chat request. Raises ApiError."""
    return read(body, ChatRequest)
