"""Anthropic's messages.

    POST messages      event: message_start · content_block_start · content_block_delta ... · message_stop

Thoughts are blocks of type thinking where the client asks for them (`thinking: enabled`), and are not told elsewhere: a
client that does not know of them takes the first block for the answer.

Report: none; the form is that of the Anthropic API reference.
"""

from collections.abc import Sequence

from manyeyes.agent.gateway.anthropic_wire import MessagesRequest, chat_of, input_of
from manyeyes.agent.gateway.dialect import Answer, Ask, Json, Voice
from manyeyes.inference.serve_errors import ApiError, bad, encoded
from manyeyes.inference.serve_wire import read

KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    405: "invalid_request_error", 409: "invalid_request_error", 413: "request_too_large", 429: "rate_limit_error",
    503: "overloaded_error",
}  # fmt: skip
STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
SIGNATURE = "manyeyes"
"""Of thoughts; clients send it back."""
TELLS = "tells_thoughts"


class AnthropicDialect:
    """See the module."""

    name = "messages"
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'

    def read(self, body: bytes) -> Ask:
        """See `Dialect`."""
        request = read(body, MessagesRequest)
        if request.max_tokens is None:
            raise bad("max_tokens is required", "max_tokens")
        return self._ask(request)

    def read_count(self, body: bytes) -> Ask:
        """`POST messages/count_tokens`. Raises ApiError."""
        return self._ask(read(body, MessagesRequest))

    def _ask(self, request: MessagesRequest) -> Ask:
        tells = request.thinking is not None and request.thinking.type != "disabled"
        return Ask(bool(request.stream), request.model, chat_of(request), usage=True, extra={TELLS: tells})

    def whole(self, ask: Ask, answer: Answer, id: str) -> bytes:
        """See `Dialect`."""
        said = {"content": _blocks(answer.choice["message"], tells=ask.extra[TELLS])}
        return encoded(_envelope(ask, id) | said | _stop(answer.choice, ask) | {"usage": _usage(answer.usage)})

    def voice(self, ask: Ask, id: str) -> Voice:
        """See `Dialect`."""
        return _AnthropicVoice(ask, id)

    def error(self, error: ApiError) -> Json:
        """See `Dialect`."""
        kind = KINDS.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": error.message}}

    def error_event(self, error: ApiError) -> bytes:
        """See `Dialect`."""
        return b"event: error\ndata: " + encoded(self.error(error)) + b"\n\n"


class _AnthropicVoice:
    """Blocks follow one another: a new kind of piece, or a new call, closes the one before it."""

    def __init__(self, ask: Ask, id: str) -> None:
        self._ask, self._id, self._tells = ask, id, ask.extra[TELLS]
        self._index, self._open = -1, ""
        self._stop: Json = {"stop_reason": "end_turn", "stop_sequence": None}
        self._arguments: list[str] = []

    def begin(self) -> bytes:
        """See `Voice`."""
        usage = {"input_tokens": 0, "output_tokens": 0}
        empty = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        return _event("message_start", {"message": _envelope(self._ask, self._id) | empty})

    def take(self, pieces: Sequence[Json]) -> bytes:
        """See `Voice`."""
        return b"".join(self._piece(piece) for piece in pieces)

    def end(self, usage: Json) -> bytes:
        """See `Voice`."""
        closed = self._close()
        return (
            closed + _event("message_delta", {"delta": self._stop, "usage": _usage(usage)}) + _event("message_stop", {})
        )

    def _piece(self, piece: Json) -> bytes:
        delta, out = piece["delta"], b""
        if piece.get("finish_reason"):
            self._stop = _stop(piece, self._ask)
        if self._tells and (text := delta.get("reasoning_content")):
            out += self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            out += self._delta({"type": "thinking_delta", "thinking": text})
        if text := delta.get("content"):
            out += self._into("text", {"type": "text", "text": ""}) + self._delta({"type": "text_delta", "text": text})
        for call in delta.get("tool_calls") or ():
            out += self._call(call)
        return out

    def _call(self, call: Json) -> bytes:
        function, out = call.get("function") or {}, b""
        if call.get("id"):
            start = {"type": "tool_use", "id": call["id"], "name": function.get("name") or "", "input": {}}
            out += self._into(f"call {call['index']}", start)
        if text := function.get("arguments"):
            self._arguments.append(text)
        return out

    def _into(self, kind: str, start: Json) -> bytes:
        if self._open == kind:
            return b""
        closed = self._close()
        self._index, self._open = self._index + 1, kind
        return closed + _event("content_block_start", {"index": self._index, "content_block": start})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        last = b""
        if self._open == "thinking":
            last = self._delta({"type": "signature_delta", "signature": SIGNATURE})
        elif self._arguments:  # whole: a client that parses them as they come would fall over what is no JSON
            given = encoded(input_of("".join(self._arguments))).decode()
            last = self._delta({"type": "input_json_delta", "partial_json": given})
        self._open, self._arguments = "", []
        return last + _event("content_block_stop", {"index": self._index})

    def _delta(self, delta: Json) -> bytes:
        return _event("content_block_delta", {"index": self._index, "delta": delta})


def _blocks(message: Json, *, tells: bool) -> list[Json]:
    blocks: list[Json] = []
    if tells and message.get("reasoning_content"):
        blocks.append({"type": "thinking", "thinking": message["reasoning_content"], "signature": SIGNATURE})
    if message.get("content"):
        blocks.append({"type": "text", "text": message["content"]})
    for call in message.get("tool_calls") or ():
        given = input_of(call["function"]["arguments"])
        blocks.append({"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": given})
    return blocks


def _stop(choice: Json, ask: Ask) -> Json:
    """Why it ended; `stop_reason` of a choice is the stop text, where one was met."""
    text = choice.get("stop_reason")
    if isinstance(text, str) and text in (ask.chat.stop or ()):
        return {"stop_reason": "stop_sequence", "stop_sequence": text}
    return {"stop_reason": STOPS.get(choice["finish_reason"], "end_turn"), "stop_sequence": None}


def _usage(usage: Json) -> Json:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": max(0, (usage.get("prompt_tokens") or 0) - cached),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.get("completion_tokens") or 0,
    }


def _envelope(ask: Ask, id: str) -> Json:
    return {"id": f"msg_{id}", "type": "message", "role": "assistant", "model": ask.model}


def _event(kind: str, said: Json) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + encoded({"type": kind} | said) + b"\n\n"
