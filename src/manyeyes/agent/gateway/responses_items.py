"""The objects of OpenAI's responses: the response itself and the items of its output.

Report: none; the forms are those of the OpenAI API reference.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from manyeyes.agent.gateway.dialect import Json
from manyeyes.agent.gateway.responses_wire import ResponsesRequest


@dataclass(frozen=True, slots=True)
class Shell:
    """What stands around the output of a request."""

    id: str
    request: ResponsesRequest
    created: int = field(default_factory=lambda: int(time.time()))

    def response(self, status: str, output: Sequence[Json], usage: Json | None) -> Json:
        """The response object."""
        request = self.request
        tools = msgspec.to_builtins(request.tools or [])
        cut = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": f"resp_{self.id}", "object": "response", "created_at": self.created, "status": status,
            "model": request.model, "output": list(output), "usage": None if usage is None else usage_of(usage),
            "error": None, "incomplete_details": cut, "instructions": request.instructions, "metadata": {},
            "parallel_tool_calls": request.parallel_tool_calls is not False, "temperature": request.temperature,
            "top_p": request.top_p, "max_output_tokens": request.max_output_tokens, "tools": tools,
            "tool_choice": msgspec.to_builtins(request.tool_choice) or "auto", "previous_response_id": None,
            "store": False, "text": {"format": {"type": "text"}}, "truncation": "disabled",
        }  # fmt: skip


def output_of(message: Json, logprobs: Sequence[Json], id: str, status: str) -> list[Json]:
    """The items of a whole turn."""
    items: list[Json] = []
    if thought := message.get("reasoning_content"):
        items.append(reasoning_item(id, len(items), thought))
    calls = message.get("tool_calls") or ()
    if message.get("content") or not (items or calls):
        items.append(message_item(id, len(items), message.get("content") or "", logprobs, status))
    for call in calls:
        function = call["function"]
        items.append(call_item(id, len(items), call["id"], function["name"], function["arguments"], status))
    return items


def reasoning_item(id: str, place: int, text: str) -> Json:
    """A thought."""
    content = [{"type": "reasoning_text", "text": text}] if text else []
    return {"id": f"rs_{id}_{place}", "type": "reasoning", "summary": [], "content": content}


def message_item(id: str, place: int, text: str, logprobs: Sequence[Json], status: str) -> Json:
    """What was said."""
    return {"id": f"msg_{id}_{place}", "type": "message", "role": "assistant", "status": status,
            "content": [text_part(text, logprobs)]}  # fmt: skip


def call_item(id: str, place: int, call: str, name: str, arguments: str, status: str) -> Json:
    """A call."""
    return {"id": f"fc_{id}_{place}", "type": "function_call", "call_id": call, "name": name,
            "arguments": arguments, "status": status}  # fmt: skip


def text_part(text: str, logprobs: Sequence[Json]) -> Json:
    """Text of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def usage_of(usage: Json) -> Json:
    """Tokens, from those of a chat completion."""
    given, said = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": given, "output_tokens": said, "total_tokens": given + said,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": thought},
    }  # fmt: skip
