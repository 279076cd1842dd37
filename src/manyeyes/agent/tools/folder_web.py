"""A folder of pages as a web that agents search: HTML, Markdown, text, PDF; every file has an address of its own.

    /data/handbook/a/b.html   →   https://folder.invalid/a/b.html

".invalid" leads nowhere, so such an address can only mean a file of the folder. Links between files work where they are
relative. Addresses that are not of the folder come from the web, through the guard.

Report: App. E.8 (search); the offline variant of BrowseComp is such a folder.
"""

import mimetypes
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from manyeyes.agent.tools.extraction import extract
from manyeyes.agent.tools.guarded_client import Fetched
from manyeyes.agent.tools.local_web import WebPage
from manyeyes.agent.tools.net_guard import FetchError
from manyeyes.agent.tools.page import Page
from manyeyes.agent.tools.pages import PageSource
from manyeyes.core.errors import ConfigError

ROOT = "https://folder.invalid/"
ENDINGS = (".html", ".htm", ".xhtml", ".md", ".markdown", ".txt", ".pdf")
MARKDOWN = (".md", ".markdown")
LARGEST = 32 * 2**20
"""Bytes of a file."""


def folder_pages(folder: Path) -> Iterator[WebPage]:
    """The pages of a folder, sorted by name; links, larger files and what cannot be read are left out.

    Raises:
        ConfigError: no such folder, or no page in it.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder of pages")
    empty = True
    for path in _files(folder):
        url = ROOT + quote(path.relative_to(folder).as_posix())
        kind = "text/markdown" if path.suffix.lower() in MARKDOWN else mimetypes.guess_type(path.name)[0] or ""
        try:
            page = extract(Fetched(url, path.read_bytes(), kind))
        except FetchError:
            continue
        empty = False
        yield WebPage(page.url, page.title if page.title != url else path.name, _markdown(page), page.date)
    if empty:
        raise ConfigError(f"{folder} holds no page ({', '.join(ENDINGS)})")


class FolderThenWeb:
    """A `PageSource`: pages of the folder from its index, others from the web."""

    def __init__(self, folder: PageSource, web: PageSource) -> None:
        self.folder, self.web = folder, web

    async def page(self, url: str) -> Page:
        """See `PageSource.page`."""
        return await (self.folder if url.strip().lower().startswith(ROOT) else self.web).page(url)


def _markdown(page: Page) -> str:
    """The page's text with its links' addresses in place of their numbers."""

    def address(match: re.Match[str]) -> str:
        number = int(match[1])
        return f"](<{page.links[number - 1].url}>)" if 1 <= number <= len(page.links) else match[0]

    return re.sub(r"\]\(#(\d{1,6})\)", address, "\n".join(page.lines))


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if path.suffix.lower() in ENDINGS and not path.is_symlink() and path.stat().st_size <= LARGEST:
                yield path
