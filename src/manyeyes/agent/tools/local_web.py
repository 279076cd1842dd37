"""`LocalWeb`: a web in a file or in memory, searched with SQLite's FTS5; no network, no packages.

    search    all words first; where too few pages hold them all, pages with any of them follow (bm25, titles count 4x)
    page      by address

Both take `seconds`, so that a demo has the latency of a real web. Words are stemmed (porter) and lose their accents;
languages without spaces are not cut into words.

Report: App. E.8 (search, browser); BrowseComp-Plus and the demo run on this.
"""

import asyncio
import os
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from manyeyes.agent.tools.citations import canonical
from manyeyes.agent.tools.net_guard import FetchError
from manyeyes.agent.tools.page import Page
from manyeyes.agent.tools.search import Hit, SearchError
from manyeyes.core.errors import ManyeyesError

MANY = 5_000
"""Pages from which on a search is long enough (milliseconds) to be made in a thread."""
WEIGHTS = (4.0, 1.0)
"""Of title and text in bm25."""
SNIPPET_WORDS = 40
_SCHEMA = """
create table pages (id integer primary key, key text unique, url text, host text, title text, text text, date text);
create virtual table words using fts5(title, text, content=pages, content_rowid=id, tokenize='porter unicode61');
"""
_SEARCH = f"""
select p.url, p.title, snippet(words, 1, '', '', ' … ', {SNIPPET_WORDS}), p.date
from words join pages p on p.id = words.rowid
where words match ? and (? = '' or p.host = ? or p.host like ?)
order by bm25(words, {WEIGHTS[0]}, {WEIGHTS[1]}), p.id limit ?
"""


@dataclass(frozen=True, slots=True)
class WebPage:
    """A page to be put into a local web.

    Attributes:
        text: Markdown; links may be relative.
        date: ISO, or "".
    """

    url: str
    title: str
    text: str
    date: str = ""


class LocalWeb:
    """A `SearchBackend` and a `PageSource`.

    Args:
        connection: to a database that `build` made.
        seconds: that each search and each page take.

    Example:
        >>> web = LocalWeb.build([WebPage("https://a.example/", "Tea", "Tea is a drink.")])
        >>> [hit.title for hit in asyncio.run(web.search("drinks", count=3))]
        ['Tea']
    """

    name = "local web"

    def __init__(self, connection: sqlite3.Connection, *, seconds: float = 0.0) -> None:
        self._connection, self.seconds = connection, seconds
        self._lock = asyncio.Lock()
        self.searched = self.opened = 0

    @classmethod
    def build(cls, pages: Iterable[WebPage], path: Path | None = None, *, seconds: float = 0.0) -> "LocalWeb":
        """A web of these pages, in memory or in a file; a file that is there is replaced.

        Raises:
            ManyeyesError: two pages have the same address.
        """
        building = path.with_name(f".{path.name}.building") if path is not None else None
        if building is not None:
            building.unlink(missing_ok=True)
        connection = sqlite3.connect(building or ":memory:", check_same_thread=False)
        try:
            _fill(connection, pages)
        except sqlite3.IntegrityError:
            connection.close()
            raise ManyeyesError("two pages of a local web have the same address; leave one out") from None
        if path is None or building is None:
            return cls(connection, seconds=seconds)
        connection.close()
        os.replace(building, path)
        return cls.load(path, seconds=seconds)

    @classmethod
    def load(cls, path: Path, *, seconds: float = 0.0) -> "LocalWeb":
        """The web in a file; many processes may read one.

        Raises:
            ManyeyesError: the file is not there or is no local web.
        """
        try:
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
            with closing(connection.execute("select count(*) from pages, words limit 1")) as found:
                found.fetchone()
        except sqlite3.Error as error:
            raise ManyeyesError(f"{path} is not a local web ({error}); make one with LocalWeb.build") from None
        return cls(connection, seconds=seconds)

    def __len__(self) -> int:
        return self._connection.execute("select count(*) from pages").fetchone()[0]

    async def close(self) -> None:
        """Close the database."""
        self._connection.close()

    async def search(self, query: str, *, count: int, site: str | None = None) -> list[Hit]:
        """See `SearchBackend.search`."""
        self.searched += 1
        await asyncio.sleep(self.seconds)
        try:
            return await self._in_thread_if_long(query, count, site or "")
        except sqlite3.Error as error:
            raise SearchError(f"the local web cannot be searched: {error}") from None

    async def page(self, url: str) -> Page:
        """See `PageSource.page`."""
        self.opened += 1
        await asyncio.sleep(self.seconds)
        row = self._connection.execute(
            "select url, title, text, date from pages where key = ?", (canonical(url),)
        ).fetchone()
        if row is None:
            raise FetchError(f"{url} is not in the local web; search for pages that are")
        return Page.from_markdown(row[0], row[1], row[2], date=row[3])

    async def _in_thread_if_long(self, query: str, count: int, site: str) -> list[Hit]:
        if len(self) < MANY:
            return self._found(query, count, site)
        async with self._lock:
            return await asyncio.to_thread(self._found, query, count, site)

    def _found(self, query: str, count: int, site: str) -> list[Hit]:
        words = list(dict.fromkeys(re.findall(r"\w+", query.casefold())))
        if not words:
            return []
        found: dict[str, Hit] = {}
        for operator in (" AND ", " OR "):
            if len(found) < count:
                match = operator.join(f'"{word}"' for word in words)
                for row in self._connection.execute(_SEARCH, (match, site, site, f"%.{site}", count)):
                    found.setdefault(row[0], Hit(*row))
        return list(found.values())[:count]


def _fill(connection: sqlite3.Connection, pages: Iterable[WebPage]) -> None:
    with connection:
        connection.executescript(_SCHEMA)
        rows = ((canonical(p.url), p.url, urlsplit(p.url).hostname or "", p.title, p.text, p.date) for p in pages)
        connection.executemany("insert into pages (key, url, host, title, text, date) values (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("insert into words (words) values ('rebuild')")
        connection.execute("insert into words (words) values ('optimize')")
