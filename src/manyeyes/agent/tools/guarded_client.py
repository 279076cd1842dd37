"""`GuardedClient`: gets pages through the guard: public addresses only, redirects one by one, limits on bytes and time.

    resolver        every address that a name has must be public, else the name is refused
    socket factory  the address that is connected to is looked at once more; nothing can change it any more
    redirects       each target is checked like the first address
    unpacking       in small pieces, so that a bomb is noticed before it is in memory

Nothing is sent along that could speak for the user: no cookies, no proxies or credentials of the environment.

Report: App. E.6, E.8 (browser tools); the policy is an open choice here.
"""

import asyncio
import socket
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from manyeyes.agent.tools.net_guard import FetchError, Guard, Refused, TooLarge

REDIRECTS = frozenset((301, 302, 303, 307, 308))
AGENT = "manyeyes/0.1 (research agent)"
PIECE = 2**16
DEFAULT_GUARD = Guard()


class _Resolver(AbstractResolver):
    """Refuses a name as a whole when any of its addresses is not public."""

    def __init__(self, guard: Guard, inner: AbstractResolver) -> None:
        self._guard, self._inner = guard, inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for one in found:
            self._guard.check_address(one["host"], one["port"] or port)
        return found

    async def close(self) -> None:
        await self._inner.close()


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back.

    Attributes:
        url: where it was in the end.
        content: unpacked.
        content_type: such as "text/html"; "" when the server did not say.
        charset: that the server named; "" for none.
        modified: the server's Last-Modified; "" for none.
    """

    url: str
    content: bytes
    content_type: str = ""
    charset: str = ""
    modified: str = ""


class GuardedClient:
    """Gets pages through the guard; one for a run, used by all its agents.

    Args:
        guard: what may be reached.
        resolver: of names; the system's when None.
        connections: at once.
    """

    def __init__(
        self, guard: Guard = DEFAULT_GUARD, *, resolver: AbstractResolver | None = None, connections: int = 64
    ) -> None:
        self.guard = guard
        self._resolver, self._connections = resolver, connections
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, url: str) -> Fetched:
        """A whole page.

        Raises:
            FetchError: it could not be had; the message says why and can be shown to a model.
        """
        async with aclosing(self.stream(url)) as pieces:
            head = await anext(pieces)
            content = b"".join([piece async for piece in pieces if isinstance(piece, bytes)])
        return replace(head, content=content) if isinstance(head, Fetched) else Fetched(url, content)

    async def stream(self, url: str) -> AsyncGenerator[Fetched | bytes, None]:
        """First what the server says of the page (a `Fetched` without content), then its bytes, piece by piece."""
        deadline = asyncio.get_running_loop().time() + self.guard.seconds
        try:
            async with asyncio.timeout_at(deadline), await self._follow(url) as response:
                kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                modified = response.headers.get("Last-Modified", "")
                yield Fetched(str(response.url), b"", kind, response.charset or "", modified)
                async for piece in self._unpacked(response):
                    yield piece
        except TimeoutError:
            raise FetchError(f"{url} took longer than {self.guard.seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a name that DNS cannot have
            raise FetchError(f"{url} could not be reached: {_short(error)}") from None

    async def _follow(self, url: str) -> aiohttp.ClientResponse:
        at = self.guard.check_url(url)
        for _ in range(self.guard.redirects + 1):
            response = await self._ask(at)
            target = response.headers.get("Location")
            if response.status not in REDIRECTS or target is None:
                if response.status >= 400:
                    response.close()
                    raise FetchError(f"{at} answered {response.status} {response.reason or ''}".rstrip())
                return response
            response.close()
            at = self.guard.check_url(_joined(at, target))
        raise FetchError(f"{url} redirects more than {self.guard.redirects} times")

    async def _ask(self, at: URL) -> aiohttp.ClientResponse:
        headers = {"User-Agent": AGENT, "Accept": "text/html,text/plain,application/pdf,*/*;q=0.5"}
        headers |= {"Accept-Encoding": "gzip, deflate", "Accept-Language": "en,*;q=0.5"}
        return await self._opened().get(at, headers=headers, allow_redirects=False)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(
                limit=self._connections,
                resolver=_Resolver(self.guard, self._resolver or aiohttp.ThreadedResolver()),
                socket_factory=self._socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            )
        return self._session

    def _socket(self, info: Any) -> socket.socket:
        """The last look at an address, where nothing can change it any more."""
        family, kind, proto, _, address = info
        self.guard.check_address(address[0], address[1])
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        return made

    async def _unpacked(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        unpack = _unpacker(response.headers.get("Content-Encoding", ""))
        sent = got = 0
        async for packed in response.content.iter_chunked(PIECE):
            sent += len(packed)
            if sent > self.guard.most_sent:
                raise TooLarge(f"{response.url} sends more than {self.guard.most_sent:,} bytes")
            for piece in unpack(packed):
                got += len(piece)
                if got > self.guard.most_bytes:
                    raise TooLarge(f"{response.url} is more than {self.guard.most_bytes:,} bytes unpacked")
                yield piece


def _unpacker(encoding: str) -> Any:
    """Packed bytes to pieces of at most `PIECE` unpacked bytes."""
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        return lambda packed: (packed,)
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise FetchError(f"the page is packed as {encoding[:40]!r}, which was not asked for")
    bits = zlib.MAX_WBITS | 32 if coding != "deflate" else zlib.MAX_WBITS
    unpack, over = zlib.decompressobj(wbits=bits), False

    def pieces(packed: bytes) -> Any:
        nonlocal unpack, over
        try:
            piece = b""
            while not over and (packed or len(piece) == PIECE):  # a full piece may leave output without input
                piece = unpack.decompress(packed, PIECE)
                packed = unpack.unconsumed_tail
                if piece:
                    yield piece
                if unpack.eof:  # another member may follow; zlib would gather, and copy, whatever else does
                    packed, piece = unpack.unused_data, b""
                    over = coding == "deflate" or not packed.startswith(b"\x1f")
                    unpack = zlib.decompressobj(wbits=bits)
        except zlib.error as error:
            raise FetchError(f"the page cannot be unpacked: {error}") from None

    return pieces


def _joined(at: URL, target: str) -> URL:
    try:
        return at.join(URL(target))
    except ValueError as error:
        raise Refused(f"a redirect to {target[:200]!r}, which is not an address: {error}") from None


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
