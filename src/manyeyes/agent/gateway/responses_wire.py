"""Requests of OpenAI's responses API as records, and what they say in the chat form.

    instructions, input: text | items      message, function_call, function_call_output, reasoning
    tools[name, parameters], tool_choice, text.format

The items between two that are not the assistant's are one assistant turn: a thought, what it said, what it called.

Report: none; the fields are those of the OpenAI API reference.
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
    JsonSchema,
    Named,
    NamedChoice,
    Piece,
    RefusalPiece,
    ResponseFormat,
    Temperature,
    TemplateSwitches,
    TextPiece,
    ToolSpec,
    TopP,
    Url,
)

LOGPROBS = "message.output_text.logprobs"
"""What `include` names when log-probabilities are wanted."""


class Part(Struct, kw_only=True):
    """A part of a message's content, of any type."""

    type: Literal["input_text", "output_text", "text", "input_image", "refusal", "summary_text", "reasoning_text"]
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None


class MessageItem(Struct, kw_only=True, tag="message"):
    """A message."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]


class CallItem(Struct, kw_only=True, tag="function_call"):
    """A call that the assistant made."""

    call_id: str
    name: str
    arguments: str


class OutputItem(Struct, kw_only=True, tag="function_call_output"):
    """What a call returned."""

    call_id: str
    output: str | list[Part]


class ReasoningItem(Struct, kw_only=True, tag="reasoning"):
    """What the assistant thought."""

    content: list[Part] | None = None
    summary: list[Part] | None = None


Item: TypeAlias = MessageItem | CallItem | OutputItem | ReasoningItem


class ResponsesTool(Struct, kw_only=True):
    """A tool that the client runs."""

    type: str
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,128}\Z")] = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedTool(Struct):
    """The function that is to be called."""

    type: Literal["function"]
    name: str


class TextFormat(Struct, kw_only=True):
    """What the text has to be."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "answer"
    schema: dict[str, Any] | None = None


class TextSettings(Struct, kw_only=True):
    """Of the text."""

    format: TextFormat | None = None


class ReasoningSettings(Struct, kw_only=True):
    """How much thought is wanted."""

    effort: str | None = None


class ResponsesRequest(Struct, kw_only=True):
    """`POST responses`."""

    model: str
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    tools: Annotated[list[ResponsesTool], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_output_tokens: Count | None = None
    stream: bool | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    text: TextSettings | None = None
    reasoning: ReasoningSettings | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    conversation: Any = None
    prompt: Any = None


def chat_of(request: ResponsesRequest) -> ChatRequest:
    """The same in the chat form. Raises ApiError."""
    _check(request)
    told = request.reasoning is not None and request.reasoning.effort == "none"
    logprobs = LOGPROBS in (request.include or ()) or bool(request.top_logprobs)
    start = [ChatMessage("system", request.instructions)] if request.instructions else []
    return ChatRequest(
        model=request.model,
        messages=[*start, *_messages(items_of(request.input))],
        max_completion_tokens=request.max_output_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        tools=[_tool(tool) for tool in request.tools] if request.tools else None,
        tool_choice=_choice(request.tool_choice) if request.tools or request.tool_choice != "auto" else None,
        parallel_tool_calls=request.parallel_tool_calls if request.parallel_tool_calls is False else None,
        response_format=_format(request.text),
        logprobs=logprobs or None,
        top_logprobs=request.top_logprobs or None,
        chat_template_kwargs=TemplateSwitches(thinking=False) if told else None,
    )


def _check(request: ResponsesRequest) -> None:
    for name in ("background", "conversation", "prompt", "previous_response_id"):
        if getattr(request, name):
            raise bad(f"{name} is not known here: send the whole conversation as `input`", name)


def items_of(given: str | Sequence[dict[str, Any]]) -> list[Item]:
    """The items of an input. Raises ApiError."""
    if isinstance(given, str):
        return [MessageItem(role="user", content=given)]
    return [_item(item, at) for at, item in enumerate(given)]


def _item(item: dict[str, Any], at: int) -> Item:
    whole = item if "type" in item else {"type": "message"} | item
    try:
        return msgspec.convert(whole, Item)
    except msgspec.ValidationError as error:
        raise bad(f"{error}, at input[{at}]", "input") from None


def _messages(items: Sequence[Item]) -> Iterator[ChatMessage]:
    turn: _Assistant | None = None
    for item in items:
        if isinstance(item, MessageItem) and item.role != "assistant" or isinstance(item, OutputItem):
            if turn is not None:
                yield turn.message()
                turn = None
            yield _given(item)
        elif turn is None or not turn.takes(item):
            if turn is not None:
                yield turn.message()
            turn = _Assistant()
            turn.add(item)
        else:
            turn.add(item)
    if turn is not None:
        yield turn.message()


class _Assistant:
    """Items that are one turn."""

    def __init__(self) -> None:
        self.thought: list[str] | None = None
        self.text: list[str] | None = None
        self.calls: list[Called] = []

    def takes(self, item: Item) -> bool:
        """Whether it may go on with this one: a thought begins a turn, and text stands before its calls."""
        if isinstance(item, ReasoningItem):
            return self.text is None and not self.calls
        return isinstance(item, CallItem) or (self.text is None and not self.calls)

    def add(self, item: Item) -> None:
        match item:
            case ReasoningItem():
                parts = item.content or item.summary or []
                self.thought = [*(self.thought or []), *(part.text or "" for part in parts)]
            case CallItem():
                self.calls.append(Called(item.call_id, CalledFunction(item.name, item.arguments)))
            case MessageItem():
                self.text = [_text(item.content)]

    def message(self) -> ChatMessage:
        thought = "".join(self.thought) if self.thought else None
        return ChatMessage(
            "assistant", "".join(self.text or []), reasoning_content=thought, tool_calls=self.calls or None
        )


def _given(item: Item) -> ChatMessage:
    if isinstance(item, OutputItem):
        return ChatMessage("tool", _content(item.output), tool_call_id=item.call_id)
    assert isinstance(item, MessageItem)
    return ChatMessage(item.role, _content(item.content))


def _content(content: str | Sequence[Part]) -> str | list[Piece]:
    return content if isinstance(content, str) else [_piece(part) for part in content]


def _piece(part: Part) -> Piece:
    if part.type == "input_image":
        if not part.image_url:
            raise bad("a picture needs its image_url, a data URL: this server keeps no files", "input")
        return ImagePiece(Url(part.image_url))
    return RefusalPiece(part.refusal or "") if part.type == "refusal" else TextPiece(part.text or "")


def _text(content: str | Sequence[Part]) -> str:
    return content if isinstance(content, str) else "".join(part.text or part.refusal or "" for part in content)


def _tool(tool: ResponsesTool) -> ToolSpec:
    if tool.type != "function" or not tool.name:
        raise bad(f"tools of type {tool.type[:40]!r} are not known here: only functions that the client runs", "tools")
    return ToolSpec("function", Function(tool.name, tool.description, tool.parameters, tool.strict))


def _choice(choice: str | NamedTool | None) -> Any:
    return NamedChoice("function", Named(choice.name)) if isinstance(choice, NamedTool) else choice


def _format(text: TextSettings | None) -> ResponseFormat | None:
    form = None if text is None else text.format
    if form is None or form.type == "text":
        return None
    schema = JsonSchema(form.name, form.schema) if form.type == "json_schema" else None
    return ResponseFormat(form.type, schema)
