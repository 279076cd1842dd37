"""`LateToolset`: a toolset built over others, some of which know their tools only once they are open.

    LateToolset(shell, search, build=Together)

What is lent by a pool, or told by a server, is known late; so what is built over it (several as one, other names) is
built again when all are open. What `build` adds must not need to be opened.

Report: App. D (toolsets as plug-ins).
"""

import asyncio
from collections.abc import Callable, Sequence

from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import Tool, ToolCall


class LateToolset:
    """See the module; `Toolset`.

    Args:
        parts: opened and closed here.
        build: the toolset over them.
    """

    def __init__(self, *parts: Toolset, build: Callable[..., Toolset]) -> None:
        self._parts, self._build = parts, build
        self._built = build(*parts)

    @property
    def tools(self) -> Sequence[Tool]:
        """Declarations; before it is open, of those that are known."""
        return self._built.tools

    @property
    def repeatable(self) -> frozenset[str]:
        """See `Toolset.repeatable`."""
        return self._built.repeatable

    async def open(self) -> None:
        """Open the parts, and build on them."""
        for part in self._parts:
            await part.open()
        self._built = self._build(*self._parts)

    async def close(self) -> None:
        """Close the parts."""
        await asyncio.gather(*(part.close() for part in self._parts), return_exceptions=True)

    async def call(self, call: ToolCall) -> ToolResult:
        """Make one call."""
        return await self._built.call(call)
