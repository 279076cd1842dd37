"""Messages of a conversation: roles, text, pictures and clips, reasoning, tool calls and their results.

Plain records without behaviour: `core.chat` turns them into token ids and back, `core.conversation` says which
sequences of them make sense.

Report: §4.2 (one sequence of text and vision tokens), App. D (tool use).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from manyeyes.core.media import Clip, Picture

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextPart:
    """A stretch of text."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture that stands here."""

    image: Picture


@dataclass(frozen=True, slots=True)
class VideoPart:
    """A clip that stands here; it becomes chunks of at most four frames with a timestamp each."""

    video: Clip


Part: TypeAlias = TextPart | ImagePart | VideoPart
Content: TypeAlias = str | tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the assistant made. `arguments` is kept as written, so that it renders to the same tokens again.

    Example:
        >>> ToolCall.of("zoom", {"x": 0.5}, index=2)
        ToolCall(id='functions.zoom:2', name='zoom', arguments='{"x": 0.5}')
    """

    id: str
    name: str
    arguments: str

    @classmethod
    def of(cls, name: str, arguments: Mapping[str, Any], *, index: int) -> "ToolCall":
        """The call number `index` of a conversation (counted from 0 over all its turns), named as K2.5 names calls."""
        return cls(f"functions.{name}:{index}", name, json.dumps(arguments, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the assistant may call.

    Attributes:
        name: what calls it.
        description: what it does; "" if there is nothing to say.
        parameters: JSON schema of its arguments, of type object.
    """

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        role: who speaks.
        content: text, or text and media in order.
        reasoning: assistant only. None: unknown or none was made; "": thought was opened and closed at once.
        tool_calls: assistant only, after the content.
        tool_call_id: role "tool" only: which call this answers.
        name: shown to the model instead of the role.

    Example:
        >>> Message("user", (TextPart("two"), TextPart(" parts"))).text
        'two parts'
    """

    role: Role
    content: Content
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts."""
        return (TextPart(self.content),) if isinstance(self.content, str) else self.content

    @property
    def text(self) -> str:
        """The content without its media."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def media(self) -> tuple[Picture | Clip, ...]:
        """The pictures and clips of the content, in order."""
        shown = (part for part in self.parts if not isinstance(part, TextPart))
        return tuple(part.image if isinstance(part, ImagePart) else part.video for part in shown)


def part_of(piece: str | Picture | Clip | Part) -> Part:
    """The part for a piece of text, a picture or a clip; parts stay as they are."""
    match piece:
        case str():
            return TextPart(piece)
        case Picture():
            return ImagePart(piece)
        case Clip():
            return VideoPart(piece)
        case _:
            return piece


def user(*pieces: str | Picture | Clip | Part) -> Message:
    """A user message of pieces in order.

    Example:
        >>> user("Hi").content
        'Hi'
    """
    return Message("user", _content(pieces))


def system(text: str) -> Message:
    """A system message."""
    return Message("system", text)


def assistant(text: str = "", *, reasoning: str | None = None, calls: tuple[ToolCall, ...] = ()) -> Message:
    """An assistant message."""
    return Message("assistant", text, reasoning=reasoning, tool_calls=calls)


def tool_result(call: ToolCall, *pieces: str | Picture | Clip | Part) -> Message:
    """What a call returned."""
    return Message("tool", _content(pieces), tool_call_id=call.id)


def _content(pieces: tuple[str | Picture | Clip | Part, ...]) -> Content:
    if not pieces:
        return ""
    if len(pieces) == 1 and isinstance(pieces[0], str):
        return pieces[0]
    return tuple(part_of(piece) for piece in pieces)
