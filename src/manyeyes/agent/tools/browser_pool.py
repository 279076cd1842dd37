"""`BrowserPool`: one Chromium for a run, started when it is first needed; few contexts, shared by many agents.

    async with pool.hold(tab) as live:      the agent's own page, loaded; nobody takes it away meanwhile
    pool.close()                            every process is gone

A context that nobody holds stays with its agent until another agent needs one: then its cookies and its address are
kept, and its page is loaded again when the agent comes back. A browser that died is started again with the next call.

Report: App. E.8 (browser), App. D (many agents, one process).
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from aiohttp.abc import AbstractResolver

from manyeyes.agent.tools.browser_command import BrowserConfig
from manyeyes.agent.tools.browser_context import BrowserError, LiveTab
from manyeyes.agent.tools.browser_process import RunningBrowser
from manyeyes.agent.tools.guarded_client import DEFAULT_GUARD
from manyeyes.agent.tools.guarded_proxy import DEFAULT_LIMITS, ProxyLimits
from manyeyes.agent.tools.net_guard import Guard

T = TypeVar("T")
CLOSE_SECONDS = 1.0
"""For a context to close."""
KEEP_SECONDS = 15.0
"""For reading what a context stored, before another agent gets its place: a lost cookie is a lost login."""
LOST = ("browser has been closed", "Connection closed")
"""What playwright says of a page that neither crashed nor closed itself, once there is nobody any more to ask."""


class Place:
    """An agent's place in the pool, with or without a context.

    Attributes:
        cookies: and what pages stored, as playwright writes it; never journalled.
        lock: held by whoever uses the place.
    """

    def __init__(self) -> None:
        self.cookies: dict[str, Any] | None = None
        self.lock = asyncio.Lock()


class Loaded(NamedTuple):
    """What `hold` gives.

    Attributes:
        tab: the page.
        again: it was made anew, so that elements known before are of no use.
    """

    tab: LiveTab
    again: bool


class BrowserPool:
    """The browser of a run.

    Args:
        config: which browser.
        guard: what may be reached.
        resolver: of names; the system's when None.
        limits: of what is loaded.

    Attributes:
        started: times that the browser was started.
        evicted: times that an agent's context went to another.
    """

    def __init__(
        self, config: BrowserConfig, guard: Guard = DEFAULT_GUARD, *, resolver: AbstractResolver | None = None,
        limits: ProxyLimits = DEFAULT_LIMITS,
    ) -> None:  # fmt: skip
        self.config, self.guard, self._resolver, self._limits = config, guard, resolver, limits
        self.started = self.evicted = 0
        self._running: RunningBrowser | None = None
        self._starting = asyncio.Lock()
        self._closed = False
        self._live: OrderedDict[Place, LiveTab] = OrderedDict()
        self._making = 0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, place: Place) -> AsyncIterator[Loaded]:
        """An agent's page, for one call at a time.

        Raises:
            BrowserError: of any kind; what playwright raises within becomes one.
            ConfigError: playwright is not installed, or Chromium does not start.
        """
        try:
            async with place.lock:
                running = await self._browser()
                async with self._held(running, place) as loaded:
                    yield loaded
        finally:
            await self._tell_waiting()

    @asynccontextmanager
    async def _held(self, running: RunningBrowser, place: Place) -> AsyncIterator[Loaded]:
        """The page of a place whose lock is held, and what goes wrong with it in words for the model."""
        from playwright.async_api import Error
        from playwright.async_api import TimeoutError as TooLong

        try:
            again = place not in self._live
            tab = await self._made(running, place) if again else self._live[place]
            self._live.move_to_end(place)
            async with asyncio.timeout(self.config.seconds + self.config.settle_seconds):
                yield Loaded(tab, again)
        except (TimeoutError, TooLong):
            await self._leave(place)
            raise BrowserError(f"the page took longer than {self.config.seconds:g} s", "timeout") from None
        except Error as error:
            raise await self._failed(running, place, error.message) from None

    async def open(self) -> None:
        """Start the browser now, to see whether it starts; else the first call does that.

        Raises:
            ConfigError: playwright is not installed, or Chromium does not start.
        """
        await self._browser()

    async def leave(self, place: Place) -> None:
        """Close an agent's context, if it has one, and forget what it stored."""
        async with place.lock:
            await self._leave(place)
            place.cookies = None

    async def close(self) -> None:
        """End the browser and everything that belongs to it."""
        self._closed = True
        async with self._starting:
            running, self._running = self._running, None
            self._live.clear()
            if running is not None:
                await running.stop()

    async def _browser(self) -> RunningBrowser:
        """The browser, started if it is not there or no longer."""
        async with self._starting:
            if self._closed:
                raise BrowserError("the browser of this run is closed")
            if self._running is not None and not self._running.connected:
                dead, self._running = self._running, None
                self._live.clear()
                await dead.stop()
            if self._running is None:
                self._running = await RunningBrowser.start(self.config, self.guard, self._resolver, self._limits)
                self.started += 1
            return self._running

    async def _made(self, running: RunningBrowser, place: Place) -> LiveTab:
        """A context for a place that has none, with what it stored before."""
        await self._room()
        try:
            async with asyncio.timeout(self.config.seconds):
                tab = self._live[place] = await self._opened(running, place)
            return tab
        except TimeoutError:  # it cannot even do that: whoever comes next starts another
            await running.stop()
            raise
        finally:
            self._making -= 1

    async def _room(self) -> None:
        """Wait until there may be one context more; it counts as being made from here on."""
        idle = None
        try:
            async with asyncio.timeout(self.config.wait_seconds), self._freed:
                await self._freed.wait_for(lambda: self._spare or self._idle is not None)
                if not self._spare and (idle := self._idle) is not None:
                    await idle.lock.acquire()
                    tab = self._live.pop(idle)
                self._making += 1
        except TimeoutError:
            busy = f"all {self.config.contexts} pages of the browser are in use; try again"
            raise BrowserError(busy, "timeout") from None
        if idle is not None:
            await self._evict(idle, tab)

    @property
    def _spare(self) -> bool:
        return len(self._live) + self._making < self.config.contexts

    @property
    def _idle(self) -> Place | None:
        """Who has a context and does not use it; the one that did not use it for longest."""
        return next((place for place in self._live if not place.lock.locked()), None)

    async def _evict(self, place: Place, tab: LiveTab) -> None:
        """Take the context of a place, whose lock is held, and keep what it stored."""
        self.evicted += 1
        try:
            place.cookies = await _in_time(tab.context.storage_state(), KEEP_SECONDS) or place.cookies
            await _in_time(tab.context.close())
        finally:
            place.lock.release()

    async def _opened(self, running: RunningBrowser, place: Place) -> LiveTab:
        config, proxy = self.config, running.proxy
        context = await running.browser.new_context(
            proxy={"server": running.proxy_url, "username": proxy.user, "password": proxy.password},
            viewport={"width": config.width, "height": config.height},
            storage_state=place.cookies, accept_downloads=False, service_workers="block", locale="en-US",
        )  # fmt: skip
        context.set_default_timeout(1000 * config.seconds)
        return await LiveTab.open(context, self.guard, why=proxy.why, settle_seconds=config.settle_seconds)

    async def _leave(self, place: Place) -> None:
        tab = self._live.pop(place, None)
        if tab is not None:
            await _in_time(tab.context.close())
            await self._tell_waiting()

    async def _failed(self, running: RunningBrowser, place: Place, message: str) -> BrowserError:
        """What went wrong, in words for the model."""
        tab = self._live.get(place)
        if running.connected and tab is not None and (tab.crashed or tab.page.is_closed()):
            await self._leave(place)
            return BrowserError("the page crashed or closed itself; open it again", "crash")
        running.lost |= any(words in message for words in LOST)
        if not running.connected:
            return BrowserError("the browser ended; the next call starts it again, without what was typed", "crash")
        return BrowserError(f"the browser could not do that: {message.strip().splitlines()[0][:300]}")

    async def _tell_waiting(self) -> None:
        async with self._freed:
            self._freed.notify_all()


async def _in_time(asked: Coroutine[Any, Any, T], seconds: float = CLOSE_SECONDS) -> T | None:
    """What a context answers; None when it does not in time, or cannot any more."""
    from playwright.async_api import Error

    with suppress(TimeoutError, Error):
        async with asyncio.timeout(seconds):
            return await asked
    return None
