"""`McpConnection`: a connection to an MCP server that outlives the server's crashes.

A server is started with the few variables that every program needs (path, home, language) and those of its own `env`:
keys of this process are not among them. One connection serves all agents of a run; a server that died is started again
by the next call, a few times.

Report: App. D (toolset).
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import IO, Any

from manyeyes.agent.tools.mcp_config import McpServer
from manyeyes.core.errors import ConfigError, ManyeyesError

START_SECONDS = 30.0
CLOSE_SECONDS = 5.0
MOST_STARTS = 5
MOST_TOOLS = 500
LAST_WORDS = 16_384
"""Bytes of a server's standard error that are looked at."""


class McpError(ManyeyesError):
    """A call that a server did not answer.

    Attributes:
        timeout: it did not answer in time; else it died, or cannot be started.
    """

    def __init__(self, why: str, *, timeout: bool = False) -> None:
        super().__init__(why)
        self.timeout = timeout


@dataclass(slots=True)
class _Life:
    """One start of a server.

    Attributes:
        over: set when it died, or is to end.
        errors: what it wrote to its standard error.
    """

    over: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Future[tuple[Any, Sequence[Any]]] = field(default_factory=asyncio.Future)
    errors: IO[str] = field(default_factory=lambda: tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
    task: asyncio.Task[None] | None = None
    session: Any = None


class McpConnection:
    """A connection to a server.

    Attributes:
        tools: that the server offers, as the SDK's records; known once it was opened.
        starts: times that the server was started.
    """

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self.tools: Sequence[Any] = ()
        self.starts = 0
        self._life: _Life | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    async def open(self) -> None:
        """Start the server, or connect to it.

        Raises:
            ConfigError: it does not start, or the package `mcp` is not installed.
        """
        try:
            import mcp  # noqa: F401
        except ImportError:
            raise ConfigError("MCP servers need the package mcp: pip install 'manyeyes[mcp]'") from None
        try:
            await self._alive()
        except McpError as error:
            raise ConfigError(str(error)) from None

    async def close(self) -> None:
        """End it."""
        self._closed = True
        life, self._life = self._life, None
        if life is not None:
            await _end(life)

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """What a tool of the server answers: the SDK's `CallToolResult`.

        Raises:
            McpError: there is no answer.
        """
        import anyio
        from mcp.shared.exceptions import McpError as Refused

        life = await self._alive()
        name = self.server.name
        asked = asyncio.ensure_future(life.session.call_tool(tool, arguments))
        over = asyncio.ensure_future(life.over.wait())
        try:
            await asyncio.wait((asked, over), timeout=self.server.seconds, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                return asked.result()
            if not over.done():
                raise McpError(f"{name} did not answer within {self.server.seconds:g} s", timeout=True)
            raise McpError(f"the MCP server {name} died during the call; the next call starts it again")
        except Refused as error:
            if life.over.is_set() or error.error.message == "Session terminated":
                life.over.set()
                raise McpError(f"the MCP server {name} died during the call; the next call starts it again") from None
            raise McpError(f"{name} refuses: {error}") from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            life.over.set()
            raise McpError(f"the MCP server {name} is gone; the next call starts it again") from None
        finally:
            for task in (asked, over):
                task.cancel()
            await asyncio.gather(asked, over, return_exceptions=True)

    async def _alive(self) -> _Life:
        async with self._lock:
            if self._life is not None and not self._life.over.is_set():
                return self._life
            if self._closed:
                raise McpError(f"the MCP server {self.server.name} was closed with its run")
            if self._life is not None:
                await _end(self._life)
            if self.starts >= MOST_STARTS:
                raise McpError(f"the MCP server {self.server.name} died {self.starts} times and is left alone")
            self.starts += 1
            self._life = await self._started()
            return self._life

    async def _started(self) -> _Life:
        life = _Life()
        life.task = asyncio.create_task(self._lives(life))
        try:
            async with asyncio.timeout(START_SECONDS):
                life.session, self.tools = await asyncio.shield(life.ready)
        except TimeoutError:
            await _end(life)
            raise McpError(f"the MCP server {self.server.name} did not answer within {START_SECONDS:g} s") from None
        except BaseException:
            await _end(life)
            raise
        return life

    async def _lives(self, life: _Life) -> None:
        """From start to end; the SDK wants both in one task."""
        try:
            async with AsyncExitStack() as stack:
                session = await self._session(stack, life)
                life.ready.set_result((session, await _tools(session)))
                await life.over.wait()
        except Exception as error:  # whatever a server does, its callers are told, and the run goes on
            if not life.ready.done():
                life.ready.set_exception(McpError(self._reason(life, error)))
        finally:
            life.over.set()
            if not life.ready.done():
                life.ready.cancel()

    async def _session(self, stack: AsyncExitStack, life: _Life) -> Any:
        import anyio
        from mcp import ClientSession

        read, write = await self._transport(stack, life)
        send, receive = anyio.create_memory_object_stream[Any](0)

        async def forward() -> None:
            """Passes on what the server says, and notices when it says nothing any more."""
            try:
                async with send:
                    async for message in read:
                        await send.send(message)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                pass
            finally:
                life.over.set()

        forwarding = asyncio.create_task(forward())
        stack.callback(forwarding.cancel)
        session = await stack.enter_async_context(ClientSession(receive, write))
        await session.initialize()
        return session

    async def _transport(self, stack: AsyncExitStack, life: _Life) -> tuple[Any, Any]:
        from mcp.client.stdio import StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client

        server = self.server
        if server.command:
            parameters = StdioServerParameters(
                command=server.command, args=list(server.args), env=dict(server.env), cwd=server.cwd,
                encoding_error_handler="replace",
            )  # fmt: skip
            return await stack.enter_async_context(stdio_client(parameters, errlog=life.errors))  # pyright: ignore[reportArgumentType]
        import httpx

        patience = httpx.Timeout(START_SECONDS, read=max(300.0, server.seconds))
        made = httpx.AsyncClient(headers=dict(server.headers), timeout=patience, follow_redirects=True)
        client = await stack.enter_async_context(made)
        read, write, _ = await stack.enter_async_context(streamable_http_client(server.url, http_client=client))
        return read, write

    def _reason(self, life: _Life, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        said = " ".join(self._hidden(_last_words(life.errors)).split())[-300:]
        where = self._hidden(self.server.command or self.server.url)
        why = " ".join(self._hidden(str(error)).split())[:200] or type(error).__name__
        return f"the MCP server {self.server.name} ({where}) cannot be used: {why}" + (
            f"; it says: {said}" if said else ""
        )

    def _hidden(self, text: str) -> str:
        """Without secrets. Before it is cut: a part of one is one, too."""
        for secret in sorted(self.server.secrets, key=len, reverse=True):
            text = text.replace(secret, "[hidden]")
        return text


def _last_words(errors: IO[str]) -> str:
    """The end of what a server wrote, however much that was."""
    size = os.fstat(errors.fileno()).st_size
    return os.pread(errors.fileno(), LAST_WORDS, max(0, size - LAST_WORDS)).decode(errors="replace")


async def _tools(session: Any) -> list[Any]:
    """All tools, page by page."""
    return [tool async for tool in _paged(session)]


async def _paged(session: Any) -> AsyncIterator[Any]:
    from mcp.types import PaginatedRequestParams

    cursor, count = None, 0
    while count < MOST_TOOLS:
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        for tool in page.tools[: MOST_TOOLS - count]:
            count += 1
            yield tool
        cursor = page.nextCursor
        if not cursor or not page.tools:
            return


async def _end(life: _Life) -> None:
    """Ask it to end; then make it. One that never answered is not asked."""
    life.over.set()
    if life.task is not None:
        if life.ready.done():
            await asyncio.wait((life.task,), timeout=CLOSE_SECONDS)
        life.task.cancel()
        await asyncio.gather(life.task, return_exceptions=True)
    if life.ready.done() and not life.ready.cancelled():
        life.ready.exception()  # looked at, so that nobody is warned of a failure that was told already
    life.errors.close()
