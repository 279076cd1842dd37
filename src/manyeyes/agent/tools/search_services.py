"""Search services behind `SearchBackend`: SearXNG, Tavily, Serper, Brave.

A service is a request and the way to read its answer; asking, retrying and saying what is wrong are the same for all.
Keys travel in headers only and are cut out of every message.

Report: App. E.8 (search engine). The services' wire formats are those of their public documentation.
"""

import asyncio
import html
import re
from typing import Any, NamedTuple

import aiohttp
import msgspec

from manyeyes.agent.tools.search import MOST_HITS, Hit, SearchError, without_duplicates

ATTEMPTS = 3
LONGEST_WAIT = 20.0
"""Seconds that a service may ask us to wait; after that the search has failed."""
MOST_BYTES = 4 * 2**20
WRONG_KEY = (401, 403)
QUOTA = (402, 432, 433)
"""432 and 433 are Tavily's "plan limit reached"."""
AGAIN = (429, 500, 502, 503, 504)


class Request(NamedTuple):
    """What is sent to a service."""

    method: str
    url: str
    params: dict[str, str] = {}
    json: dict[str, Any] | None = None
    headers: dict[str, str] = {}


class Service:
    """Asks a service; subclasses say what is sent and how the answer is read.

    Args:
        key: of the user; "" where the service needs none.
        url: of the service; the public one when "".
        seconds: for one attempt.
        at_once: searches that run at the same time; others wait.
    """

    name = "search"
    home = ""
    help = "check the key"

    def __init__(self, key: str = "", *, url: str = "", seconds: float = 20.0, at_once: int = 8) -> None:
        self._key, self.url, self._seconds = key, (url or self.home).rstrip("/"), seconds
        self._at_once = asyncio.Semaphore(at_once)
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    # Override these two.

    def request(self, query: str, count: int, site: str | None) -> Request:
        """What is sent."""
        raise NotImplementedError

    def hits(self, answer: dict[str, Any]) -> list[Hit]:
        """What the answer says."""
        raise NotImplementedError

    # Machinery.

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def search(self, query: str, *, count: int, site: str | None = None) -> list[Hit]:
        """See `SearchBackend.search`."""
        request = self.request(" ".join(query.split()), min(count, MOST_HITS), site)
        async with self._at_once:
            answer = await self._answer(request)
        try:
            hits = self.hits(answer)
        except (KeyError, TypeError, AttributeError) as error:
            raise SearchError(f"{self.name} answered in a form that is not known: {error!r}") from None
        return without_duplicates([hit for hit in hits if hit.url])[:count]

    async def _answer(self, request: Request) -> dict[str, Any]:
        why = ""
        for attempt in range(ATTEMPTS):
            status, body, after = await self._ask(request)
            if status == 200:
                return self._read(body)
            why = self._said(status, body)
            if status not in AGAIN and status != 0:
                break
            wait = _seconds(after, default=0.5 * 2**attempt)
            if attempt + 1 == ATTEMPTS or wait > LONGEST_WAIT:
                break
            await asyncio.sleep(wait)
        raise SearchError(why)

    async def _ask(self, request: Request) -> tuple[int, bytes, str]:
        """Status (0 where there was no answer), body, Retry-After."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._seconds))
        try:
            async with self._session.request(
                request.method, request.url, params=request.params, json=request.json, headers=request.headers,
                allow_redirects=False,
            ) as response:  # fmt: skip
                body = await response.content.read(MOST_BYTES)
                while more := await response.content.read(MOST_BYTES):
                    body += more
                    if len(body) > MOST_BYTES:
                        raise SearchError(f"{self.name} answered with more than {MOST_BYTES:,} bytes")
                return response.status, body, response.headers.get("Retry-After", "")
        except TimeoutError:
            return 0, b"it took too long", ""
        except aiohttp.ClientError as error:
            return 0, str(error).encode(), ""

    def _read(self, body: bytes) -> dict[str, Any]:
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise SearchError(f"{self.name} did not answer in JSON: {self._quoted(body)}") from None

    def _said(self, status: int, body: bytes) -> str:
        if status == 0:
            return f"{self.name} at {self.url} cannot be reached: {self._quoted(body)}"
        if status in WRONG_KEY:
            return f"{self.name} refused the request ({status}); {self.help}: {self._quoted(body)}"
        if status in QUOTA:
            return f"{self.name} says that the quota is used up ({status}): {self._quoted(body)}"
        if status == 429:
            return f"{self.name} says that there were too many requests (429); search less or wait"
        return f"{self.name} answered {status}: {self._quoted(body)}"

    def _quoted(self, body: bytes) -> str:
        """A piece of an answer; services like to repeat the key in their complaints."""
        text = body[:2000].decode(errors="replace")
        return " ".join((text.replace(self._key, "***") if self._key else text).split())[:200]


class SearXNG(Service):
    """One's own SearXNG: `SearXNG(url="http://localhost:8888")`; a key is sent as a bearer token."""

    name = "SearXNG"
    help = "allow the format json in its settings.yml (search: formats: [html, json])"

    def request(self, query: str, count: int, site: str | None) -> Request:
        """See `Service.request`."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        params = {"q": _within(query, site), "format": "json"}
        return Request("GET", f"{self.url}/search", params, headers=headers)

    def hits(self, answer: dict[str, Any]) -> list[Hit]:
        """See `Service.hits`."""
        return [_hit(one, "url", "content", "publishedDate") for one in answer["results"]]


class Tavily(Service):
    """api.tavily.com."""

    name, home = "Tavily", "https://api.tavily.com"

    def request(self, query: str, count: int, site: str | None) -> Request:
        """See `Service.request`."""
        body = {"query": query, "max_results": count} | ({"include_domains": [site]} if site else {})
        return Request("POST", f"{self.url}/search", json=body, headers={"Authorization": f"Bearer {self._key}"})

    def hits(self, answer: dict[str, Any]) -> list[Hit]:
        """See `Service.hits`."""
        return [_hit(one, "url", "content", "published_date") for one in answer["results"]]


class Serper(Service):
    """google.serper.dev."""

    name, home = "Serper", "https://google.serper.dev"

    def request(self, query: str, count: int, site: str | None) -> Request:
        """See `Service.request`."""
        body = {"q": _within(query, site), "num": count}
        return Request("POST", f"{self.url}/search", json=body, headers={"X-API-KEY": self._key})

    def hits(self, answer: dict[str, Any]) -> list[Hit]:
        """See `Service.hits`. Without a result the service leaves `organic` out."""
        return [_hit(one, "link", "snippet", "date") for one in answer.get("organic", ())]


class Brave(Service):
    """api.search.brave.com."""

    name, home = "Brave", "https://api.search.brave.com"

    def request(self, query: str, count: int, site: str | None) -> Request:
        """See `Service.request`."""
        params = {"q": _within(query, site), "count": str(count)}
        headers = {"X-Subscription-Token": self._key, "Accept": "application/json"}
        return Request("GET", f"{self.url}/res/v1/web/search", params, headers=headers)

    def hits(self, answer: dict[str, Any]) -> list[Hit]:
        """See `Service.hits`. Without a result the service leaves `web` out."""
        return [_hit(one, "url", "description", "page_age") for one in (answer.get("web") or {}).get("results", ())]


def _hit(one: dict[str, Any], url: str, snippet: str, date: str) -> Hit:
    day = str(one.get(date) or "").partition("T")[0]
    return Hit(one[url], _plain(one.get("title") or ""), _plain(one.get(snippet) or ""), day)


def _plain(text: str) -> str:
    """Some services mark what matched with tags."""
    return html.unescape(re.sub(r"</?(?:strong|b|em|mark|span)\b[^>]*>", "", text))


def _within(query: str, site: str | None) -> str:
    return f"{query} site:{site}" if site else query


def _seconds(retry_after: str, *, default: float) -> float:
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return default
