"""`Toolset`: what an agent can do, from typed Python functions; opened before the first step and closed after the last.

    async def search(queries: list[str], top: int = 5) -> str:
        \"""Search the web with several queries at once.
        ...

becomes a declaration whose schema follows from the signature and the docstring's `Args:`. A call never raises into the
loop: wrong arguments, a crash and a timeout come back as values (`ToolResult.error`) that the model can read.

Report: App. D (toolset), App. E.6.
"""

import asyncio
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from manyeyes.core.media import Clip, Picture
from manyeyes.core.messages import ImagePart, Part, TextPart, Tool, ToolCall, VideoPart, part_of

Failure = Literal["", "unknown_tool", "bad_arguments", "crash", "timeout", "refused", "interrupted"]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call gave: parts for the model, and for the run what it left behind.

    Attributes:
        parts: text and media.
        failure: why there is no result; "" when there is one. The parts then say what to do.
        data: more for the journal and the pages (links, rows, files); plain JSON.
        steps: environment interactions that the call counts as.
    """

    parts: tuple[Part, ...]
    failure: Failure = ""
    data: dict[str, Any] = field(default_factory=dict)
    steps: int = 1

    @classmethod
    def of(cls, *pieces: Any, **data: Any) -> "ToolResult":
        """A good result."""
        return cls(tuple(part_of(piece) for piece in pieces), data=data)

    @classmethod
    def failed(cls, failure: Failure, why: str) -> "ToolResult":
        """No result, and why."""
        return cls((TextPart(f"Error: {why}"),), failure)

    @property
    def text(self) -> str:
        """Without media."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


OVER_STEPS = ToolResult((TextPart("Error: your step limit is reached; this call was not made"),), "refused", steps=0)
"""What answers a call beyond the cap; it names no number, so that a journal need not keep one to say the same again."""


@dataclass(frozen=True, slots=True)
class Function:
    """One tool: its declaration, the function, and how long it may take."""

    tool: Tool
    call: Callable[..., Awaitable[Any]]
    arguments: type[msgspec.Struct]
    seconds: float
    repeatable: bool


class Toolset(Protocol):
    """Tools with a life: `open` before the first step, `close` after the last, whatever happened."""

    @property
    def tools(self) -> Sequence[Tool]:
        """Declarations; the same object on every call."""
        ...

    @property
    def repeatable(self) -> frozenset[str]:
        """Tools that may be called again when nobody knows whether the first call took effect."""
        ...

    async def open(self) -> None:
        """Get ready."""
        ...

    async def close(self) -> None:
        """Let go of everything; must not raise, and must work after a failed `open`."""
        ...

    async def call(self, call: ToolCall) -> ToolResult:
        """Make one call; several may run at once."""
        ...


class Functions:
    """A toolset of functions.

    Args:
        functions: async functions with typed, documented arguments; `tool` sets a name or a time limit.
        seconds: time limit of each call that sets none.
    """

    def __init__(self, functions: Iterable[Callable[..., Awaitable[Any]]], *, seconds: float = 120.0) -> None:
        made = [_function(one, seconds) for one in functions]
        self._functions = {function.tool.name: function for function in made}
        if len(self._functions) != len(made):
            raise ValueError(f"tools need different names, got {[function.tool.name for function in made]}")
        self.tools: tuple[Tool, ...] = tuple(function.tool for function in made)
        self.repeatable = frozenset(function.tool.name for function in made if function.repeatable)

    async def open(self) -> None:
        """Nothing to get ready."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def call(self, call: ToolCall) -> ToolResult:
        """Make one call; see the module for what comes back."""
        function = self._functions.get(call.name)
        if function is None:
            return unknown_tool(call.name, self._functions)
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=function.arguments)
        except msgspec.DecodeError as error:
            return ToolResult.failed("bad_arguments", f"the arguments of {call.name} are wrong: {error}")
        given = {name: getattr(arguments, name) for name in arguments.__struct_fields__}
        try:
            async with asyncio.timeout(function.seconds):
                return _result_of(call.name, await function.call(**given))
        except TimeoutError:
            return ToolResult.failed("timeout", f"{call.name} took longer than {function.seconds:g} s")
        except Exception as error:  # the one boundary: whatever a tool does, its agent goes on
            return ToolResult.failed("crash", f"{call.name} failed: {type(error).__name__}: {error}")


class Together:
    """Several toolsets as one; names must differ."""

    def __init__(self, *toolsets: Toolset) -> None:
        self.toolsets = toolsets
        self.tools: tuple[Tool, ...] = tuple(tool for toolset in toolsets for tool in toolset.tools)
        self.repeatable: frozenset[str] = frozenset().union(*(toolset.repeatable for toolset in toolsets))
        self._owner = {tool.name: toolset for toolset in toolsets for tool in toolset.tools}
        if len(self._owner) != len(self.tools):
            raise ValueError(f"tools need different names, got {[tool.name for tool in self.tools]}")

    async def open(self) -> None:
        """Open all; if one cannot be opened, those that were are closed."""
        for toolset in self.toolsets:
            await toolset.open()

    async def close(self) -> None:
        """Close all."""
        await asyncio.gather(*(toolset.close() for toolset in self.toolsets), return_exceptions=True)

    async def call(self, call: ToolCall) -> ToolResult:
        """Pass the call to its owner."""
        owner = self._owner.get(call.name)
        return unknown_tool(call.name, self._owner) if owner is None else await owner.call(call)


def _result_of(name: str, returned: Any) -> ToolResult:
    """What a function returned, as the model can read it: text and media as they are, other values as JSON."""
    match returned:
        case ToolResult():
            return returned
        case None:
            return ToolResult.of("done")
        case str() | Picture() | Clip() | TextPart() | ImagePart() | VideoPart():
            return ToolResult.of(returned)
        case bytes() | bytearray() | memoryview():
            return ToolResult.failed("refused", f"{name} gave bytes, which nobody can read; it must give text or media")
        case _:
            return ToolResult.of(msgspec.json.encode(returned).decode())


def unknown_tool(name: str, known: Iterable[str]) -> ToolResult:
    """What a call of a tool that is not there gives."""
    return ToolResult.failed("unknown_tool", f"there is no tool {name!r}; there are {', '.join(sorted(known))}")


def tool(
    *, name: str = "", seconds: float | None = None, repeatable: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Sets a tool's name or time limit, or says that calling it twice does no harm.

    Example:
        >>> @tool(name="wait", seconds=5.0)
        ... async def wait_a_moment(): ...
        >>> Functions([wait_a_moment]).tools[0].name
        'wait'
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__tool__ = (name, seconds, repeatable)  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return mark


def _function(function: Callable[..., Awaitable[Any]], seconds: float) -> Function:
    name, limit, repeatable = getattr(function, "__tool__", ("", None, False))
    name = name or getattr(function, "__name__", "tool")
    description, documented = _documentation(inspect.getdoc(function) or "")
    hints = typing.get_type_hints(function)
    fields, properties, required = [], {}, []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{name}: a tool's parameters have names; {parameter} has none")
        if parameter.name not in hints:
            raise TypeError(f"{name}: parameter {parameter.name} has no type")
        kind = hints[parameter.name]
        if parameter.default is parameter.empty:
            fields.append((parameter.name, kind))
            required.append(parameter.name)
        else:
            fields.append((parameter.name, kind, parameter.default))
        schema = _plain_schema(msgspec.json.schema(kind))
        if parameter.name in documented:
            schema["description"] = documented[parameter.name]
        properties[parameter.name] = schema
    parameters = {"type": "object", "properties": properties, "required": required}
    arguments = msgspec.defstruct(f"{name}_arguments", fields, kw_only=True, forbid_unknown_fields=True)
    return Function(Tool(name, description, parameters), function, arguments, limit or seconds, repeatable)


def _plain_schema(schema: dict[str, Any]) -> dict[str, Any]:
    schema.pop("title", None)
    return schema


def _documentation(text: str) -> tuple[str, dict[str, str]]:
    """The description, and what `Args:` says of each parameter."""
    head, _, rest = text.partition("\nArgs:\n")
    section = re.split(r"\n\S", rest, maxsplit=1)[0]
    found = re.findall(r"^ +(\w+): (.*(?:\n {6,}.*)*)", section, re.MULTILINE)
    return head.strip(), {name: " ".join(said.split()) for name, said in found}
