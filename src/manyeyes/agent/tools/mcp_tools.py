"""`McpTools`: the tools of MCP servers as a toolset; `McpServers`: their connections, one each for a whole run.

    servers = McpServers(read_servers(file, environment)); await servers.open()
    beside(servers, web_tools(…))                                 for every agent; servers.close() at the end

A tool keeps its name; when another tool has it already, the server's name is put in front. Schemas are passed on as
they are. What a server does wrong comes back as a value: an error, silence, a crash, an answer that nobody can read.

Report: App. D (toolset).
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from manyeyes.agent.tools.foreign_picture import foreign_picture
from manyeyes.agent.tools.mcp_config import McpServer
from manyeyes.agent.tools.mcp_server import McpConnection, McpError
from manyeyes.agent.toolset import Together, ToolResult, Toolset, unknown_tool
from manyeyes.core.errors import ConfigError
from manyeyes.core.media import MediaError
from manyeyes.core.messages import ImagePart, Part, TextPart, Tool, ToolCall

MOST_TEXT = 100_000
"""Characters of an answer."""
MOST_PICTURES = 16
MOST_PICTURE_BYTES = 20 * 2**20
LONGEST_NAME = 64
"""Of a tool, as endpoints take it."""


class McpServers:
    """The servers of a run.

    Args:
        servers: with different names.

    Raises:
        ConfigError: two have the same name.
    """

    def __init__(self, servers: Sequence[McpServer]) -> None:
        names = [server.name for server in servers]
        if len(set(names)) != len(names):
            raise ConfigError(f"MCP servers need different names, got {', '.join(names)}")
        self.connections = {server.name: McpConnection(server) for server in servers}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is never to be written."""
        return tuple(secret for one in self.connections.values() for secret in one.server.secrets)

    async def open(self) -> None:
        """Start or reach all of them at once.

        Raises:
            ConfigError: one cannot be used; the others are closed.
        """
        found = await asyncio.gather(*(one.open() for one in self.connections.values()), return_exceptions=True)
        failed = [error for error in found if isinstance(error, BaseException)]
        if failed:
            await self.close()
            raise failed[0]

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(one.close() for one in self.connections.values()), return_exceptions=True)


def beside(servers: McpServers, toolset: Toolset, taken: Iterable[str] = ()) -> Together:
    """A toolset and the tools of the servers as one, whose names do not clash.

    Args:
        servers: opened.
        toolset: of one agent; its tools keep their names.
        taken: more names that servers may not have.
    """
    return Together(toolset, McpTools(servers, (*taken, *(tool.name for tool in toolset.tools))))


class McpTools:
    """The tools of the servers, for any number of agents.

    Args:
        servers: opened.
        taken: names that other tools have.
    """

    def __init__(self, servers: McpServers, taken: Iterable[str] = ()) -> None:
        used = set(taken)
        self._tools: dict[str, tuple[McpConnection, Any]] = {}
        for connection in servers.connections.values():
            for one in connection.tools:
                name = _free_name(one.name, connection.server.name, used)
                used.add(name)
                self._tools[name] = (connection, one)
        self.tools: tuple[Tool, ...] = tuple(_declared(name, one) for name, (_, one) in self._tools.items())
        self.repeatable = frozenset(name for name, (_, one) in self._tools.items() if _harmless(one))

    async def open(self) -> None:
        """Nothing to get ready: the servers are open."""

    async def close(self) -> None:
        """Nothing to let go of: the servers belong to the run."""

    async def call(self, call: ToolCall) -> ToolResult:
        """Make one call."""
        if call.name not in self._tools:
            return unknown_tool(call.name, self._tools)
        connection, one = self._tools[call.name]
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
        except msgspec.DecodeError as error:
            return ToolResult.failed("bad_arguments", f"the arguments of {call.name} are wrong: {error}")
        try:
            return await asyncio.to_thread(_result_of, await connection.call(one.name, arguments))
        except McpError as error:
            return ToolResult.failed("timeout" if error.timeout else "crash", str(error))
        except Exception as error:  # the boundary: an answer outside the protocol is the server's fault, not the run's
            return ToolResult.failed(
                "crash", f"{call.name} gave no valid answer: {type(error).__name__}: {error}"[:2_000]
            )


def _free_name(name: str, server: str, used: set[str]) -> str:
    """The tool's name, the server's in front if it must be, and a number if it still must be."""
    plain = _as_name(name)
    candidates = [plain, _as_name(f"{server}_{name}")]
    candidates += [f"{candidates[1][: LONGEST_NAME - 4]}_{number}" for number in range(2, 1_000)]
    return next(candidate for candidate in candidates if candidate not in used)


def _as_name(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]", "_", text)[:LONGEST_NAME] or "tool"


def _declared(name: str, one: Any) -> Tool:
    schema = dict(one.inputSchema or {})
    schema.setdefault("type", "object")
    schema.setdefault("properties", {})
    return Tool(name, (one.description or one.title or "").strip(), schema)


def _harmless(one: Any) -> bool:
    """Whether calling it twice does no harm, as its server says."""
    hints = one.annotations
    return hints is not None and bool(hints.readOnlyHint or hints.idempotentHint)


def _result_of(answer: Any) -> ToolResult:
    parts = _bounded([_part(block) for block in answer.content])
    if not parts and answer.structuredContent:
        parts = _bounded([TextPart(msgspec.json.encode(answer.structuredContent).decode())])
    if answer.isError:
        return ToolResult((TextPart("Error: "), *(parts or (TextPart("the server names no reason"),))), "refused")
    return ToolResult(tuple(parts) or (TextPart("done"),))


def _part(block: Any) -> Part:
    """A block of an answer as text or picture; what is neither is named."""
    match block.type:
        case "text":
            return TextPart(block.text)
        case "image":
            return _picture(block.data, block.mimeType)
        case "resource":
            return _resource(block.resource)
        case "resource_link":
            return TextPart(f"[{block.title or block.name}]({block.uri})")
        case kind:
            return TextPart(f"({kind} of type {getattr(block, 'mimeType', None) or 'unknown'}, which cannot be shown)")


def _resource(resource: Any) -> Part:
    kind, blob = resource.mimeType or "", getattr(resource, "blob", None)
    if blob is None:
        return TextPart(f"{resource.uri}\n{resource.text}")
    return _picture(blob, kind) if kind.startswith("image/") else TextPart(f"({resource.uri}: {kind}, cannot be shown)")


def _picture(data: str, kind: str) -> Part:
    if len(data) > MOST_PICTURE_BYTES * 4 // 3:
        return TextPart(f"(a picture of more than {MOST_PICTURE_BYTES:,} bytes, left out)")
    with suppress(MediaError, binascii.Error, ValueError):
        return ImagePart(foreign_picture(base64.b64decode(data, validate=True), name=kind))
    return TextPart(f"(a picture of type {kind} that cannot be read)")


def _bounded(parts: Sequence[Part]) -> list[Part]:
    """At most so many characters and pictures; says what was left out."""
    kept: list[Part] = []
    room, pictures, cut = MOST_TEXT, 0, 0
    for part in parts:
        if isinstance(part, TextPart):
            if part.text[:room]:
                kept.append(TextPart(part.text[:room]))
            cut += max(0, len(part.text) - room)
            room = max(0, room - len(part.text))
        elif (pictures := pictures + 1) <= MOST_PICTURES:
            kept.append(part)
    left_out = [f"{cut:,} characters"] * bool(cut) + [f"{pictures - MOST_PICTURES} pictures"] * (
        pictures > MOST_PICTURES
    )
    return [*kept, TextPart(f"\n(left out: {' and '.join(left_out)})")] if left_out else kept
