"""`PageTools`: `open`, `find`, `scroll` and `click` over any `PageSource`; each agent has its own open pages.

    PageSource    address → Page            WebPages (the guarded web), LocalWeb
    PageTools     the four tools; remembers what is open, where the view stands and which pages were numbered

Several calls may run at once, so each may name its page; without a name they mean the page that was opened last. After
an interruption the open pages are taken from what finished calls noted, and are fetched again when they are needed.

Report: App. E.8 (open links, click, find, scroll), E.6 (citations).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from manyeyes.agent.tools.citations import Citations, canonical
from manyeyes.agent.tools.extraction import extract
from manyeyes.agent.tools.guarded_client import GuardedClient
from manyeyes.agent.tools.net_guard import FetchError
from manyeyes.agent.tools.page import LINES_A_VIEW, Page
from manyeyes.agent.tools.single_flight import Remembered
from manyeyes.agent.toolset import Functions, ToolResult, tool
from manyeyes.core.messages import Tool, ToolCall

MOST_FOUND = 20
MOST_OPEN = 16
"""Pages that an agent keeps; a thousand agents live in one process."""
AROUND = 1
"""Lines before and after a line that was found."""


class PageSource(Protocol):
    """Where pages come from."""

    async def page(self, url: str) -> Page:
        """The page at an address.

        Raises:
            FetchError: it cannot be had.
        """
        ...


class WebPages:
    """Pages of the web through the guard, extracted; each is fetched once for a whole run.

    Args:
        client: that fetches.
        most: pages that are kept.
        articles: see `extract`.
    """

    def __init__(self, client: GuardedClient, *, most: int = 256, articles: bool = False) -> None:
        self.client, self.articles = client, articles
        self._pages = Remembered[str, Page](self._fetch, most=most)

    async def page(self, url: str) -> Page:
        """See `PageSource.page`."""
        return await self._pages.get(url)

    async def close(self) -> None:
        """Close all connections."""
        await self._pages.close()
        await self.client.close()

    async def _fetch(self, url: str) -> Page:
        fetched = await self.client.get(url)
        return await asyncio.to_thread(extract, fetched, article=self.articles)


class PageTools:
    """The page tools of one agent.

    Args:
        source: of pages.
        citations: of this agent, shared with its search.
        noted: what its finished calls left behind before an interruption.
    """

    def __init__(self, source: PageSource, citations: Citations, noted: Sequence[dict[str, Any]] = ()) -> None:
        self._source, self._citations = source, citations
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._final: dict[str, str] = {}
        self._first: dict[str, int] = {}
        self._last = ""
        for data in noted:
            if "page" in data:
                self._stands(data["page"], data["first"])
        self._functions = Functions([self.open_page, self.find, self.scroll, self.click])
        self.tools: Sequence[Tool] = self._functions.tools
        self.repeatable = self._functions.repeatable

    async def open(self) -> None:
        """Nothing to get ready."""

    async def close(self) -> None:
        """Forget the pages."""
        self._pages.clear()

    async def call(self, call: ToolCall) -> ToolResult:
        """Make one call."""
        return await self._functions.call(call)

    @tool(name="open", repeatable=True)
    async def open_page(self, url: str, line: int = 1) -> ToolResult:
        """Open a web page or a PDF and read it.

        Args:
            url: address of the page.
            line: number of the line to begin with.
        """
        return await self._at(url, lambda page: line)

    @tool(repeatable=True)
    async def find(self, text: str, url: str = "") -> ToolResult:
        """Find text in a page, whatever its case.

        Args:
            text: what to look for.
            url: which page; the one opened last when left out.
        """
        page = await self._page(url)
        if isinstance(page, ToolResult):
            return page
        lines = page.found(text)
        if not lines:
            return ToolResult.of(f"{text!r} is not on {page.url} ({len(page.lines)} lines). Try other words.")
        cite = self._citations.number(page.url)
        parts = [_around(page, line) for line in lines[:MOST_FOUND]]
        more = f"\n({len(lines) - MOST_FOUND} more)" if len(lines) > MOST_FOUND else ""
        told = f"[^{cite}^] {page.title}\n{page.url}\n" + "\n…\n".join(parts) + more
        return ToolResult.of(f"{told}\n(found {len(lines)} times; cite as [^{cite}^])", **self._note(page))

    @tool(repeatable=True)
    async def scroll(self, pages: float = 1.0, url: str = "") -> ToolResult:
        """Go on reading an open page.

        Args:
            pages: how many views further; negative goes back.
            url: which page; the one opened last when left out.
        """
        return await self._at(url, lambda page: self._line(page) + round(pages * LINES_A_VIEW))

    @tool(repeatable=True)
    async def click(self, ref: int, url: str = "") -> ToolResult:
        """Open a link of an open page.

        Args:
            ref: number of the link; [words](#3) has the number 3.
            url: on which page; the one opened last when left out.
        """
        page = await self._page(url)
        if isinstance(page, ToolResult):
            return page
        if not 1 <= ref <= len(page.links):
            return ToolResult.failed("refused", f"{page.url} has links 1 to {len(page.links)}, there is no {ref}")
        return await self._at(page.links[ref - 1].url, lambda page: 1)

    async def _at(self, url: str, first: Callable[[Page], int]) -> ToolResult:
        """A view of a page; `first` says from which line on."""
        page = await self._page(url)
        if isinstance(page, ToolResult):
            return page
        at = max(1, min(first(page), max(1, len(page.lines))))
        self._stands(page.url, at)
        return ToolResult.of(page.view(at, cite=self._citations.number(page.url)), **self._note(page))

    async def _page(self, url: str) -> Page | ToolResult:
        """The page at an address, or the one opened last; opened if it is not open."""
        key = canonical(url) if url.strip() else self._last
        if not key:
            return ToolResult.failed("refused", "no page is open; open one first")
        page = self._pages.get(self._final.get(key, key))
        if page is None:
            try:
                page = await self._source.page(url.strip() or self._url(key))
            except FetchError as error:
                return ToolResult.failed("refused", str(error))
        self._keep(key, page)
        return page

    def _keep(self, key: str, page: Page) -> None:
        """Remember a page that was asked for by `key`; the one not used for longest goes and may be fetched again."""
        final = self._final[key] = canonical(page.url)
        self._pages[final] = page
        self._pages.move_to_end(final)
        while len(self._pages) > MOST_OPEN:
            self._pages.popitem(last=False)

    def _url(self, key: str) -> str:
        """Where a page is that was open before an interruption, or that was not kept."""
        return next(url for url in self._citations.urls.values() if canonical(url) == key)

    def _line(self, page: Page) -> int:
        """Where the view of a page stands; kept by its own address, whatever address it was asked by."""
        return self._first.get(canonical(page.url), 1)

    def _stands(self, url: str, first: int) -> None:
        self._last = canonical(url)
        self._first[self._last] = first

    def _note(self, page: Page) -> dict[str, Any]:
        cited = self._citations.noted([page.url])
        return {"page": page.url, "title": page.title, "first": self._line(page), "cited": cited}


def _around(page: Page, line: int) -> str:
    numbers = range(max(1, line - AROUND), min(len(page.lines), line + AROUND) + 1)
    return "\n".join(f"L{number}: {page.lines[number - 1]}" for number in numbers)
