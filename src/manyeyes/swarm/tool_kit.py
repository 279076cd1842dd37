"""`ToolKit`: the tools of a run's agents; what they share is opened once, and each agent gets its own view of it.

    async with ToolKit(folder, search=Tavily(key), groups=("files", "code")) as kit:
        await session.run(model, kit.tools)

    search, pages     always (search only where there is a backend)
    files             /inputs, /artefacts, /workspace
    media             pictures, frames, clips
    download          files of the web into /artefacts
    code              shell and IPython, in the sandbox
    browser           pages in a headless Chromium, in place of plain fetching

and the tools of MCP servers, where some are named.

Report: App. E.6, E.8 (search, browser, code; sub-agents have the same tools).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

from manyeyes.agent.environment import Ctx
from manyeyes.agent.sandbox_probe import open_sandbox
from manyeyes.agent.tools.browser_command import installed_browser
from manyeyes.agent.tools.browser_pool import BrowserPool
from manyeyes.agent.tools.browser_tools import BrowserTools
from manyeyes.agent.tools.citations import Citations
from manyeyes.agent.tools.code import code_tools
from manyeyes.agent.tools.download import Downloads
from manyeyes.agent.tools.files import file_tools
from manyeyes.agent.tools.guarded_client import GuardedClient
from manyeyes.agent.tools.ipython_pool import KernelPool
from manyeyes.agent.tools.mcp_config import McpServer
from manyeyes.agent.tools.mcp_tools import McpServers, McpTools
from manyeyes.agent.tools.media import media_tools
from manyeyes.agent.tools.pages import PageSource, PageTools, WebPages
from manyeyes.agent.tools.search import SearchBackend, search_tool
from manyeyes.agent.toolset import Functions, Together, Toolset
from manyeyes.agent.workspace import Workspace
from manyeyes.core.errors import ConfigError

Group = Literal["files", "media", "download", "code", "browser"]
GROUPS: tuple[Group, ...] = ("files", "media", "download", "code", "browser")
DECODERS = 2
"""Threads that decode pictures and clips; each may hold a few hundred megabytes."""


class ToolKit:
    """The tools of a run; an async context manager.

    Args:
        folder: of the run.
        search: where agents search; None for no search.
        pages: where pages come from; the guarded web when None.
        groups: what agents have beside search and pages.
        servers: MCP servers whose tools agents have, too.
        unsafe: run code without a sandbox; the user has said so.

    Raises:
        ConfigError: on entering, when a group needs what is not installed.
        SandboxUnavailable: on entering, when code is wanted and no sandbox works.
    """

    def __init__(
        self,
        folder: Path,
        *,
        search: SearchBackend | None = None,
        pages: PageSource | None = None,
        groups: Sequence[str] = (),
        servers: Sequence[McpServer] = (),
        unsafe: bool = False,
    ) -> None:
        if unknown := set(groups) - set(GROUPS):
            raise ConfigError(f"no tools called {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
        self.folder, self.search, self.groups, self.unsafe = folder, search, groups, unsafe
        self._pages, self._servers = pages, McpServers(servers)
        self._makers: list[Callable[[Ctx, Citations], Toolset]] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "ToolKit":
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is never to be written: keys of MCP servers."""
        return self._servers.secrets

    def tools(self, ctx: Ctx) -> Together:
        """The tools of one agent."""
        citations = Citations(ctx.noted)
        made = [make(ctx, citations) for make in self._makers]
        if self._servers.connections:
            made.append(McpTools(self._servers, taken=[tool.name for toolset in made for tool in toolset.tools]))
        return Together(*made)

    async def _open(self) -> None:
        search = self.search
        if search is not None:
            self._makers.append(lambda ctx, citations: Functions([search_tool(search, citations)]))
        self._open_pages()
        openers = {
            "files": self._open_files, "media": self._open_media, "download": self._open_downloads,
            "code": self._open_code,
        }  # fmt: skip
        for group in openers:
            if group in self.groups:
                await openers[group]()
        if self._servers.connections:
            self._stack.push_async_callback(self._servers.close)
            await self._servers.open()

    def _open_pages(self) -> None:
        if self._pages is None:
            self._pages = web = WebPages(GuardedClient())
            self._stack.push_async_callback(web.close)
        pages = self._pages
        if "browser" not in self.groups:
            self._makers.append(lambda ctx, citations: PageTools(pages, citations, ctx.noted))
            return
        pool = BrowserPool(installed_browser(unsafe=self.unsafe))
        self._stack.push_async_callback(pool.close)
        self._makers.append(lambda ctx, citations: BrowserTools(pool, pages, citations, ctx.noted))

    async def _open_files(self) -> None:
        self._makers.append(lambda ctx, citations: file_tools(self._workspace(ctx)))

    async def _open_media(self) -> None:
        threads = self._stack.enter_context(ThreadPoolExecutor(DECODERS, "media"))
        self._makers.append(lambda ctx, citations: media_tools(self._workspace(ctx), threads=threads))

    async def _open_downloads(self) -> None:
        downloads = Downloads()
        self._stack.push_async_callback(downloads.close)
        self._makers.append(lambda ctx, citations: downloads.tools(self._workspace(ctx), ctx.noted))

    async def _open_code(self) -> None:
        sandbox = await open_sandbox(unsafe=self.unsafe)
        self._stack.push_async_callback(sandbox.close)
        kernels = KernelPool(sandbox)
        self._stack.push_async_callback(kernels.close)
        self._makers.append(lambda ctx, citations: code_tools(sandbox, self._workspace(ctx), ctx, kernels=kernels))

    def _workspace(self, ctx: Ctx) -> Workspace:
        return Workspace.of(self.folder, ctx.agent)
