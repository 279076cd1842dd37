"""What the browser tests share: the browsers of this machine, a site that counts its visitors, an agent's tools."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from manyeyes.agent.tools.browser_command import BrowserConfig, installed_browser
from manyeyes.agent.tools.browser_pool import BrowserPool
from manyeyes.agent.tools.browser_tools import BrowserTools
from manyeyes.agent.tools.citations import Citations
from manyeyes.agent.tools.guarded_client import GuardedClient
from manyeyes.agent.tools.net_guard import Guard
from manyeyes.agent.tools.pages import WebPages
from manyeyes.agent.toolset import ToolResult
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ToolCall

KINDS = ("within bubblewrap", "by flags alone")
BOTH = (KINDS[0], pytest.param(KINDS[1], marks=pytest.mark.slow))


def browser(kind: str = KINDS[0], **settings: Any) -> BrowserConfig:
    """A browser of this machine; the test is skipped where there is none, but not in CI."""
    try:
        config = installed_browser(unsafe=True)
        if kind == KINDS[0] and not config.bwrap:
            raise ConfigError("no bubblewrap works here: apt-get install bubblewrap")
    except ConfigError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no browser {kind}: {error}")
    if kind == KINDS[1]:
        config = replace(config, bwrap="")
    return replace(config, unsafe=not config.bwrap, **settings)


class Site:
    """A server on loopback: HTML by path, or whatever `answer` gives; everything that reaches it is noted."""

    def __init__(
        self, pages: dict[str, str], answer: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
    ) -> None:
        self.pages, self.answer = pages, answer
        self.paths: list[str] = []

    async def __aenter__(self) -> "Site":
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]
        self.place = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.place}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        if self.answer is not None and (given := await self.answer(request)) is not None:
            return given
        if request.path in self.pages:
            text = self.pages[request.path].replace("HERE", self.place)
            return web.Response(text=text, content_type="text/html")
        return web.Response(status=404, text="nothing here")


class Agent:
    """The tools of an agent, called as a model calls them."""

    def __init__(self, pool: BrowserPool, noted: tuple[dict[str, Any], ...] = ()) -> None:
        self.reader = WebPages(GuardedClient(pool.guard))
        self.tools = BrowserTools(pool, self.reader, Citations(noted), noted)

    async def __call__(self, name: str, **arguments: Any) -> ToolResult:
        return await self.tools.call(ToolCall.of(name, arguments, index=0))

    async def close(self) -> None:
        await self.tools.close()
        await self.reader.close()


def with_site(
    site: Site, config: BrowserConfig, go: Callable[[Site, BrowserPool, Agent], Coroutine[Any, Any, None]]
) -> None:
    """Run a test with a site that the guard lets through, a pool and an agent."""

    async def run() -> None:
        async with site:
            pool = BrowserPool(config, Guard(allow=frozenset((site.place,))))
            agent = Agent(pool)
            try:
                await go(site, pool, agent)
            finally:
                await agent.close()
                await pool.close()

    asyncio.run(run())


def descendants(of: int) -> dict[int, str]:
    """Processes below one: number to the time they started at, which tells a process from its successor."""
    parents: dict[int, list[int]] = {}
    started: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
        started[int(path.parent.name)] = fields[19]
    found, open_ones = {}, [of]
    while open_ones:
        for child in parents.get(open_ones.pop(), []):
            found[child] = started[child]
            open_ones.append(child)
    return found


def left(processes: dict[int, str]) -> list[int]:
    """Those that still run."""
    found = []
    for number, began in processes.items():
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[19] == began and fields[0] != "Z":
            found.append(number)
    return found
