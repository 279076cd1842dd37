"""`Brief`: a toolset whose results are cut to what a small context bears: the first and the last of a long text.

A program that prints a whole picture, or a numpy warning, would end the attempt by its length instead of by its answer.

Report: App. D (tools).
"""

from collections.abc import Sequence
from dataclasses import replace

from manyeyes.agent.tools.shell import clipped
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import Part, TextPart, Tool, ToolCall


class Brief:
    """See the module.

    Args:
        toolset: whose calls are made.
        most: characters of a text part, beside the words that say how much was left out.
    """

    def __init__(self, toolset: Toolset, *, most: int) -> None:
        self._toolset, self._most = toolset, most

    @property
    def tools(self) -> Sequence[Tool]:
        """See `Toolset.tools`."""
        return self._toolset.tools

    @property
    def repeatable(self) -> frozenset[str]:
        """See `Toolset.repeatable`."""
        return self._toolset.repeatable

    async def open(self) -> None:
        """See `Toolset.open`."""
        await self._toolset.open()

    async def close(self) -> None:
        """See `Toolset.close`."""
        await self._toolset.close()

    async def call(self, call: ToolCall) -> ToolResult:
        """See `Toolset.call`."""
        result = await self._toolset.call(call)
        return replace(result, parts=tuple(self._cut(part) for part in result.parts))

    def _cut(self, part: Part) -> Part:
        return TextPart(clipped(part.text, self._most)) if isinstance(part, TextPart) else part
