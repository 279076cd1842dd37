"""The form of a line: a conversation in the OpenAI chat format, as typed structs, and what a field may not be called.

    {"messages": [...], "tools": [...], "thinking": true, "source": "anything else is left alone"}

A field with a name that is nearly one of these, or the name that another format has for it, would be left alone too,
and what it says would be lost without a word: `{"tool": [...]}` is a conversation without tools. Such names are
refused, with the right one.

Report: §4.4.1.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal

import msgspec
from msgspec import Struct

from manyeyes.core.errors import DataError


class TextPiece(Struct, tag="text"):
    """A stretch of text."""

    text: str


class Url(Struct):
    """Where a picture is: a path, relative to the folder of the file."""

    url: str


class ImagePiece(Struct, tag="image_url"):
    """A picture."""

    image_url: Url | str


class NamedFunction(Struct):
    """What is called, and with what: JSON text, or the object itself."""

    name: str
    arguments: str | dict[str, Any] = "{}"


class Call(Struct):
    """A call of an assistant."""

    function: NamedFunction
    id: str = ""
    type: Literal["function"] = "function"


class Said(Struct):
    """One message; fields that mean something else than nothing are refused where they cannot be kept."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPiece | ImagePiece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    function_call: Any = None
    weight: float = 1.0

    @property
    def thought(self) -> str | None:
        """Its reasoning, under either name."""
        return self.reasoning if self.reasoning_content is None else self.reasoning_content


class Described(Struct):
    """A function as it is declared."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


class Declared(Struct):
    """A tool."""

    function: Described
    type: Literal["function"] = "function"


class Line(Struct):
    """One conversation."""

    messages: list[Said]
    tools: list[Declared] | None = None
    thinking: bool | None = None


ALIKE = 0.8
"""How alike two names are (`difflib`) from which on one is taken for the other."""
ELSEWHERE: Mapping[type[Struct], Mapping[str, str]] = {
    Line: {"functions": "tools", "conversations": "messages", "dialogue": "messages", "enable_thinking": "thinking"},
    Said: {
        "thinking": "reasoning_content", "thought": "reasoning_content", "function_calls": "tool_calls",
        "from": "role", "value": "content", "text": "content",
    },
    Call: {"name": "function.name", "arguments": "function.arguments"},
    NamedFunction: {"args": "arguments", "input": "arguments"},
    Declared: {"parameters": "function.parameters"},
    Described: {"input_schema": "parameters", "arguments": "parameters"},
}  # fmt: skip
"""What other formats call a field."""
_DECODER = msgspec.json.Decoder(Line)


def decoded(line: bytes | str) -> Line:
    """A line in this form.

    Raises:
        DataError: it is none, or a field has nearly the name of one of these.

    Example:
        >>> decoded('{"messages": [{"role": "user", "contents": "Hi"}]}')
        Traceback (most recent call last):
        manyeyes.core.errors.DataError: messages[0] has a field 'contents'; write it as 'content', or leave it out
    """
    try:
        raw = msgspec.json.decode(line)
        for fault in _misnamed(raw):
            raise DataError(fault)
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{error}") from None


def _misnamed(line: Any) -> Iterator[str]:
    """Faults of names, in the order of a line; what has no right form at all is the decoder's."""
    yield from _faults(line, Line, "the line")
    for at, said in enumerate(_items(line, "messages")):
        yield from _faults(said, Said, f"messages[{at}]")
        for call in _items(said, "tool_calls"):
            yield from _faults(call, Call, f"messages[{at}].tool_calls")
            yield from _faults(_field(call, "function"), NamedFunction, f"messages[{at}].tool_calls.function")
    for at, tool in enumerate(_items(line, "tools")):
        yield from _faults(tool, Declared, f"tools[{at}]")
        yield from _faults(_field(tool, "function"), Described, f"tools[{at}].function")


def _faults(raw: Any, form: type[Struct], where: str) -> Iterator[str]:
    known, elsewhere = form.__struct_fields__, ELSEWHERE[form]
    for name in raw if isinstance(raw, dict) else ():
        if name not in known and raw[name] is not None and (meant := elsewhere.get(name) or _meant(name, known)):
            yield f"{where} has a field {name!r}; write it as {meant!r}, or leave it out"


def _meant(name: str, known: Iterable[str]) -> str:
    plain = name.lower().replace("-", "_")
    return next(iter(get_close_matches(plain, known, n=1, cutoff=ALIKE)), "")


def _field(raw: Any, name: str) -> Any:
    return raw.get(name) if isinstance(raw, dict) else None


def _items(raw: Any, name: str) -> list[Any]:
    found = _field(raw, name)
    return found if isinstance(found, list) else []
