"""Requests of Anthropic's messages API as records, and what they say in OpenAI's chat form.

    system, messages[role: user | assistant]   content blocks: text, image, tool_use, tool_result, thinking
    tools[name, description, input_schema], tool_choice[auto | any | tool | none]

Report: none; the fields are those of the Anthropic API reference.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from manyeyes.inference.serve_errors import bad
from manyeyes.inference.serve_wire import (
    Called,
    CalledFunction,
    ChatMessage,
    ChatRequest,
    Count,
    Function,
    ImagePiece,
    Named,
    NamedChoice,
    Piece,
    StopText,
    TextPiece,
    Thinking,
    ToolSpec,
    TopK,
    TopP,
    Url,
)

UNPARSED = "__unparsed_arguments__"
"""The one field of a `tool_use` input whose arguments were no JSON object; it comes back as the text it was."""


class Base64Source(Struct, tag="base64"):
    """A picture in the request."""

    media_type: str
    data: str


class UrlSource(Struct, tag="url"):
    """A picture by its address; a data URL is taken."""

    url: str


class TextBlock(Struct, tag="text"):
    """Text."""

    text: str


class ImageBlock(Struct, tag="image"):
    """A picture."""

    source: Base64Source | UrlSource


class ToolUseBlock(Struct, tag="tool_use"):
    """A call that the assistant made."""

    id: str
    name: str
    input: dict[str, Any]


class ToolResultBlock(Struct, tag="tool_result"):
    """What a call returned."""

    tool_use_id: str
    content: "str | list[TextBlock | ImageBlock] | None" = None
    is_error: bool | None = None


class ThinkingBlock(Struct, tag="thinking"):
    """What the assistant thought."""

    thinking: str
    signature: str | None = None


class RedactedBlock(Struct, tag="redacted_thinking"):
    """A thought that nobody is to read."""

    data: str | None = None


Block: TypeAlias = TextBlock | ImageBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedBlock


class AnthropicMessage(Struct):
    """A message."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class AnthropicTool(Struct):
    """A tool that the client runs."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,128}\Z")]
    input_schema: dict[str, Any] | None = None
    description: str | None = None
    type: str | None = None


class ToolChoice(Struct):
    """Whether tools are to be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingSwitch(Struct):
    """Whether thoughts are told."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None


class MessagesRequest(Struct, kw_only=True):
    """`POST messages`; `count_tokens` leaves out `max_tokens`."""

    model: str
    messages: Annotated[list[AnthropicMessage], Meta(min_length=1)]
    max_tokens: Count | None = None
    system: str | list[TextBlock] | None = None
    tools: Annotated[list[AnthropicTool], Meta(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    stop_sequences: Annotated[list[StopText], Meta(max_length=4)] | None = None
    temperature: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    stream: bool | None = None
    thinking: ThinkingSwitch | None = None


def chat_of(request: MessagesRequest) -> ChatRequest:
    """The same in OpenAI's chat form. Raises ApiError."""
    choice = request.tool_choice
    single = choice is not None and choice.disable_parallel_tool_use
    return ChatRequest(
        model=request.model,
        messages=[*_system(request.system), *(made for message in request.messages for made in _messages(message))],
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        stop=list(request.stop_sequences) if request.stop_sequences else None,
        tools=[_tool(tool) for tool in request.tools] if request.tools else None,
        tool_choice=_choice(choice) if request.tools or (choice and choice.type != "auto") else None,
        parallel_tool_calls=False if single else None,
        thinking=Thinking("disabled") if request.thinking is not None and request.thinking.type == "disabled" else None,
    )


def _system(system: str | Sequence[TextBlock] | None) -> list[ChatMessage]:
    if not system:
        return []
    text = system if isinstance(system, str) else "\n".join(block.text for block in system)
    return [ChatMessage("system", text)]


def _messages(message: AnthropicMessage) -> Iterator[ChatMessage]:
    if isinstance(message.content, str):
        yield ChatMessage(message.role, message.content)
    elif message.role == "assistant":
        yield _assistant(message.content)
    else:
        yield from _user(message.role, message.content)


def _assistant(blocks: Sequence[Block]) -> ChatMessage:
    text, thoughts, calls = [], [], []
    for block in blocks:
        match block:
            case TextBlock():
                text.append(block.text)
            case ThinkingBlock():
                thoughts.append(block.thinking)
            case ToolUseBlock():
                calls.append(Called(block.id, CalledFunction(block.name, arguments_of(block.input))))
            case RedactedBlock():
                continue
            case _:
                raise bad(f"an assistant message holds no {type(block).__name__}", "messages")
    reasoning = "".join(thoughts) if thoughts else None
    return ChatMessage("assistant", "".join(text), reasoning_content=reasoning, tool_calls=calls or None)


def _user(role: Literal["user", "system"], blocks: Sequence[Block]) -> Iterator[ChatMessage]:
    """Results of calls are messages of their own, in the order in which they stand."""
    pieces: list[Piece] = []
    for block in blocks:
        match block:
            case ToolResultBlock():
                yield from _spoken(role, pieces)
                pieces = []
                yield ChatMessage("tool", _result(block), tool_call_id=block.tool_use_id)
            case TextBlock() | ImageBlock():
                pieces.append(_piece(block))
            case _:
                raise bad(f"a user message holds no {type(block).__name__}", "messages")
    yield from _spoken(role, pieces)


def _spoken(role: Literal["user", "system"], pieces: list[Piece]) -> list[ChatMessage]:
    return [ChatMessage(role, pieces)] if pieces else []


def _result(block: ToolResultBlock) -> str | list[Piece]:
    if block.content is None or isinstance(block.content, str):
        return block.content or ""
    return [_piece(inner) for inner in block.content]


def _piece(block: TextBlock | ImageBlock) -> Piece:
    if isinstance(block, TextBlock):
        return TextPiece(block.text)
    source = block.source
    url = source.url if isinstance(source, UrlSource) else f"data:{source.media_type};base64,{source.data}"
    return ImagePiece(Url(url))


def _tool(tool: AnthropicTool) -> ToolSpec:
    if tool.type not in (None, "custom") or tool.input_schema is None:
        raise bad(f"tool {tool.name}: only tools that the client runs are known here (type custom)", "tools")
    return ToolSpec("function", Function(tool.name, tool.description, tool.input_schema))


def _choice(choice: ToolChoice | None) -> Literal["none", "auto", "required"] | NamedChoice | None:
    if choice is None:
        return None
    if choice.type == "tool":
        if not choice.name:
            raise bad("tool_choice of type tool needs a name", "tool_choice")
        return NamedChoice("function", Named(choice.name))
    return "required" if choice.type == "any" else "none" if choice.type == "none" else "auto"


def arguments_of(given: dict[str, Any]) -> str:
    """The arguments of a call as text."""
    if set(given) == {UNPARSED} and isinstance(given[UNPARSED], str):
        return given[UNPARSED]
    return msgspec.json.encode(given).decode()


def input_of(arguments: str) -> dict[str, Any]:
    """The arguments of a call as an object."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {UNPARSED: arguments}
    return value if isinstance(value, dict) else {UNPARSED: arguments}
