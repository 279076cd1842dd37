"""`TantivyWeb`: a local web searched with tantivy, for more pages than SQLite ranks fast.

    local_web(pages, folder)    TantivyWeb where the package tantivy is installed, else LocalWeb
    load_local_web(path)        what was built there

Finds what `LocalWeb` finds: all words first, any words after, titles count four times, words stemmed and without
accents, languages without spaces by pairs of characters. Only the order of pages that are about as good may differ.

Report: App. E.8 (search). Over 50,000 pages it takes about a tenth of the time that SQLite takes.
"""

import asyncio
import importlib.util
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from manyeyes.agent.missing_package import MissingPackage
from manyeyes.agent.tools.bigrams import Term, excerpt, in_pairs, terms
from manyeyes.agent.tools.citations import canonical
from manyeyes.agent.tools.local_web import MANY, WEIGHTS, LocalWeb, WebPage
from manyeyes.agent.tools.net_guard import FetchError
from manyeyes.agent.tools.page import Page
from manyeyes.agent.tools.search import Hit, SearchError
from manyeyes.core.errors import ManyeyesError

ANALYSER = "words"
HEAP = 64 * 2**20
FIELDS = ("title", "text")


class Web(Protocol):
    """A local web: a `SearchBackend` and a `PageSource` that can be counted and closed."""

    seconds: float
    searched: int
    opened: int

    @property
    def name(self) -> str:
        """For people and for messages."""
        ...

    def __len__(self) -> int: ...

    async def search(self, query: str, *, count: int, site: str | None = None) -> list[Hit]:
        """See `SearchBackend.search`."""
        ...

    async def page(self, url: str) -> Page:
        """See `PageSource.page`."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


def local_web(pages: Iterable[WebPage], path: Path | None = None, *, seconds: float = 0.0) -> Web:
    """A web of these pages, in memory or at a path, by the best engine that is installed.

    Args:
        pages: with different addresses.
        path: of a file (SQLite) or folder (tantivy); what is there is replaced. None for memory.
        seconds: that each search and each page take.
    """
    engine = TantivyWeb if importlib.util.find_spec("tantivy") is not None else LocalWeb
    return engine.build(pages, path, seconds=seconds)


def load_local_web(path: Path, *, seconds: float = 0.0) -> Web:
    """The web at a path, by the engine that built it.

    Raises:
        ManyeyesError: there is none, or it needs tantivy, which is not installed.
    """
    return (TantivyWeb if path.is_dir() else LocalWeb).load(path, seconds=seconds)


class TantivyWeb:
    """A `SearchBackend` and a `PageSource`.

    Args:
        index: that `build` made.
        seconds: that each search and each page take.
    """

    name = "local web"

    def __init__(self, index: Any, *, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.searched = self.opened = 0
        self._analyser = _analyser()
        index.register_tokenizer(ANALYSER, self._analyser)
        self._schema = index.schema
        self._searcher = index.searcher()

    @classmethod
    def build(cls, pages: Iterable[WebPage], path: Path | None = None, *, seconds: float = 0.0) -> "TantivyWeb":
        """A web of these pages, in memory or in a folder; a folder that is there is replaced.

        Raises:
            ConfigError: tantivy is not installed.
            ManyeyesError: two pages have the same address.
        """
        tantivy = _tantivy()
        building = path.with_name(f".{path.name}.building") if path is not None else None
        if building is not None:
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir(parents=True)
        index = tantivy.Index(_schema(), path=str(building) if building is not None else None)
        index.register_tokenizer(ANALYSER, _analyser())
        _fill(index, pages)
        if path is None or building is None:
            index.reload()
            return cls(index, seconds=seconds)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        os.replace(building, path)
        return cls.load(path, seconds=seconds)

    @classmethod
    def load(cls, path: Path, *, seconds: float = 0.0) -> "TantivyWeb":
        """The web in a folder; many processes may read one.

        Raises:
            ConfigError: tantivy is not installed.
            ManyeyesError: the folder is not there or is no local web.
        """
        tantivy = _tantivy()
        try:
            return cls(tantivy.Index.open(str(path)), seconds=seconds)
        except ValueError as error:
            raise ManyeyesError(f"{path} is not a local web ({error}); make one with local_web") from None

    def __len__(self) -> int:
        return self._searcher.num_docs

    async def close(self) -> None:
        """Nothing is held that closes: the index is memory, or files that are mapped."""

    async def search(self, query: str, *, count: int, site: str | None = None) -> list[Hit]:
        """See `SearchBackend.search`."""
        self.searched += 1
        await asyncio.sleep(self.seconds)
        try:
            if len(self) < MANY:
                return self._found(query, count, site or "")
            return await asyncio.to_thread(self._found, query, count, site or "")
        except ValueError as error:
            raise SearchError(f"the local web cannot be searched: {error}") from None

    async def page(self, url: str) -> Page:
        """See `PageSource.page`."""
        self.opened += 1
        await asyncio.sleep(self.seconds)
        tantivy = _tantivy()
        found = self._pages(tantivy.Query.term_query(self._schema, "key", canonical(url)), 1)
        if not found:
            raise FetchError(f"{url} is not in the local web; search for pages that are")
        page = found[0]
        return Page.from_markdown(page.url, page.title, page.text, date=page.date)

    def _found(self, query: str, count: int, site: str) -> list[Hit]:
        asked = terms(query)
        words = [word for term in asked for word in (term.text, *term.pairs)]
        found: dict[str, Hit] = {}
        for needs in (self._all_of(asked), self._any_of(asked)) if asked else ():
            if len(found) < count:
                for page in self._pages(self._within(needs, site), count):
                    found.setdefault(page.url, Hit(page.url, page.title, excerpt(page.text, words), page.date))
        return list(found.values())[:count]

    def _pages(self, query: Any, count: int) -> list[WebPage]:
        addresses = [address for _, address in self._searcher.search(query, count, count=False).hits]
        stored = [self._searcher.doc(address).get_first("page") for address in addresses]
        return [msgspec.msgpack.decode(bytes(one), type=WebPage) for one in stored]

    def _all_of(self, asked: Sequence[Term]) -> Any:
        return self._joined("Must", [self._holding(term.pairs or (term.text,), term) for term in asked])

    def _any_of(self, asked: Sequence[Term]) -> Any:
        texts = [(text, term) for term in asked for text in term.pairs or (term.text,)]
        return self._joined("Should", [self._holding((text,), term) for text, term in texts])

    def _within(self, query: Any, site: str) -> Any:
        if not site:
            return query
        tantivy = _tantivy()
        host = tantivy.Query.const_score_query(tantivy.Query.term_query(self._schema, "host", site), 0.0)
        return self._joined("Must", [query, host])

    def _holding(self, words: Sequence[str], term: Term) -> Any:
        """Pages that hold these words in a row, in title or text; one in the title is worth more."""
        tantivy = _tantivy()
        tokens = [token for word in words for token in self._analyser.analyze(word)]
        if not tokens:
            return tantivy.Query.empty_query()
        found = []
        for field, weight in zip(FIELDS, WEIGHTS, strict=True):
            if term.single:
                query = tantivy.Query.regex_query(self._schema, field, f"{re.escape(tokens[0])}.*")
            elif len(tokens) == 1:
                query = tantivy.Query.term_query(self._schema, field, tokens[0])
            else:
                query = tantivy.Query.phrase_query(self._schema, field, tokens)
            found.append(tantivy.Query.boost_query(query, weight))
        return self._joined("Should", found)

    def _joined(self, occur: str, queries: Sequence[Any]) -> Any:
        tantivy = _tantivy()
        return tantivy.Query.boolean_query([(getattr(tantivy.Occur, occur), query) for query in queries])


def _tantivy() -> Any:
    try:
        import tantivy
    except ImportError:
        raise MissingPackage("this local web is searched with tantivy: pip install 'manyeyes[search]'") from None
    return tantivy


def _analyser() -> Any:
    tantivy = _tantivy()
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase())
    return builder.filter(tantivy.Filter.ascii_fold()).filter(tantivy.Filter.stemmer("english")).build()


def _schema() -> Any:
    builder = _tantivy().SchemaBuilder()
    for field in FIELDS:
        builder.add_text_field(field, tokenizer_name=ANALYSER, index_option="position")
    for field in ("key", "host"):
        builder.add_text_field(field, tokenizer_name="raw", index_option="basic")
    return builder.add_bytes_field("page", stored=True).build()


def _fill(index: Any, pages: Iterable[WebPage]) -> None:
    """By one thread, so that pages keep their order and equal ones are always shown in it."""
    tantivy, known = _tantivy(), set()
    writer = index.writer(heap_size=HEAP, num_threads=1)
    for page in pages:
        key = canonical(page.url)
        if key in known:
            raise ManyeyesError("two pages of a local web have the same address; leave one out")
        known.add(key)
        document = tantivy.Document(title=in_pairs(page.title), text=in_pairs(page.text), key=key)
        for host in _hosts(urlsplit(page.url).hostname or ""):
            document.add_text("host", host)
        document.add_bytes("page", msgspec.msgpack.encode(page))
        writer.add_document(document)
    writer.commit()
    writer.wait_merging_threads()


def _hosts(host: str) -> list[str]:
    """A host and those above it."""
    labels = host.split(".")
    return [".".join(labels[at:]) for at in range(len(labels))]
