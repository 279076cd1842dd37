"""`BrowserTools`: the page tools over a real browser; what only a browser can do: live clicks, `type`, `screenshot`.

    open(url, line)  find(text, url)  scroll(pages, url)  click(ref, url)        as `PageTools`
    type(ref, text, submit, url)      screenshot(url)

Views, citations and notes are those of `PageTools`; numbers stand for links, buttons and fields. What was typed and
what cookies say is not part of a run's record: after an interruption an agent finds its pages again, not its forms.

Report: App. E.8 (open links, click, type, find, scroll).
"""

from collections.abc import Awaitable, Sequence
from typing import Any

from manyeyes.agent.environment import Ctx
from manyeyes.agent.tools.browser_context import BrowserError
from manyeyes.agent.tools.browser_pool import BrowserPool
from manyeyes.agent.tools.browser_snapshot import RenderedPage
from manyeyes.agent.tools.browser_tab import BrowserTab
from manyeyes.agent.tools.citations import Citations, canonical
from manyeyes.agent.tools.net_guard import FetchError
from manyeyes.agent.tools.page import LINES_A_VIEW, Page
from manyeyes.agent.tools.pages import PageSource, PageTools
from manyeyes.agent.tools.search import SearchBackend, search_tool
from manyeyes.agent.toolset import Functions, Together, ToolResult, tool
from manyeyes.core.messages import TextPart

MOST_TYPED = 20_000
"""Characters."""


def browser_tools(backend: SearchBackend, pool: BrowserPool, reader: PageSource, ctx: Ctx) -> Together:
    """`search` and the tools of a browser, with one list of citations; state of its own for each agent.

    Args:
        backend: that finds pages.
        pool: the browser of the run, shared by all agents; whoever made it closes it.
        reader: of files such as PDF, which a browser does not show.
        ctx: of the agent.
    """
    citations = Citations(ctx.noted)
    return Together(Functions([search_tool(backend, citations)]), BrowserTools(pool, reader, citations, ctx.noted))


class BrowserTools(PageTools):
    """The browser of one agent.

    Args:
        pool: of the run.
        reader: of files that are no pages.
        citations: of this agent, shared with its search.
        noted: what its finished calls left behind before an interruption.
    """

    def __init__(
        self, pool: BrowserPool, reader: PageSource, citations: Citations, noted: Sequence[dict[str, Any]] = ()
    ) -> None:
        self._tab = BrowserTab(pool, reader)
        super().__init__(self._tab, citations, noted)
        used = [self.open_page, self.find, self.scroll, self.click, self.type_text, self.screenshot]
        self._functions = Functions(used, seconds=2 * pool.config.seconds + pool.config.wait_seconds)
        self.tools, self.repeatable = self._functions.tools, self._functions.repeatable

    async def close(self) -> None:
        """Forget the pages and give the browser back."""
        await super().close()
        await self._tab.close()

    @tool(name="open", repeatable=True)
    async def open_page(self, url: str, line: int = 1) -> ToolResult:
        """Open a web page in the browser, or a PDF, and read it.

        Args:
            url: address of the page.
            line: number of the line to begin with.
        """
        return await self._seen(self._tab.page(url.strip()), first=line)

    @tool(repeatable=True)
    async def scroll(self, pages: float = 1.0, url: str = "") -> ToolResult:
        """Go on reading an open page; at its end, what the page adds there is loaded.

        Args:
            pages: how many views further; negative goes back, 0 looks again at what is shown now.
            url: which page; the one opened last when left out.
        """
        page = await self._page(url)
        if isinstance(page, ToolResult):
            return page
        first = self._line(page) + round(pages * LINES_A_VIEW)
        if not isinstance(page, RenderedPage) or (pages != 0 and first <= len(page.lines)):
            return self._view(page, first)
        return await self._seen(self._tab.look(page, further=pages > 0), first=first)

    @tool(repeatable=False)
    async def click(self, ref: int, url: str = "") -> ToolResult:
        """Click on a link, a button or a box of an open page.

        Args:
            ref: its number; [words](#3) has the number 3.
            url: on which page; the one opened last when left out.
        """
        page = await self._numbered(ref, url)
        if isinstance(page, ToolResult):
            return page
        if isinstance(page, RenderedPage) and page.controls[ref - 1] is not None:
            return await self._seen(self._tab.click(page, ref))
        return await self._seen(self._tab.page(page.links[ref - 1].url))

    @tool(name="type", repeatable=False)
    async def type_text(self, ref: int, text: str, submit: bool = False, url: str = "") -> ToolResult:
        """Put text into a field of an open page, in place of what is there, or choose an option of a list.

        Args:
            ref: number of the field; [Name (text field): ""](#3) has the number 3.
            text: what to type, or the option's words.
            submit: press Enter afterwards.
            url: on which page; the one opened last when left out.
        """
        page = await self._numbered(ref, url)
        if isinstance(page, ToolResult):
            return page
        if not isinstance(page, RenderedPage) or page.controls[ref - 1] is None:
            return ToolResult.failed("refused", f"{ref} is a link and no field; click it")
        return await self._seen(self._tab.fill(page, ref, text[:MOST_TYPED], submit=submit))

    @tool(repeatable=True)
    async def screenshot(self, url: str = "") -> ToolResult:
        """See an open page as a picture: the top of the window, as a person sees it.

        Args:
            url: which page; the one opened last when left out.
        """
        page = await self._page(url)
        if isinstance(page, ToolResult):
            return page
        if not isinstance(page, RenderedPage):
            return ToolResult.failed("refused", f"{page.url} is a file, which the browser does not show")
        try:
            picture = await self._tab.picture(page)
        except FetchError as error:
            return _failed(error)
        return ToolResult.of(f"{page.title}\n{page.url}", picture, **self._note(page))

    async def _numbered(self, ref: int, url: str) -> Page | ToolResult:
        """The page on which a number is looked for."""
        page = await self._page(url)
        if isinstance(page, Page) and not 1 <= ref <= len(page.links):
            return ToolResult.failed("refused", f"{page.url} has numbers 1 to {len(page.links)}, there is no {ref}")
        return page

    async def _seen(self, coming: Awaitable[Page], *, first: int = 1) -> ToolResult:
        """The view of a page that the browser gives, or why it gives none."""
        try:
            page = await coming
        except FetchError as error:
            return _failed(error)
        self._keep(canonical(page.url), page)
        return self._view(page, first)

    def _view(self, page: Page, first: int) -> ToolResult:
        at = max(1, min(first, max(1, len(page.lines))))
        self._stands(page.url, at)
        told, self._tab.told = self._tab.told, []
        view = page.view(at, cite=self._citations.number(page.url))
        notes = tuple(TextPart(f"\n(note: {note})") for note in told)
        result = ToolResult.of(view, **self._note(page))
        return ToolResult((*result.parts, *notes), data=result.data)


def _failed(error: FetchError) -> ToolResult:
    return ToolResult.failed(error.failure if isinstance(error, BrowserError) else "refused", str(error))
