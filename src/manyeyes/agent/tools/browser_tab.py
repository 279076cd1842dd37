"""`BrowserTab`: what one agent does in the browser: open, click, fill, read on, take a picture.

An agent acts on numbers that it saw. When its context was given back meanwhile, its page is loaded again, and a number
counts only if it still stands for the same thing; else the agent is told to look again.

Report: App. E.8 (open, click, type, scroll).
"""

from typing import Any

from manyeyes.agent.tools.browser_context import BrowserError, LiveTab, NotAPage
from manyeyes.agent.tools.browser_pool import BrowserPool, Loaded, Place
from manyeyes.agent.tools.browser_snapshot import Control, RenderedPage, taken
from manyeyes.agent.tools.page import Page
from manyeyes.agent.tools.pages import PageSource
from manyeyes.core.picture import Picture

CLICK_SECONDS = 5.0
"""For something to become clickable or fillable."""
FILLED = frozenset(("text field", "password field"))
QUALITY = 80
"""Of JPEG."""


class BrowserTab:
    """An agent's tab; also the `PageSource` of its page tools.

    Args:
        pool: of the run.
        reader: of what is a file and no page, such as PDF.
    """

    def __init__(self, pool: BrowserPool, reader: PageSource) -> None:
        self._pool, self._reader = pool, reader
        self._place = Place()
        self._shown: RenderedPage | None = None
        self.told: list[str] = []

    async def close(self) -> None:
        """Give the context back."""
        self._shown = None
        await self._pool.leave(self._place)

    async def page(self, url: str) -> Page:
        """Load an address. Raises BrowserError, or FetchError."""
        self._pool.guard.check_url(url)
        try:
            async with self._pool.hold(self._place) as loaded:
                self._shown = None
                await loaded.tab.goto(url)
                return await self._look(loaded.tab)
        except NotAPage:
            return await self._reader.page(url)

    async def click(self, page: RenderedPage, ref: int) -> Page:
        """Click on what has a number on a page. Raises BrowserError."""
        async with self._pool.hold(self._place) as loaded:
            element, control = await self._element(loaded, page, ref)
            loaded.tab.begin()
            await _click(element, control)
            await loaded.tab.after()
            return await self._look(loaded.tab)

    async def fill(self, page: RenderedPage, ref: int, text: str, *, submit: bool) -> Page:
        """Put text into a field, or choose an option. Raises BrowserError."""
        async with self._pool.hold(self._place) as loaded:
            element, control = await self._element(loaded, page, ref)
            loaded.tab.begin()
            await _fill(element, control, text)
            if submit:
                await element.press("Enter")
            await loaded.tab.after()
            return await self._look(loaded.tab)

    async def look(self, page: RenderedPage, *, further: bool) -> Page:
        """The page as it is now; what it loads at its end is loaded first if asked for. Raises BrowserError."""
        async with self._pool.hold(self._place) as loaded:
            await self._shows(loaded, page)
            if further:
                await loaded.tab.page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
                await loaded.tab.after()
            return await self._look(loaded.tab)

    async def picture(self, page: RenderedPage) -> Picture:
        """The window on a page. Raises BrowserError."""
        async with self._pool.hold(self._place) as loaded:
            await self._shows(loaded, page)
            shot = await loaded.tab.page.screenshot(type="jpeg", quality=QUALITY, animations="disabled")
            return Picture.from_bytes(shot, name="screenshot")

    async def _shows(self, loaded: Loaded, page: RenderedPage) -> RenderedPage:
        """The page as it is loaded, after loading it if it is not."""
        shown = self._shown
        if not loaded.again and shown is not None and shown.url == page.url:
            return shown
        await loaded.tab.goto(page.url)
        return await self._look(loaded.tab)

    async def _element(self, loaded: Loaded, page: RenderedPage, ref: int) -> tuple[Any, Control]:
        shown = await self._shows(loaded, page)
        control = shown.controls[ref - 1] if ref <= len(shown.controls) else None
        if control is None or shown.links[ref - 1] != page.links[ref - 1]:
            raise BrowserError(
                f"{page.url} has changed and {ref} is something else now; look at it again with scroll(0)"
            )
        element = (await shown.elements.get_property(str(control.place))).as_element()
        if element is None or not await element.evaluate("element => element.isConnected"):
            raise BrowserError(f"{ref} is gone from {page.url}; look at it again with scroll(0)")
        return element, control

    async def _look(self, tab: LiveTab) -> RenderedPage:
        from playwright.async_api import Error

        for attempt in range(3):
            try:
                self._shown = await taken(tab.page)
                break
            except Error as error:
                if attempt == 2 or "context was destroyed" not in error.message:
                    raise
                await tab.settled()  # it went on to another page while we looked
        assert self._shown is not None
        self.told += tab.taken()
        return self._shown


async def _click(element: Any, control: Control) -> None:
    from playwright.async_api import TimeoutError

    if control.kind == "file field":
        raise BrowserError("this field takes a file, and files of yours are never given to a page")
    try:
        if await element.is_visible():
            await element.click(timeout=1000 * CLICK_SECONDS, no_wait_after=True)
        else:  # a box that its page draws itself
            await element.evaluate("element => element.click()")
    except TimeoutError:
        raise BrowserError(
            f"this {control.kind} cannot be clicked: something lies over it, or it is disabled; deal with that first"
        ) from None


async def _fill(element: Any, control: Control, text: str) -> None:
    from playwright.async_api import TimeoutError

    try:
        if control.kind == "choice":
            await _choose(element, text)
        elif control.kind in FILLED:
            await element.fill(text, timeout=1000 * CLICK_SECONDS)
        else:
            raise BrowserError(f"this is a {control.kind} and no field for text; click it")
    except TimeoutError:
        raise BrowserError(f"this {control.kind} takes no text now: it is disabled, read-only or hidden") from None


async def _choose(element: Any, text: str) -> None:
    """An option by its words, in any case, or by its value."""
    options = await element.evaluate("element => [...element.options].map(option => [option.label, option.value])")
    wanted = " ".join(text.split()).casefold()
    for place, (label, value) in enumerate(options):
        if wanted in (" ".join(str(label).split()).casefold(), str(value).casefold()):
            await element.select_option(index=place, timeout=1000 * CLICK_SECONDS)
            return
    labels = ", ".join(str(label) for label, _ in options[:30])
    raise BrowserError(f"there is no option {text!r}; there are {labels}")
