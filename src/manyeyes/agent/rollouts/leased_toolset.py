"""`LeasedToolset`: tools over a borrowed resource: borrowed when an agent opens them, given back when it closes them.

    Environment(lambda ctx: LeasedToolset(ctx.lease("code"), lambda room: room.tools(ctx)))

When the loan ends before the agent does, its calls come back as failures that say so.

Report: App. D (toolsets in sandboxes, a managed pool of environment instances).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from manyeyes.agent.rollouts.pool_lease import Lease
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import Tool, ToolCall


class LeasedToolset:
    """A toolset; see the module.

    Args:
        loan: a `Lease` that has not begun, or what gives a resource when it is entered.
        make: the tools over the resource.
        declared: what will be there, for who must know before it is opened.
    """

    def __init__(
        self, loan: AbstractAsyncContextManager[Any], make: Callable[[Any], Toolset], *, declared: Sequence[Tool] = ()
    ) -> None:
        self._loan, self._make, self._declared = loan, make, declared
        self._borrowed: Any = None
        self._inner: Toolset | None = None

    @property
    def tools(self) -> Sequence[Tool]:
        """See `Toolset.tools`; before it is opened, those that were declared."""
        return self._declared if self._inner is None else self._inner.tools

    @property
    def repeatable(self) -> frozenset[str]:
        """See `Toolset.repeatable`."""
        return frozenset() if self._inner is None else self._inner.repeatable

    async def open(self) -> None:
        """Borrow.

        Raises:
            PoolError: nothing could be borrowed.
        """
        borrowed = self._borrowed = await self._loan.__aenter__()
        self._inner = self._make(borrowed.resource if isinstance(borrowed, Lease) else borrowed)
        await self._inner.open()

    async def close(self) -> None:
        """Give back."""
        borrowed, self._borrowed = self._borrowed, None
        if borrowed is None:
            return
        try:
            if self._inner is not None:
                await self._inner.close()
        finally:
            await self._loan.__aexit__(None, None, None)

    async def call(self, call: ToolCall) -> ToolResult:
        """See `Toolset.call`."""
        why = self._borrowed.why if isinstance(self._borrowed, Lease) else ""
        if self._borrowed is None or self._inner is None or why:
            return ToolResult.failed("refused", f"{call.name} cannot be used: {why or 'its toolset is not open'}")
        return await self._inner.call(call)
