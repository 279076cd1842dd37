"""`RunningBrowser`: Chromium, the proxy that it needs, playwright's driver, and how all of them end.

Within bubblewrap the relay holds a connection to us; when it breaks, because we close it or because this process was
killed, it kills everything in the browser's PID namespace. Without bubblewrap the driver does that, when its own pipe
breaks.

Report: App. E.8 (browser).
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp.abc import AbstractResolver

from manyeyes.agent.missing_package import MissingPackage
from manyeyes.agent.tools.browser_command import RELAY_PORT, BrowserConfig, command
from manyeyes.agent.tools.browser_folder import BrowserFolder
from manyeyes.agent.tools.guarded_proxy import GuardedProxy, ProxyLimits
from manyeyes.agent.tools.net_guard import Guard
from manyeyes.core.errors import ConfigError

START_SECONDS = 30.0
CLOSE_SECONDS = 0.7
"""For each thing that is asked to close, before it is killed."""


class RunningBrowser:
    """A browser. Make one with `start`.

    Attributes:
        browser: of playwright.
        proxy: the way from it to the network.
        lost: somebody noticed that the driver, which would know, is gone itself.
    """

    def __init__(self, config: BrowserConfig, proxy: GuardedProxy, folder: BrowserFolder) -> None:
        self.config, self.proxy, self.folder = config, proxy, folder
        self.browser: Any = None
        self.lost = False
        self._driver: asyncio.Future[Any] | None = None
        self._alive: asyncio.Server | None = None
        self._watched: list[asyncio.StreamWriter] = []

    @classmethod
    async def start(
        cls, config: BrowserConfig, guard: Guard, resolver: AbstractResolver | None, limits: ProxyLimits
    ) -> "RunningBrowser":
        """Start one.

        Raises:
            ConfigError: playwright is not installed, or Chromium does not start.
        """
        folder = BrowserFolder()
        path = folder.path / "proxy" if config.bwrap else None
        running = cls(config, GuardedProxy(guard, resolver=resolver, limits=limits, path=path), folder)
        try:
            await running._start()
        except BaseException:
            await running.stop()
            raise
        return running

    @property
    def connected(self) -> bool:
        """Whether it is still there."""
        return not self.lost and self.browser is not None and self.browser.is_connected()

    @property
    def proxy_url(self) -> str:
        """The proxy, as the browser reaches it."""
        return f"http://127.0.0.1:{self.proxy.port or RELAY_PORT}"

    async def stop(self) -> None:
        """End all of it; what does not close when asked is killed."""
        await _in_time(self.browser.close() if self.browser is not None else None)
        if self._alive is not None:
            self._alive.close()
        for writer in self._watched:
            writer.transport.abort()
        if self._driver is not None:
            await _in_time(asyncio.wait([self._driver]), seconds=START_SECONDS)  # half a start cannot be stopped
            await _in_time(_driver_stopped(self._driver))
        await self.proxy.close()
        self.folder.close()

    async def _start(self) -> None:
        try:
            from playwright.async_api import Error, async_playwright
        except ImportError:
            raise MissingPackage("the browser is driven by playwright: pip install 'manyeyes[browser]'") from None
        await self.proxy.open()
        folder = self.folder.path
        if self.config.bwrap:
            self._alive = await asyncio.start_unix_server(self._watch, folder / "alive")
        self._driver = asyncio.ensure_future(async_playwright().start())
        playwright = await asyncio.shield(self._driver)  # half a start cannot be stopped
        program, arguments = command(self.config, folder=folder, port=self.proxy.port)
        try:
            self.browser = await playwright.chromium.launch(
                executable_path=program, args=arguments, ignore_default_args=True, env=_environment(folder),
                handle_sigint=False, handle_sigterm=False, handle_sighup=False, timeout=1000 * START_SECONDS,
            )  # fmt: skip
        except Error as error:
            raise ConfigError(f"{self.config.chromium} does not start: {_reason(error.message)}") from None

    def _watch(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._watched:  # the relay came first; whoever else does is a browser that was taken over
            writer.transport.abort()
        else:
            self._watched.append(writer)


async def _in_time(closing: Any, *, seconds: float | None = None) -> None:
    """Wait for something to close, but not long; whatever it says about it.

    Args:
        seconds: at most; `CLOSE_SECONDS` when left out.
    """
    if closing is not None:
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS if seconds is None else seconds):
                await closing


async def _driver_stopped(driver: asyncio.Future[Any]) -> None:
    await (await driver).stop()


def _environment(folder: Path) -> dict[str, str | float | bool]:
    """Nothing of ours: it may hold keys."""
    return {"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8", "TMPDIR": str(folder)}


def _reason(message: str) -> str:
    """The lines of a failed start that say something."""
    lines = [line.strip(" -") for line in message.splitlines() if "[err]" in line or "rror" in line]
    return " ".join(lines[:4])[:600] or message[:300]
