"""`Wire`: JSON over HTTP to a server that samples: one answer, or the lines of a stream; refusals as errors.

    200                       the answer
    429, 503                  Overloaded, with the server's Retry-After
    401, 402, 403             NotAllowed
    400, 404, 413, 422        RequestError; TooLong where the words say that the prompt is
    anything else, silence    Unreachable

The key is cut out of every text that leaves.

Report: App. D.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import isnan
from typing import Any

import aiohttp
import msgspec

from manyeyes.agent.remote_errors import NotAllowed, Unreachable, says_too_long
from manyeyes.core.sampler import Overloaded, RequestError, SamplerError, TooLong

LONGEST_LINE = 2**24
"""Bytes of one streamed line; cumulative streams with log-probabilities have long ones."""
LONGEST_REFUSAL = 4096
"""Bytes of a refusal that are read."""
LONGEST_RETRY_AFTER = 120.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where tokens are sampled and how patient to be.

    Attributes:
        url: base, such as "http://127.0.0.1:8000".
        model: its name there; "" where the server has one.
        key: sent as a bearer token; never logged, never shown by `repr`.
        connect, idle, wall: seconds to reach it, between two pieces, and for a whole answer.
        connections: at once; further requests wait for one. More sockets cost memory and stall the event loop.
    """

    url: str
    model: str = ""
    key: str = ""
    connect: float = 10.0
    idle: float = 300.0
    wall: float = 7200.0
    connections: int = 1024

    def __repr__(self) -> str:
        return self.hide(f"Server({self.url!r}, {self.model!r})")

    def hide(self, text: str) -> str:
        """A text without the key."""
        return text.replace(self.key, "[key]") if len(self.key) >= 8 else text


class Wire:
    """A pool of connections for answers and one for commands, which must not wait behind answers that they are to end.

    Belongs to one event loop; `close` it.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._answers: aiohttp.ClientSession | None = None
        self._commands: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._answers, self._commands):
            if session is not None:
                await session.close()
        self._answers = self._commands = None

    async def ask(self, path: str, body: Any = None, *, query: Mapping[str, str] | None = None) -> Any:
        """POST; the JSON of the answer.

        Raises:
            SamplerError: see the module.
        """
        self._commands = self._commands or self._session(connections=0)
        async with self._posted(self._commands, path, body, query) as response:
            try:
                content = await response.read()
                return msgspec.json.decode(content) if content.strip() else None
            except msgspec.DecodeError as error:
                raise Unreachable(f"{self.server.url}{path} sent what is no JSON ({error})") from None

    async def events(self, path: str, body: Any) -> AsyncGenerator[bytes, None]:
        """POST; the JSON of each line of a stream, be it server-sent events or JSON lines; `[DONE]` is not told.

        Raises:
            SamplerError: see the module. A stream that is cut ends with Unreachable.
        """
        self._answers = self._answers or self._session(connections=self.server.connections)
        async with self._posted(self._answers, path, body) as response:
            async for line in _lines(response):
                data = line.removeprefix(b"data:").strip()
                if data and not data.startswith((b":", b"event:", b"[DONE]")):
                    yield data

    @asynccontextmanager
    async def _posted(
        self, session: aiohttp.ClientSession, path: str, body: Any, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self.server.url.rstrip("/") + path
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with session.post(url, data=data, params=query, headers=self._headers) as response:
                if response.status != 200:
                    raise await self._refusal(response, path)
                yield response
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            said = self.server.hide(str(error)) or type(error).__name__
            raise Unreachable(f"{self.server.url}{path}: {said}; is the URL right and the server up?") from None

    async def _refusal(self, response: aiohttp.ClientResponse, path: str) -> SamplerError:
        content = await response.content.read(LONGEST_REFUSAL)
        said = self.server.hide(_message(content))
        return refused(response.status, f"{path}: HTTP {response.status}: {said}", response.headers)

    def _session(self, *, connections: int) -> aiohttp.ClientSession:
        server = self.server
        patience = aiohttp.ClientTimeout(total=server.wall, sock_connect=server.connect, sock_read=server.idle)
        connector = aiohttp.TCPConnector(limit=connections)
        return aiohttp.ClientSession(connector=connector, timeout=patience, cookie_jar=aiohttp.DummyCookieJar())

    @property
    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        return headers | ({"Authorization": f"Bearer {self.server.key}"} if self.server.key else {})


def refused(status: int, why: str, headers: Mapping[str, str] | None = None) -> SamplerError:
    """What a status, of an answer or of an error inside a stream, means."""
    if status in (429, 503):
        return Overloaded(why, retry_after=_retry_after(headers or {}))
    if status in (401, 402, 403):
        return NotAllowed(why)
    if 400 <= status < 500 and status not in (408, 409):
        return TooLong(why) if says_too_long(why) else RequestError(why)
    return Unreachable(why)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for block in response.content.iter_any():
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > LONGEST_LINE:
            raise aiohttp.ClientPayloadError(f"a line of more than {LONGEST_LINE >> 20} MiB")
    yield rest


def _message(content: bytes) -> str:
    try:
        said = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return " ".join(content.decode("utf-8", "replace").split())[:500]
    for name in ("error", "message", "detail"):
        said = said[name] if isinstance(said, dict) and name in said else said
    return (said if isinstance(said, str) else json.dumps(said))[:500]


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return 1.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if not isnan(seconds) else 1.0
