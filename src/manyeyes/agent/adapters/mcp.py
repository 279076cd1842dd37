"""MCP servers as an environment: their tools are the agent's.

    async with mcp_environment(read_servers(file, variables), system="...", judge=Rewards(...)) as environment: ...

One connection serves all attempts, or (`own=True`) each attempt starts its servers anew, so that none finds what
another has left; then programs are started, and end, with every attempt.

Report: App. D (toolset).
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from manyeyes.agent.environment import Environment
from manyeyes.agent.tools.mcp_config import McpServer
from manyeyes.agent.tools.mcp_tools import McpServers, McpTools
from manyeyes.agent.toolset import ToolResult
from manyeyes.core.messages import ToolCall


@asynccontextmanager
async def mcp_environment(
    servers: Sequence[McpServer], *, own: bool = False, **fields: Any
) -> AsyncIterator[Environment]:
    """An environment whose tools are those of the servers.

    Args:
        own: servers of its own for each attempt; their tools are asked for once.
        fields: of `Environment`.

    Raises:
        ConfigError: a server does not start, or the package `mcp` is not installed.
    """
    shared = McpServers(servers)
    await shared.open()
    try:
        tools = McpTools(shared)
        if own:
            await shared.close()
        given: dict[str, Any] = {"name": "mcp", **fields}
        yield Environment(lambda ctx: OwnServers(servers, tools) if own else tools, **given)
    finally:
        await shared.close()


class OwnServers:
    """Servers of one attempt, whose tools are known before they are started; `Toolset`."""

    def __init__(self, servers: Sequence[McpServer], known: McpTools) -> None:
        self.tools, self.repeatable = known.tools, known.repeatable
        self._servers = McpServers(servers)
        self._inner: McpTools | None = None

    async def open(self) -> None:
        """Start the servers."""
        await self._servers.open()
        self._inner = McpTools(self._servers)

    async def close(self) -> None:
        """End them."""
        await self._servers.close()

    async def call(self, call: ToolCall) -> ToolResult:
        """Make one call."""
        assert self._inner is not None, "a toolset is opened before it is called"
        return await self._inner.call(call)
