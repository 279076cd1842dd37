"""`LocalWeb`: a web in a file or in memory, searched with SQLite's FTS5; no network, no packages.

    search    all words first; where too few pages hold them all, pages with any of them follow (bm25, titles count 4x)
    page      by address

Both take `seconds`, so that a demo has the latency of a real web. Words are stemmed (porter) and lose their accents;
what languages without spaces write is found by pairs of characters (`bigrams`). `tantivy_web` does the same, faster.

Report: App. E.8 (search, browser); BrowseComp-Plus and the demo run on this.
"""

import asyncio
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from manyeyes.agent.tools.bigrams import Term, excerpt, only_pairs, terms
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
create table pages (id integer primary key, key text unique, url text, host text, title text, text text, date text,
    title_pairs text, text_pairs text);
create virtual table words using fts5(title, text, title_pairs, text_pairs, content=pages, content_rowid=id,
    tokenize='porter unicode61');
"""
_INSERT = """
insert into pages (key, url, host, title, text, date, title_pairs, text_pairs) values (?, ?, ?, ?, ?, ?, ?, ?)
"""
_SEARCH = f"""
select p.url, p.title, snippet(words, 1, '', '', ' … ', {SNIPPET_WORDS}), p.date, p.text
from words join pages p on p.id = words.rowid
where words match ? and (? = '' or p.host = ? or p.host like ?)
order by bm25(words, {WEIGHTS[0]}, {WEIGHTS[1]}, {WEIGHTS[0]}, {WEIGHTS[1]}), p.id limit ?
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
        asked = terms(query)
        found: dict[str, Hit] = {}
        for match in (_all_of(asked), _any_of(asked)) if asked else ():
            if len(found) < count:
                for row in self._connection.execute(_SEARCH, (match, site, site, f"%.{site}", count)):
                    found.setdefault(row[0], _hit(row, asked))
        return list(found.values())[:count]


def _all_of(asked: Sequence[Term]) -> str:
    """Every word, and every run as it stands."""
    return " AND ".join(_match(" ".join(term.pairs) or term.text, term) for term in asked)


def _any_of(asked: Sequence[Term]) -> str:
    """Any word, and any pair of a run."""
    return " OR ".join(_match(text, term) for term in asked for text in term.pairs or (term.text,))


def _match(text: str, term: Term) -> str:
    return f'"{text}"*' if term.single else f'"{text}"'


def _hit(row: tuple[str, str, str, str, str], asked: Sequence[Term]) -> Hit:
    url, title, snippet, date, text = row
    runs = [word for term in asked if term.unspaced for word in (term.text, *term.pairs)]
    return Hit(url, title, excerpt(text, runs) if runs else snippet, date)


def _row(page: WebPage) -> tuple[str, ...]:
    host = urlsplit(page.url).hostname or ""
    told = (canonical(page.url), page.url, host, page.title, page.text, page.date)
    return (*told, only_pairs(page.title), only_pairs(page.text))


def _fill(connection: sqlite3.Connection, pages: Iterable[WebPage]) -> None:
    with connection:
        connection.executescript(_SCHEMA)
        connection.executemany(_INSERT, map(_row, pages))
        connection.execute("insert into words (words) values ('rebuild')")
        connection.execute("insert into words (words) values ('optimize')")
