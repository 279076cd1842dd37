"""`LiveTab`: one loaded page in a context of its own; what a page does by itself is dealt with here.

    dialogs             answered with "cancel", told to the agent
    new windows         the first one that a click opens takes the page's place, all others are closed
    heavy or forbidden  media, fonts and what the guard refuses are not loaded
    settled             nothing under way for a moment; a page that never rests is taken as it is

Report: App. E.8 (click, type); the policy is an open choice here.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from yarl import URL

from manyeyes.agent.tools.net_guard import FetchError, Guard, Refused
from manyeyes.agent.toolset import Failure

HEAVY = frozenset(("media", "font", "texttrack", "manifest"))
OPENED = ("http://", "https://", "data:", "blob:", "about:")
"""Addresses that a page may load; documents shown to an agent are only of the first two."""
POLL = 0.05
QUIET = 0.2
"""Seconds without anything under way after which a page counts as settled."""
MOST_TOLD = 5
LONGEST_TOLD = 300


class BrowserError(FetchError):
    """A page that the browser could not show or use.

    Attributes:
        failure: as `ToolResult` names it.
    """

    def __init__(self, why: str, failure: Failure = "refused") -> None:
        super().__init__(why)
        self.failure: Failure = failure


class NotAPage(BrowserError):
    """An address that gives a file, such as a PDF, and no page."""


class LiveTab:
    """A page and its context. Make one with `open`.

    Attributes:
        told: what the page said or tried since somebody looked.
        crashed: its process is gone.
    """

    def __init__(self, context: Any, guard: Guard, why: Callable[[str], str], settle_seconds: float) -> None:
        self.context, self.guard, self.settle_seconds = context, guard, settle_seconds
        self._why = why
        self.page: Any = None
        self.told: list[str] = []
        self.crashed = False
        self._refused: Refused | None = None
        self._file = False
        self._under_way: set[Any] = set()
        self._changed = 0.0

    @classmethod
    async def open(cls, context: Any, guard: Guard, *, why: Callable[[str], str], settle_seconds: float) -> "LiveTab":
        """An empty page in a context.

        Args:
            context: of playwright.
            guard: what may be loaded.
            why: says of a host why it was not reached.
            settle_seconds: see `settled`.
        """
        tab = cls(context, guard, why, settle_seconds)
        await context.route("**/*", tab._route)
        tab._adopt(await context.new_page())
        context.on("page", tab._opened)
        context.on("request", tab._started)  # those of new windows, too: who waits, waits for them
        context.on("requestfinished", tab._ended)
        context.on("requestfailed", tab._ended)
        return tab

    async def goto(self, url: str) -> None:
        """Load an address.

        Raises:
            BrowserError: it may not be loaded, or could not.
            NotAPage: it gives a file.
        """
        self.guard.check_url(url)
        self._begin()
        answer = await self._went(url)
        await self.settled()
        if answer is not None and answer.status >= 400:
            if answer.headers.get("proxy-status", "").startswith("manyeyes"):
                raise BrowserError((await answer.text())[:LONGEST_TOLD].strip())
            self._tell(f"the server answered {answer.status}")

    async def _went(self, url: str) -> Any:
        from playwright.async_api import Error, TimeoutError

        try:
            return await self.page.goto(url, wait_until="domcontentloaded")
        except TimeoutError:
            raise
        except Error as error:
            if self._refused is not None:
                raise BrowserError(str(self._refused)) from None
            if self._file or "Download is starting" in error.message:
                raise NotAPage(f"{url} gives a file and no page") from None
            if "net::" in error.message:
                why = self._why(URL(url).host or "") or _net(error.message)
                raise BrowserError(f"{url} could not be loaded: {why}") from None
            raise

    async def after(self) -> None:
        """After a click: give the page time to do what it was asked for, and leave what may not be shown.

        Raises:
            BrowserError: it led to an address that may not be shown.
        """
        await asyncio.sleep(POLL)
        await self.settled()
        refused, self._refused = self._refused, None
        if refused is not None:
            self._tell(f"an address was not loaded: {refused}")
        if self.page.url != "about:blank" and not self.page.url.startswith(OPENED[:2]):
            url = self.page.url[:LONGEST_TOLD]
            await self.page.goto("about:blank")
            raise BrowserError(f"this led to {url!r}, which is not shown")
        if self.page.url.startswith("chrome-error:"):
            raise BrowserError("the page that this led to could not be loaded")

    async def settled(self) -> None:
        """Wait until nothing was under way for a moment, or long enough."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settle_seconds
        while (now := loop.time()) < until and not self.crashed:
            if not self._under_way and now - self._changed >= QUIET:
                break
            await asyncio.sleep(POLL)

    def begin(self) -> None:
        """Before a click: what is refused from now on is told."""
        self._begin()

    def taken(self) -> list[str]:
        """What was told since the last time."""
        told, self.told = self.told, []
        return told

    def _begin(self) -> None:
        self._refused, self._file = None, False
        self._changed = asyncio.get_running_loop().time()

    def _adopt(self, page: Any) -> None:
        self.page = page
        self._under_way.clear()
        page.on("dialog", self._dialog)
        page.on("crash", self._crash)
        page.on("download", self._download)
        page.on("framenavigated", self._moved)

    async def _route(self, route: Any) -> None:
        request = route.request
        refused = self._refusal(request)
        if refused is None and request.resource_type not in HEAVY:
            await route.continue_()
            return
        if refused is not None and request.is_navigation_request() and request.frame == self.page.main_frame:
            self._refused = refused
        await route.abort("blockedbyclient")

    def _refusal(self, request: Any) -> Refused | None:
        if not request.url.startswith(OPENED):
            return Refused(f"only http and https addresses can be opened, got {request.url[:200]!r}")
        if request.url.startswith(OPENED[:2]):
            try:
                self.guard.check_url(request.url)
            except Refused as refused:
                return refused
        return None

    async def _opened(self, page: Any) -> None:
        """A new window: it takes the page's place when it was opened by the page itself."""
        old = self.page
        if page is old:
            return
        if await page.opener() is old and not old.is_closed():
            self._adopt(page)
            self._tell("a new window was opened; it is shown instead")
            await old.close()
        else:
            await page.close()

    async def _dialog(self, dialog: Any) -> None:
        self._tell(f"a dialog ({dialog.type}) said {dialog.message[:LONGEST_TOLD]!r} and was answered with cancel")
        if dialog.type == "beforeunload":
            await dialog.accept()
        else:
            await dialog.dismiss()

    def _crash(self, _: Any) -> None:
        self.crashed = True

    def _download(self, _: Any) -> None:
        self._file = True
        self._tell("a file was offered and not taken")

    def _started(self, request: Any) -> None:
        if request.resource_type not in HEAVY and len(self._under_way) < 1_000:
            self._under_way.add(request)
        self._changed = asyncio.get_running_loop().time()

    def _ended(self, request: Any) -> None:
        self._under_way.discard(request)
        self._changed = asyncio.get_running_loop().time()

    def _moved(self, frame: Any) -> None:
        if frame == self.page.main_frame:
            self._under_way = {request for request in self._under_way if not request.is_navigation_request()}
        self._changed = asyncio.get_running_loop().time()

    def _tell(self, what: str) -> None:
        if what not in self.told and len(self.told) < MOST_TOLD:
            self.told.append(what)


def _net(message: str) -> str:
    """The reason in playwright's words: "net::ERR_NAME_NOT_RESOLVED"."""
    return message.partition("net::")[2].partition(" ")[0].partition("\n")[0]
