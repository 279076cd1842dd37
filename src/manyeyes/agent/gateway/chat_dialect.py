"""OpenAI's chat completions.

    POST chat/completions        data: {"choices": [piece]} ... data: [DONE]

Report: none; the form is that of the OpenAI API reference, `reasoning_content` as Moonshot has it.
"""

import time
from collections.abc import Sequence

import msgspec

from manyeyes.agent.gateway.dialect import Answer, Ask, Fields, Json, Voice, read_chat
from manyeyes.inference.serve_errors import ApiError, bad, encoded

DONE = b"data: [DONE]\n\n"


class ChatDialect:
    """See the module."""

    name = "chat"
    ping = b": still waiting\n\n"

    def read(self, body: bytes) -> Ask:
        """See `Dialect`."""
        request = read_chat(body)
        require_one(request.n)
        usage = request.stream_options is not None and bool(request.stream_options.include_usage)
        return Ask(bool(request.stream), request.model, request, usage=usage)

    def read_fields(self, body: bytes) -> Ask:
        """A body that goes on as it came: only what the gateway itself must know is looked at. Raises ApiError."""
        try:
            fields = msgspec.json.decode(body, type=Fields)
            head = msgspec.json.decode(body, type=_Head)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise bad(f"the body cannot be read: {error}") from None
        require_one(head.n)
        usage = head.stream_options is not None and bool(head.stream_options.include_usage)
        return Ask(bool(head.stream), head.model, fields=fields, usage=usage)

    def whole(self, ask: Ask, answer: Answer, id: str) -> bytes:
        """See `Dialect`."""
        if answer.body:
            return answer.body
        said = {"choices": [answer.choice], "usage": answer.usage}
        return encoded(_envelope(ask, id, "chat.completion") | said)

    def voice(self, ask: Ask, id: str) -> Voice:
        """See `Dialect`."""
        return _ChatVoice(ask, id)

    def error(self, error: ApiError) -> Json:
        """See `Dialect`."""
        return error.body

    def error_event(self, error: ApiError) -> bytes:
        """See `Dialect`."""
        return b"data: " + encoded(error.body) + b"\n\n" + DONE


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Head(msgspec.Struct):
    """What a gateway must know of a body that it passes on."""

    model: str = ""
    stream: bool | None = None
    n: int | None = None
    stream_options: _StreamOptions | None = None


class _ChatVoice:
    def __init__(self, ask: Ask, id: str) -> None:
        self._ask, self._envelope = ask, _envelope(ask, id, "chat.completion.chunk")
        self._nothing: Json = {"usage": None} if ask.usage else {}

    def begin(self) -> bytes:
        """See `Voice`."""
        first = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        return self.take([first])

    def take(self, pieces: Sequence[Json]) -> bytes:
        """See `Voice`."""
        return b"".join(self._line({"choices": [piece]} | self._nothing) for piece in pieces)

    def end(self, usage: Json) -> bytes:
        """See `Voice`."""
        return (self._line({"choices": [], "usage": usage}) if self._ask.usage else b"") + DONE

    def _line(self, said: Json) -> bytes:
        return b"data: " + encoded(self._envelope | said) + b"\n\n"


def require_one(count: int | None) -> None:
    """Raises ApiError for several choices of one request."""
    if count is not None and count != 1:
        raise bad(f"n must be 1 here, got {count}: ask {count} times, each answer is a branch of its own", "n")


def _envelope(ask: Ask, id: str, kind: str) -> Json:
    return {"id": f"chatcmpl-{id}", "object": kind, "created": int(time.time()), "model": ask.model}
