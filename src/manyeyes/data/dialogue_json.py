"""One conversation as a line of JSON in the OpenAI chat format, read into dialogues and written back.

    {"messages": [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "4"}]}

Beside `messages` a line may have `tools`, and `thinking` (true where an assistant has `reasoning_content` and nothing
is said). Calls are renamed as K2.5 names them, functions.zoom:0 and on: the model writes these names itself, so nobody
else's random ids are to be learned. Pictures are files below a folder, named by relative path. A thinking conversation
becomes one dialogue for each of its turns that has reasoning, because the template shows the reasoning of the last
turn only; an instant one is a dialogue as a whole. A thought that stands in the text between <think> and </think> is
taken for reasoning.

Report: §4.4.1.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from manyeyes.core.conversation import check
from manyeyes.core.errors import DataError
from manyeyes.core.messages import ImagePart, Message, Part, TextPart, Tool, ToolCall
from manyeyes.core.picture import Picture
from manyeyes.core.tool_declaration import declaration
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.dialogue_form import Call, ImagePiece, Said, TextPiece, decoded
from manyeyes.data.dialogue_thoughts import BEGIN, END, has_marks, told_apart

_ENCODE = msgspec.json.Encoder().encode


def read_line(line: bytes | str, name: str, *, folder: Path | None = None) -> tuple[Dialogue, ...]:
    """The dialogues of one line.

    Args:
        name: of the conversation; that of a turn gets its number.
        folder: that pictures lie in or below; None refuses pictures.

    Raises:
        ManyeyesError: what is wrong with it, in one line.

    Example:
        >>> said = '{"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}'
        >>> (dialogue,) = read_line(said, "mine/1")
        >>> dialogue.thinking, dialogue.messages[-1].text
        (False, '4')
    """
    given = decoded(line)
    tools = tuple(Tool(t.function.name, t.function.description, t.function.parameters) for t in given.tools or ())
    messages = _messages(given.messages, folder)
    _require_sense(messages, tools)
    thinking = any(m.reasoning is not None for m in messages) if given.thinking is None else given.thinking
    if not thinking:
        _require_instant(messages)
        return (Dialogue(name, messages, tools),)
    ends = _thinking_turns(messages)
    if not ends:
        raise DataError("it is a thinking conversation, but no turn has reasoning in all of its assistant messages")
    return tuple(Dialogue(f"{name}.{turn}", messages[:end], tools, thinking=True) for turn, end in enumerate(ends))


def line_of(dialogue: Dialogue, **more: Any) -> bytes:
    """The dialogue as one line without its newline; `read_line` reads the same messages back.

    Args:
        more: further fields, such as where it comes from.

    Raises:
        DataError: it has pictures or clips, which have no file.
    """
    line: dict[str, Any] = {"messages": [_written(message, dialogue.name) for message in dialogue.messages]}
    if dialogue.tools:
        line["tools"] = [declaration(tool) for tool in dialogue.tools]
    return _ENCODE(line | {"thinking": dialogue.thinking} | more)


def _messages(said: Sequence[Said], folder: Path | None) -> tuple[Message, ...]:
    """Messages with calls renamed and numbered; results follow their calls."""
    renamed: dict[str, str] = {}
    made = 0
    messages: list[Message] = []
    for at, one in enumerate(said):
        _refuse_lost(one, at)
        calls = [_call(call, f"messages[{at}]", index=made + i) for i, call in enumerate(one.tool_calls or ())]
        renamed |= {call.id: ours.id for call, ours in zip(one.tool_calls or (), calls, strict=True) if call.id}
        made += len(calls)
        answered = None if one.tool_call_id is None else renamed.get(one.tool_call_id, one.tool_call_id)
        content = _content(one.content, f"messages[{at}]", folder)
        message = Message(one.role, content, one.thought, tuple(calls), answered, one.name)
        messages.append(_told_apart(message, at) if one.role == "assistant" else message)
    return tuple(messages)


def _told_apart(message: Message, at: int) -> Message:
    """With its thought as reasoning. Raises DataError for a mark that would be learned as text."""
    if has_marks(message := told_apart(message)):
        raise DataError(
            f"messages[{at}] has {BEGIN} or {END} in what it says; write a thought as reasoning_content, without marks"
        )
    return message


def _refuse_lost(one: Said, at: int) -> None:
    if one.function_call is not None:
        raise DataError(f"messages[{at}].function_call is the old form of a call; write it as tool_calls")
    if one.weight != 1.0:
        raise DataError(
            f"messages[{at}].weight is {one.weight:g}; all answers of a dialogue are learned, so leave it out"
        )


def _call(call: Call, where: str, *, index: int) -> ToolCall:
    name, given = call.function.name, call.function.arguments
    if isinstance(given, dict):
        return ToolCall.of(name, given, index=index)
    try:
        value = json.loads(given)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(f"{where}: the arguments of {name} are no JSON object: {given[:80]!r}")
    return ToolCall(f"functions.{name}:{index}", name, given)


def _content(
    content: str | list[TextPiece | ImagePiece] | None, where: str, folder: Path | None
) -> str | tuple[Part, ...]:
    if content is None or isinstance(content, str):
        return content or ""
    if all(isinstance(piece, TextPiece) for piece in content):
        return "".join(piece.text for piece in content if isinstance(piece, TextPiece))
    return tuple(
        TextPart(piece.text) if isinstance(piece, TextPiece) else ImagePart(_picture(piece, where, folder))
        for piece in content
    )


def _picture(piece: ImagePiece, where: str, folder: Path | None) -> Picture:
    """A file in or below the folder, whatever links there are. Reads its header only."""
    url = piece.image_url if isinstance(piece.image_url, str) else piece.image_url.url
    if folder is None or ":" in url or "\0" in url:
        raise DataError(
            f"{where}: {url[:80]!r} is no picture beside the file; save it there and name it by relative path"
        )
    inside = folder.resolve()
    try:
        path = (folder / url).resolve()
    except RuntimeError:  # links that lead to each other
        path = Path("/")
    if Path(url).is_absolute() or not path.is_relative_to(inside):
        raise DataError(f"{where}: {url[:80]!r} leads out of {inside}; pictures lie in or below the file's folder")
    return Picture.open(path)


def _require_sense(messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> None:
    """Raises ManyeyesError for a conversation that cannot be learned from."""
    check(messages)
    if messages[-1].role != "assistant":
        raise DataError(f"it ends with a message of role {messages[-1].role}; the last one must be an assistant's")
    known = {tool.name for tool in tools}
    open_calls: list[str] = []
    for at, message in enumerate(messages):
        if message.role == "tool":
            open_calls = [call for call in open_calls if call != message.tool_call_id]
        elif open_calls:
            raise DataError(f"messages[{at}] comes before the result of {', '.join(open_calls)}")
        open_calls += [call.id for call in message.tool_calls]
        if unknown := [call.name for call in message.tool_calls if call.name not in known]:
            raise DataError(f"messages[{at}] calls {', '.join(unknown)}, but tools declares {sorted(known) or 'none'}")


def _require_instant(messages: tuple[Message, ...]) -> None:
    """Raises DataError where reasoning would be lost without a word."""
    for at, message in enumerate(messages):
        if message.reasoning:
            raise DataError(
                f"thinking is false, but messages[{at}] has reasoning, which an instant conversation does not show; "
                "leave out one of the two"
            )


def _thinking_turns(messages: tuple[Message, ...]) -> list[int]:
    """Where turns end whose assistant messages all have reasoning."""
    ends: list[int] = []
    start = 0
    for at, message in enumerate(messages):
        last = at + 1 == len(messages)
        if message.role != "assistant" or (message.tool_calls and not last):
            continue
        if all(m.reasoning is not None for m in messages[start : at + 1] if m.role == "assistant"):
            ends.append(at + 1)
        start = at + 1
    return ends


def _written(message: Message, name: str) -> dict[str, Any]:
    if message.media:
        raise DataError(f"{name}: pictures and clips have no file to be named by, so they cannot be written as JSON")
    written: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.reasoning is not None:
        written["reasoning_content"] = message.reasoning
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    optional = {"tool_call_id": message.tool_call_id, "name": message.name}
    return written | {key: value for key, value in optional.items() if value is not None}
