"""`BrowserComputers`: the computers of one browser, each a context of its own, with no cookies from before.

    async with BrowserComputers(installed_browser()) as computers:
        computer = await computers.open(Screen(1280, 800))

The browser is that of the browser tools: same sandbox, same guarded proxy. A computer stays with its agent from
beginning to end, for nothing else could bring its screen back. A browser that died is started again for whoever comes
next.

Report: App. E.7 (computer use), App. D (many environments at once).
"""

import asyncio
from typing import Self

from aiohttp.abc import AbstractResolver

from manyeyes.agent.environments.browser_computer import CALL_SECONDS, BrowserComputer
from manyeyes.agent.environments.computer import ComputerLost, Screen
from manyeyes.agent.tools.browser_command import BrowserConfig
from manyeyes.agent.tools.browser_context import LiveTab
from manyeyes.agent.tools.browser_process import RunningBrowser
from manyeyes.agent.tools.guarded_client import DEFAULT_GUARD
from manyeyes.agent.tools.guarded_proxy import DEFAULT_LIMITS, ProxyLimits
from manyeyes.agent.tools.net_guard import Guard


class BrowserComputers:
    """Computers of one browser; an async context manager.

    Args:
        config: which browser.
        guard: what may be reached.
        most: computers at once; who asks for more waits. About 30 to 80 MB each.
        resolver: of names; the system's when None.
        limits: of what is loaded.

    Attributes:
        started: times that the browser was started.
    """

    def __init__(
        self, config: BrowserConfig, guard: Guard = DEFAULT_GUARD, *, most: int = 8,
        resolver: AbstractResolver | None = None, limits: ProxyLimits = DEFAULT_LIMITS,
    ) -> None:  # fmt: skip
        self.config, self.guard, self.most = config, guard, most
        self.started = 0
        self._resolver, self._limits = resolver, limits
        self._free = asyncio.Semaphore(most)
        self._starting = asyncio.Lock()
        self._running: RunningBrowser | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self, screen: Screen) -> BrowserComputer:
        """An empty screen; waits while `most` are in use. Whoever opens one closes it.

        Raises:
            ConfigError: playwright is not installed, or Chromium does not start.
            ComputerLost: the browser does not answer.
        """
        await self._free.acquire()
        try:
            tab = await self._opened(screen)
        except BaseException:
            self._free.release()
            raise
        return BrowserComputer(tab, screen, self._free.release)

    async def close(self) -> None:
        """End the browser and everything that belongs to it."""
        async with self._starting:
            running, self._running = self._running, None
            if running is not None:
                await running.stop()

    async def _opened(self, screen: Screen) -> LiveTab:
        running = await self._browser()
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._tab(running, screen)
        except (TimeoutError, Error) as error:
            running.lost |= isinstance(error, TimeoutError) or not running.connected
            raise ComputerLost(f"the browser opened no page: {str(error).strip() or 'it does not answer'}") from None

    async def _tab(self, running: RunningBrowser, screen: Screen) -> LiveTab:
        proxy = running.proxy
        context = await running.browser.new_context(
            proxy={"server": running.proxy_url, "username": proxy.user, "password": proxy.password},
            viewport={"width": screen.width, "height": screen.height}, device_scale_factor=screen.scale,
            accept_downloads=False, service_workers="block", locale="en-US", timezone_id="UTC",
        )  # fmt: skip
        try:
            context.set_default_timeout(1000 * CALL_SECONDS)
            return await LiveTab.open(context, self.guard, why=proxy.why, settle_seconds=screen.settle_seconds)
        except BaseException:
            await context.close()
            raise

    async def _browser(self) -> RunningBrowser:
        """The browser, started if it is not there or no longer."""
        async with self._starting:
            if self._running is not None and not self._running.connected:
                dead, self._running = self._running, None
                await dead.stop()
            if self._running is None:
                self._running = await RunningBrowser.start(self.config, self.guard, self._resolver, self._limits)
                self.started += 1
            return self._running
