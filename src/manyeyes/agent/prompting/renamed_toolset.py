"""`RenamedToolset`: a toolset shown under other names; calls are translated inwards, errors outwards.

    shown:  {"name": "searchWeb", "arguments": {"searchQuery": "axolotl"}}
    inside: {"name": "search_web", "arguments": {"query": "axolotl"}}

Report: App. D (prompt diversification).
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from manyeyes.agent.toolset import ToolResult, Toolset, unknown_tool
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import TextPart, Tool, ToolCall

TRANSLATED = frozenset({"bad_arguments", "unknown_tool", "timeout", "crash"})
"""Failures that the toolset words itself, with its own names in them; what a tool says of the world stays as it is."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How names are changed.

    Attributes:
        tool: a tool's name into the shown one.
        parameter: a parameter's.
        descriptions: manner of description; see `ToolNaming`.
    """

    tool: Callable[[str], str]
    parameter: Callable[[str], str]
    descriptions: str = "plain"


class RenamedToolset:
    """A toolset under other names; `Toolset`.

    Raises:
        ConfigError: two names become one.
    """

    def __init__(self, inner: Toolset, naming: Naming) -> None:
        self.inner = inner
        self._shown = [Renamed(tool, naming) for tool in inner.tools]
        self._by_name = {one.shown.name: one for one in self._shown}
        if len(self._by_name) != len(self._shown):
            raise ConfigError(
                f"tools {[tool.name for tool in inner.tools]} are not told apart as {list(self._by_name)}"
            )
        tools = {f"`{one.tool.name}`": f"`{one.shown.name}`" for one in self._shown}
        self.tools: tuple[Tool, ...] = tuple(
            replace(one.shown, description=_said(one.shown.description, tools)) for one in self._shown
        )
        self.repeatable = frozenset(one.shown.name for one in self._shown if one.tool.name in inner.repeatable)

    async def open(self) -> None:
        """Open what is inside."""
        await self.inner.open()

    async def close(self) -> None:
        """Close what is inside."""
        await self.inner.close()

    async def call(self, call: ToolCall) -> ToolResult:
        """Make the call under the names that the toolset knows."""
        one = self._by_name.get(call.name)
        if one is None:
            return unknown_tool(call.name, self._by_name)
        inward = one.inward(call)
        return inward if isinstance(inward, ToolResult) else one.outward(await self.inner.call(inward))


class Renamed:
    """One tool and what it is shown as; a parameter whose new name is another's already keeps its own."""

    def __init__(self, tool: Tool, naming: Naming) -> None:
        self.tool = tool
        properties: dict[str, Any] = tool.parameters.get("properties", {})
        names = _told_apart(properties, naming.parameter)
        self.inside = {shown: name for name, shown in names.items()}
        self._words = {tool.name: naming.tool(tool.name), **_quoted(names), **_placed(names)}
        self.shown = Tool(
            naming.tool(tool.name),
            _described(_said(tool.description, _quoted(names)), tool.parameters, names, naming.descriptions),
            _schema(tool.parameters, names, naming.descriptions),
        )

    def inward(self, call: ToolCall) -> ToolCall | ToolResult:
        """The call as the toolset knows it, or why it is none; what is no JSON object is left to the toolset."""
        try:
            given = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            return replace(call, name=self.tool.name)
        if unknown := [name for name in given if not self._takes(name)]:
            return ToolResult.failed(
                "bad_arguments",
                f"the arguments of {call.name} are wrong: "
                f"expected some of {', '.join(self.inside) or 'none'}, got {', '.join(unknown)}",
            )
        arguments = {self.inside.get(name, name): value for name, value in given.items()}
        return replace(call, name=self.tool.name, arguments=json.dumps(arguments, ensure_ascii=False))

    def outward(self, result: ToolResult) -> ToolResult:
        """A failure in the words that are shown."""
        if result.failure not in TRANSLATED:
            return result
        words = self._words if result.failure == "bad_arguments" else {self.tool.name: self.shown.name}
        parts = tuple(
            TextPart(_said(part.text, words)) if isinstance(part, TextPart) else part for part in result.parts
        )
        return replace(result, parts=parts)

    def _takes(self, name: str) -> bool:
        open_ended = self.tool.parameters.get("additionalProperties", False) is not False
        return name in self.inside or (open_ended and name not in self.inside.values())


def _said(text: str, words: Mapping[str, str]) -> str:
    """The text with each of these words, where it stands alone, in place of the other, all at once."""
    if not words:
        return text
    found = re.compile("|".join(rf"(?<![\w-]){re.escape(word)}(?![\w-])" for word in words))
    return found.sub(lambda match: words[match[0]], text)


def _told_apart(names: Iterable[str], rename: Callable[[str], str]) -> dict[str, str]:
    taken, shown = set(names), dict[str, str]()
    for name in names:
        new = rename(name)
        shown[name] = name if new in taken else new
        taken.add(shown[name])
    return shown


def _placed(names: Mapping[str, str]) -> dict[str, str]:
    """As errors tell places: `$.name`."""
    return {f"$.{name}": f"$.{shown}" for name, shown in names.items()}


def _quoted(names: Mapping[str, str]) -> dict[str, str]:
    return {f"`{name}`": f"`{shown}`" for name, shown in names.items()}


def _schema(schema: Mapping[str, Any], names: Mapping[str, str], manner: str) -> dict[str, Any]:
    properties = {names[name]: _titled(one, names[name], manner) for name, one in schema.get("properties", {}).items()}
    if manner == "alphabetical":
        properties = dict(sorted(properties.items()))
    required: Sequence[str] = schema.get("required", ())
    shown = {**schema, "properties": properties}
    return shown | ({"required": [names.get(name, name) for name in required]} if "required" in schema else {})


def _titled(schema: Any, name: str, manner: str) -> Any:
    if manner != "titled" or not isinstance(schema, dict):
        return schema
    return {"title": re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]", " ", name).capitalize(), **schema}


def _described(text: str, schema: Mapping[str, Any], names: Mapping[str, str], manner: str) -> str:
    if manner != "listed" or not names:
        return text
    required = schema.get("required", ())
    lines = [_line(names[name], one, name in required) for name, one in schema["properties"].items()]
    return "\n".join([text, "", "Parameters:", *lines]).strip()


def _line(name: str, schema: Any, required: bool) -> str:
    said = schema.get("description", "") if isinstance(schema, dict) else ""
    return f"- {name} ({'required' if required else 'optional'}){f': {said}' if said else ''}"
