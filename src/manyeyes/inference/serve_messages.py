"""A chat request's messages and tools as those of `core.messages`.

Report: none.
"""

from collections.abc import Iterator, Sequence

from manyeyes.core.messages import Content, ImagePart, Message, Part, TextPart, Tool, ToolCall, VideoPart
from manyeyes.inference.serve_errors import bad
from manyeyes.inference.serve_media import MediaLimits, clip_of, picture_of
from manyeyes.inference.serve_wire import (
    ChatMessage,
    Function,
    ImagePiece,
    Piece,
    RefusalPiece,
    TextPiece,
    ToolSpec,
    Url,
)


def messages_of(messages: Sequence[ChatMessage], limits: MediaLimits) -> list[Message]:
    """The conversation; pictures have a size but no pixels yet.

    Raises:
        ApiError: a part that cannot be used.
        MediaError: a picture or film that cannot be read.
    """
    made = [_message(message, f"messages[{at}]", limits) for at, message in enumerate(messages)]
    limits.refuse_many((part.image for one in made for part in one.parts if isinstance(part, ImagePart)), "messages")
    return made


def texts_of(message: Message) -> Iterator[str]:
    """Everything that is cut into tokens."""
    yield message.reasoning or ""
    yield from (part.text for part in message.parts if isinstance(part, TextPart))
    for call in message.tool_calls:
        yield from (call.id, call.arguments)


def tools_of(specs: Sequence[ToolSpec]) -> list[Tool]:
    """The tools. Raises ApiError when two have one name."""
    names = [spec.function.name for spec in specs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise bad(f"two tools are called {twice}", "tools")
    return [_tool(spec.function) for spec in specs]


def _tool(function: Function) -> Tool:
    return Tool(function.name, function.description or "", function.parameters or {})


def _message(message: ChatMessage, param: str, limits: MediaLimits) -> Message:
    if message.content is None and message.role != "assistant":
        raise bad(f"a message of role {message.role} needs content", f"{param}.content")
    if message.role == "tool" and message.tool_call_id is None:
        raise bad("a tool message needs the tool_call_id that it answers", f"{param}.tool_call_id")
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ())
    content = _content(message.content, f"{param}.content", limits)
    return Message(message.role, content, message.reasoning_content, calls, message.tool_call_id, message.name or None)


def _content(content: str | list[Piece] | None, param: str, limits: MediaLimits) -> Content:
    if content is None or isinstance(content, str):
        return content or ""
    return tuple(_part(piece, f"{param}[{at}]", limits) for at, piece in enumerate(content))


def _part(piece: Piece, param: str, limits: MediaLimits) -> Part:
    if isinstance(piece, TextPiece):
        return TextPart(piece.text)
    if isinstance(piece, RefusalPiece):
        return TextPart(piece.refusal)
    if isinstance(piece, ImagePiece):
        return ImagePart(picture_of(_url(piece.image_url), f"{param}.image_url", limits))
    return VideoPart(clip_of(_url(piece.video_url), f"{param}.video_url", limits))


def _url(value: Url | str) -> str:
    return value if isinstance(value, str) else value.url
