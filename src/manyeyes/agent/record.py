"""Messages, results and outcomes as plain JSON in a journal, and back; media lie beside it as blobs.

Report: App. D.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from manyeyes.agent.task import Outcome
from manyeyes.agent.toolset import ToolResult
from manyeyes.agent.wire import data_url
from manyeyes.core.media import Clip, Picture
from manyeyes.core.messages import ImagePart, Message, Part, TextPart, ToolCall, VideoPart

Keep = Callable[[bytes], str]
Fetch = Callable[[str], bytes]


def plain_of(message: Message, keep: Keep) -> dict[str, Any]:
    """A message as JSON; `keep` stores the bytes of a picture and returns their name."""
    plain: dict[str, Any] = {"role": message.role}
    plain["content"] = message.content if isinstance(message.content, str) else parts_of(message.content, keep)
    if message.reasoning is not None:
        plain["reasoning"] = message.reasoning
    if message.tool_calls:
        plain["calls"] = [[call.id, call.name, call.arguments] for call in message.tool_calls]
    if message.tool_call_id is not None:
        plain["answers"] = message.tool_call_id
    if message.name is not None:
        plain["name"] = message.name
    return plain


def message_of(plain: dict[str, Any], fetch: Fetch) -> Message:
    """The message that `plain_of` wrote."""
    content = plain["content"]
    return Message(
        plain["role"],
        content if isinstance(content, str) else parts_from(content, fetch),
        reasoning=plain.get("reasoning"),
        tool_calls=tuple(ToolCall(*call) for call in plain.get("calls", ())),
        tool_call_id=plain.get("answers"),
        name=plain.get("name"),
    )


def parts_of(parts: Sequence[Part], keep: Keep) -> list[Any]:
    """Parts as JSON: a text as itself, a picture as the name of its blob, a clip as names and a rate."""
    return [_part(part, keep) for part in parts]


def parts_from(plain: Sequence[Any], fetch: Fetch) -> tuple[Part, ...]:
    """The parts that `parts_of` wrote."""
    return tuple(_part_from(one, fetch) for one in plain)


def _part(part: Part, keep: Keep) -> Any:
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, ImagePart):
        return {"image": keep(_bytes_of(part.image))}
    return {"video": [keep(_bytes_of(frame)) for frame in part.video.frames], "fps": part.video.fps}


def _part_from(plain: Any, fetch: Fetch) -> Part:
    if isinstance(plain, str):
        return TextPart(plain)
    if "image" in plain:
        return ImagePart(Picture.from_bytes(fetch(plain["image"])))
    frames = tuple(Picture.from_bytes(fetch(name)) for name in plain["video"])
    return VideoPart(Clip(frames, plain["fps"]))


def _bytes_of(picture: Picture) -> bytes:
    return base64.b64decode(data_url(picture).partition(",")[2])


def plain_result(result: ToolResult, keep: Keep) -> dict[str, Any]:
    """A tool's result as JSON."""
    return {
        "parts": parts_of(result.parts, keep), "failure": result.failure, "data": result.data, "steps": result.steps
    }  # fmt: skip


def result_from(plain: dict[str, Any], fetch: Fetch) -> ToolResult:
    """The result that `plain_result` wrote."""
    return ToolResult(parts_from(plain["parts"], fetch), plain["failure"], plain["data"], plain["steps"])


def tool_message(call: str, result: ToolResult) -> Message:
    """What the model reads of a result; a lone text stands as a plain string, which every endpoint takes."""
    plain = len(result.parts) == 1 and isinstance(result.parts[0], TextPart)
    return Message("tool", result.text if plain or not result.parts else result.parts, tool_call_id=call)


def plain_outcome(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON."""
    return asdict(outcome)


def outcome_from(plain: dict[str, Any]) -> Outcome:
    """The outcome that `plain_outcome` wrote."""
    return msgspec.convert(plain, Outcome)
