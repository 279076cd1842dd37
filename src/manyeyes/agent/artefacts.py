"""`HtmlArtefacts`: an HTML artefact as pictures, for graders that look at it.

    async with HtmlArtefacts(installed_browser()) as artefacts:
        judge = GrmJudge(grm, "artefact", tokenizer, artefacts=artefacts)

    the answer's last closed ```html block, or a folder with an index.html  →  a page in Chromium  →  pictures of it

The page is hostile. It is answered from memory under an address that leads nowhere, in a browser of the tools' own kind
(bubblewrap where it works, Chromium's sandbox) whose guard refuses every address and whose resolver knows no name. Each
has a context without a past and so many seconds.

A page without a picture is tried again in a browser of its own, behind an empty page: fails the empty one, the browser
is at fault and there is no verdict; fails the page alone, so does the artefact, and graders are told. A page's memory
has no bound but Chromium's own.

Report: §4.4.2 (aesthetics of artefacts); how they are rendered is an open choice here.
"""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

from aiohttp.abc import AbstractResolver

from manyeyes.agent.environments.browser_computer import BrowserComputer
from manyeyes.agent.environments.browser_computers import BrowserComputers
from manyeyes.agent.environments.computer import ComputerLost, Screen
from manyeyes.agent.environments.local_pages import ROOT, Read, folder, serve
from manyeyes.agent.judge import Case, JudgeFailed
from manyeyes.agent.tools.browser_command import BrowserConfig
from manyeyes.agent.tools.net_guard import FetchError, Guard
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ImagePart, Part, TextPart
from manyeyes.core.picture import Picture

INDEX = "index.html"
LONGEST = 2_000_000
"""Bytes of a page; a longer one is none."""
NOWHERE = Guard(ports=frozenset(), allow=frozenset(("pages.invalid:443",)))
"""No port of any address; the page's own name, which is answered before anything is looked up."""
SCREEN = Screen(1024, 768, settle_seconds=1.0)
EMPTY: Read = {INDEX: b"<!doctype html><title>empty</title>"}.get
SCROLL = "() => { const y = scrollY; scrollBy({top: innerHeight, behavior: 'instant'}); return scrollY > y; }"
FAILURES = (TimeoutError, ComputerLost, FetchError)

Find = Callable[[Case], Read | None]
"""The files of an attempt's artefact, by their paths; None where it made none."""


def html_block(case: Case) -> Read | None:
    """The last closed block of HTML in the answer.

    Example:
        >>> from manyeyes.agent.task import Outcome, Task
        >>> read = html_block(Case(Task("t", "?"), Outcome("done", "Here:\\n```html\\n<p>Hi</p>\\n```")))
        >>> read and read("index.html")
        b'<p>Hi</p>'
    """
    text = last_html(case.outcome.text)
    return None if text is None else {INDEX: text.encode("utf-8", "replace")}.get


def html_folder(place: Callable[[Case], Path]) -> Find:
    """The files of a folder that the attempt left, where there is an index.html; nothing outside of it is read.

    The folder itself must be no link, and what it lies in out of the attempt's reach.
    """

    def find(case: Case) -> Read | None:
        if (root := place(case)).is_symlink():
            return None
        files = folder(root)

        def read(name: str) -> bytes | None:
            return files(name) if _size(root / name) <= LONGEST else None

        if not (root / INDEX).is_symlink() and LONGEST < _size(root / INDEX) < math.inf:
            return {INDEX: bytes(LONGEST + 1)}.get  # too long, whatever it says
        return None if read(INDEX) is None else read

    return find


def last_html(text: str) -> str | None:
    """What stands in the last closed fenced block whose first word is html, as CommonMark reads fences; in time that
    grows as the text does.
    """
    found, opened, lines = None, None, list[str]()
    for line in text.split("\n"):
        fence = _fence(line)
        if opened is None:
            opened, lines = fence, []
        elif fence is not None and not fence.info and fence.marks.startswith(opened.marks):
            found = "\n".join(lines) if opened.info.lower().split()[:1] == ["html"] else found
            opened = None
        else:
            lines.append(line)
    return found


class _Fence(NamedTuple):
    marks: str
    info: str


def _fence(line: str) -> _Fence | None:
    """Three marks or more and what stands behind them, where no backtick may stand behind backticks."""
    bare = line.strip()
    behind = bare.lstrip(bare[:1])
    marks = bare[: len(bare) - len(behind)]
    if not marks.startswith(("```", "~~~")) or (marks[0] == "`" and "`" in behind):
        return None
    return _Fence(marks, behind.strip())


class HtmlArtefacts:
    """See the module; an async context manager. The browser starts with the first page.

    Args:
        config: which browser.
        find: where the artefact lies.
        screen: of the window.
        pictures: at most; a long page is scrolled for the second and later ones.
        seconds: for one page in a browser that runs; twice, and for an empty page, where it gives no picture at first.
        most: pages at once, and as many that are tried again.
    """

    def __init__(
        self,
        config: BrowserConfig,
        *,
        find: Find = html_block,
        screen: Screen = SCREEN,
        pictures: int = 2,
        seconds: float = 20.0,
        most: int = 2,
    ) -> None:
        if min(pictures, most) < 1 or not seconds > 0:
            raise ConfigError(
                f"an artefact needs a picture, a page at once and time, got {pictures}, {most} and {seconds} s"
            )
        self.config, self.find, self.screen, self.pictures, self.seconds = config, find, screen, pictures, seconds
        self._shared = self._browser(most)
        self._again = asyncio.Semaphore(most)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def __call__(self, case: Case) -> tuple[Part, ...]:
        """What is shown of a case's artefact; see `GrmJudge.artefacts`.

        Raises:
            JudgeFailed: no browser can be had, or it cannot even show an empty page.
        """
        read = self.find(case)
        page = None if read is None else read(INDEX)
        if read is None or page is None:
            return (TextPart("\n(there is no artefact: no closed block or file of HTML)\n"),)
        if len(page) > LONGEST:
            return (TextPart(f"\n(the artefact is no page: it is longer than {LONGEST:,} bytes)\n"),)
        shots = await self.rendered(read)
        if not shots:
            return (TextPart("\n(the artefact could not be rendered: its page gave no picture in time)\n"),)
        size = f"{self.screen.width}x{self.screen.height}"
        return TextPart(f"\n(the artefact, rendered, from the top; windows of {size})\n"), *map(ImagePart, shots)

    async def rendered(self, read: Read) -> tuple[Picture, ...]:
        """Pictures of a page from the top down; none where the page is at fault.

        Raises:
            JudgeFailed: see `__call__`.
        """
        try:
            return await self._shots(self._shared, read)
        except FAILURES:
            pass
        async with self._again, self._browser(1) as own:
            try:
                await self._shots(own, EMPTY)
            except FAILURES as error:
                raise JudgeFailed(f"the browser shows no page, not even an empty one: {error}") from None
            try:
                return await self._shots(own, read)
            except FAILURES:
                return ()

    async def close(self) -> None:
        """End the browser."""
        await self._shared.close()

    def _browser(self, most: int) -> BrowserComputers:
        return BrowserComputers(self.config, NOWHERE, most=most, resolver=NoNames())

    async def _shots(self, computers: BrowserComputers, read: Read) -> tuple[Picture, ...]:
        try:
            computer = await computers.open(self.screen)
        except ConfigError as error:
            raise JudgeFailed(f"artefacts are rendered by a browser, and none starts: {error}") from None
        try:
            async with asyncio.timeout(self.seconds):
                await serve(computer, read)
                await computer.goto(f"{ROOT}{INDEX}")
                return await self._windows(computer)
        finally:
            await computer.close()

    async def _windows(self, computer: BrowserComputer) -> tuple[Picture, ...]:
        shots = [await computer.screenshot()]
        while len(shots) < self.pictures and await computer.asked(computer.page.evaluate(SCROLL)) is True:
            shots.append(await computer.screenshot())
        return tuple(shots)


class NoNames(AbstractResolver):
    """A resolver that knows nobody."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> NoReturn:
        """See `AbstractResolver`. Raises OSError."""
        raise OSError(f"{host} is not looked up: artefacts reach no network")

    async def close(self) -> None:
        """See `AbstractResolver`."""


def _size(path: Path) -> float:
    """Bytes of a file; infinite where it cannot be said."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return math.inf
