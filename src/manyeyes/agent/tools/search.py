"""`search`: several queries at once over any `SearchBackend`; what several of them find is shown once.

    SearchBackend   query → hits            LocalWeb and the services of `search_services`
    Cached          the same query (but for case and spaces) is asked once for a whole run
    search          the tool: hits of all queries, numbered for citation

Report: App. E.8 (search engine, parallel queries), E.6 (citations).
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from manyeyes.agent.tools.citations import Citations, canonical
from manyeyes.agent.tools.single_flight import Remembered
from manyeyes.agent.toolset import ToolResult, tool
from manyeyes.core.errors import ManyeyesError

MOST_QUERIES = 10
MOST_HITS = 20
LONGEST_SNIPPET = 400
"""Characters; services differ by a factor of ten in what they send."""


class SearchError(ManyeyesError):
    """A search that gave no answer; the message says who can help and names no key."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A page that was found.

    Attributes:
        date: of the page, as the backend tells it; "" where it does not.

    Example:
        >>> Hit("https://a.example/", "A", "about a").date
        ''
    """

    url: str
    title: str
    snippet: str
    date: str = ""


class SearchBackend(Protocol):
    """Anything that finds pages."""

    @property
    def name(self) -> str:
        """For people and for messages."""
        ...

    async def search(self, query: str, *, count: int, site: str | None = None) -> list[Hit]:
        """At most `count` hits, best first, no page twice.

        Args:
            query: words.
            count: 1 to `MOST_HITS`.
            site: only pages of this host and those below it.

        Raises:
            SearchError: there is no answer.
        """
        ...


class Cached:
    """A backend that asks another one only what it has not asked before.

    Args:
        backend: that is asked.
        most: answers that are kept.
    """

    def __init__(self, backend: SearchBackend, *, most: int = 4096) -> None:
        self.backend, self.name = backend, backend.name
        self._answers = Remembered[tuple[str, int, str | None], list[Hit]](self._ask, most=most)

    async def search(self, query: str, *, count: int, site: str | None = None) -> list[Hit]:
        """See `SearchBackend.search`."""
        return await self._answers.get((normalised(query), count, site))

    async def _ask(self, key: tuple[str, int, str | None]) -> list[Hit]:
        query, count, site = key
        return await self.backend.search(query, count=count, site=site)

    @property
    def asked(self) -> int:
        """Searches that really took place."""
        return self._answers.made


def normalised(query: str) -> str:
    """What makes two queries the same.

    Example:
        >>> normalised("  Population of  ICELAND ")
        'population of iceland'
    """
    return " ".join(query.split()).casefold()


def without_duplicates(hits: Sequence[Hit], *, seen: set[str] | None = None) -> list[Hit]:
    """The first hit of every page; `seen` holds keys of pages that count as known and takes up the new ones."""
    seen = set() if seen is None else seen
    kept = []
    for hit in hits:
        if (key := canonical(hit.url)) not in seen:
            seen.add(key)
            kept.append(hit)
    return kept


def search_tool(backend: SearchBackend, citations: Citations) -> Callable[..., Coroutine[Any, Any, ToolResult]]:
    """The tool of one agent."""

    @tool(repeatable=True)
    async def search(queries: list[str], top: int = 5) -> ToolResult:
        """Search the web with several queries at once.

        Each query gives pages with address, date where known and a piece of their text. Open a page to read it.

        Args:
            queries: what to search for, one to ten queries; they run in parallel.
            top: how many pages each query gives, at most 20.
        """
        asked = list(dict.fromkeys(query.strip() for query in queries if query.strip()))[:MOST_QUERIES]
        if not asked:
            return ToolResult.failed("bad_arguments", "give at least one query that is not empty")
        count = max(1, min(top, MOST_HITS))
        answers = await asyncio.gather(*(_answer(backend, query, count) for query in asked))
        errors = [answer for answer in answers if isinstance(answer, SearchError)]
        if len(errors) == len(asked):
            return ToolResult.failed("refused", str(errors[0]))
        return _told(asked, answers, citations)

    return search


async def _answer(backend: SearchBackend, query: str, count: int) -> list[Hit] | SearchError:
    try:
        return await backend.search(query, count=count)
    except SearchError as error:
        return error


def _told(asked: Sequence[str], answers: Sequence[list[Hit] | SearchError], citations: Citations) -> ToolResult:
    seen: set[str] = set()
    sections, found = [], []
    for query, answer in zip(asked, answers, strict=True):
        if isinstance(answer, SearchError):
            sections.append(f"## {query}\nError: {answer}")
            continue
        new = without_duplicates(answer, seen=seen)
        found += new
        told = [_hit(hit, citations.number(hit.url)) for hit in new]
        if again := len(answer) - len(new):
            told.append(f"({again} more that are shown above)")
        sections.append("\n".join([f"## {query}", *(told or ["Nothing was found. Try other words."])]))
    hits = [{"url": hit.url, "title": hit.title} for hit in found]
    cited = citations.noted(hit.url for hit in found)
    return ToolResult.of("\n\n".join(sections), queries=list(asked), hits=hits, cited=cited)


def _hit(hit: Hit, number: int) -> str:
    date = f" ({hit.date})" if hit.date else ""
    snippet = " ".join(hit.snippet.split())[:LONGEST_SNIPPET]
    return f"[^{number}^] {' '.join(hit.title.split())}{date}\n{hit.url}\n{snippet}".rstrip()
