"""A stream of OpenAI's responses: items that open, grow and close, each event numbered.

    response.created · output_item.added · (content_part.added) · deltas · output_item.done · response.completed

Report: none; the events are those of the OpenAI API reference.
"""

from collections.abc import Sequence

from manyeyes.agent.gateway.dialect import Json
from manyeyes.agent.gateway.responses_items import Shell, call_item, message_item, reasoning_item, text_part
from manyeyes.inference.serve_errors import encoded


class ResponsesVoice:
    """See `Voice`."""

    def __init__(self, shell: Shell) -> None:
        self._shell, self._number = shell, -1
        self._items: list[Json] = []
        self._kind, self._text = "", ""
        self._logprobs: list[Json] = []
        self._finish = "stop"

    def begin(self) -> bytes:
        """See `Voice`."""
        response = self._shell.response("in_progress", [], None)
        return self._event("response.created", {"response": response}) + self._event(
            "response.in_progress", {"response": response}
        )

    def take(self, pieces: Sequence[Json]) -> bytes:
        """See `Voice`."""
        return b"".join(self._piece(piece) for piece in pieces)

    def end(self, usage: Json) -> bytes:
        """See `Voice`."""
        if not self._items:
            out = self._into("message", message_item(self._shell.id, 0, "", [], "in_progress"))
        else:
            out = b""
        closed = out + self._close()
        status = "incomplete" if self._finish == "length" else "completed"
        return closed + self._event(
            f"response.{status}", {"response": self._shell.response(status, self._items, usage)}
        )

    def _piece(self, piece: Json) -> bytes:
        delta, out = piece["delta"], b""
        self._finish = piece.get("finish_reason") or self._finish
        told = ((piece.get("logprobs") or {}).get("content")) or []
        if text := delta.get("reasoning_content"):
            out += self._into("reasoning", reasoning_item(self._shell.id, len(self._items), ""))
            out += self._grow("response.reasoning_text.delta", text, {"content_index": 0})
        if (text := delta.get("content")) or told:
            out += self._into("message", message_item(self._shell.id, len(self._items), "", [], "in_progress"))
            self._logprobs += told
            out += self._grow("response.output_text.delta", text or "", {"content_index": 0, "logprobs": told})
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            if call.get("id"):
                item = call_item(self._shell.id, len(self._items), call["id"], function.get("name") or "", "",
                                 "in_progress")  # fmt: skip
                out += self._into(f"call {call['index']}", item)
            if text := function.get("arguments"):
                out += self._grow("response.function_call_arguments.delta", text, {})
        return out

    def _into(self, kind: str, item: Json) -> bytes:
        if self._kind == kind:
            return b""
        closed = self._close()
        self._kind, self._text, self._logprobs = kind, "", []
        begun = {"item": item | ({"content": []} if kind == "message" else {}), "output_index": len(self._items)}
        self._items.append(item)
        out = closed + self._event("response.output_item.added", begun)
        if kind == "message":
            out += self._event("response.content_part.added", self._at({"content_index": 0, "part": text_part("", [])}))
        return out

    def _grow(self, kind: str, text: str, more: Json) -> bytes:
        self._text += text
        return self._event(kind, self._at({"delta": text} | more))

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        kind, self._kind = self._kind.partition(" ")[0], ""
        begun, place = self._items[-1], len(self._items) - 1
        if kind == "reasoning":
            item = reasoning_item(self._shell.id, place, self._text)
            out = self._event("response.reasoning_text.done", self._at({"content_index": 0, "text": self._text}))
        elif kind == "call":
            item = begun | {"arguments": self._text, "status": "completed"}
            done = {"arguments": self._text, "name": begun["name"]}
            out = self._event("response.function_call_arguments.done", self._at(done))
        else:
            item = message_item(self._shell.id, place, self._text, self._logprobs, "completed")
            said = {"content_index": 0, "text": self._text, "logprobs": self._logprobs}
            part = {"content_index": 0, "part": text_part(self._text, self._logprobs)}
            out = self._event("response.output_text.done", self._at(said))
            out += self._event("response.content_part.done", self._at(part))
        self._items[-1] = item
        return out + self._event("response.output_item.done", {"item": item, "output_index": place})

    def _at(self, said: Json) -> Json:
        return {"item_id": self._items[-1]["id"], "output_index": len(self._items) - 1} | said

    def _event(self, kind: str, said: Json) -> bytes:
        self._number += 1
        body = {"type": kind, "sequence_number": self._number} | said
        return b"event: " + kind.encode() + b"\ndata: " + encoded(body) + b"\n\n"
