"""`GuardedProxy`: a small forward proxy inside our process, the only way from a browser to the network.

    CONNECT host:port          a tunnel, to an address that the guard has looked at
    GET http://host/path …     one request a connection, sent on in origin form
    anything else              400; what the guard refuses: 403, and `why` remembers the reason

A name is resolved here, all its addresses are checked, and the socket is connected to the very address that was
checked: a name cannot change its mind in between. Who asks must know the password, so that nothing else on the machine
can use the proxy; what goes through is counted and bounded.

Report: App. E.8 (browser); the policy is that of `net_guard`.
"""

import asyncio
import base64
import hmac
import secrets
import socket
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from manyeyes.agent.tools.guarded_client import DEFAULT_GUARD
from manyeyes.agent.tools.net_guard import FetchError, Guard, Refused
from manyeyes.agent.tools.proxy_heads import Answer, Request, pass_answer, read_request, sent_on, tell

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]

PIECE = 2**16
LONGEST_HEAD = 2**16
"""Bytes of a request's or an answer's head."""
MOST_REASONS = 256
MOST_WAITING = 2
"""Times as many connections as are served may wait for their 503, or not have asked for anything yet."""
USER = "manyeyes"


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """How much may go through.

    Attributes:
        connections: at once; more get 503.
        seconds: that a connection lives at most.
        idle_seconds: without a byte in either direction.
        connect_seconds: until a server accepts.
        most_down, most_up: bytes of one connection; over HTTP/2 that is everything of one site.
        most_bytes: of the whole run, both ways; 403 afterwards.
    """

    connections: int = 256
    seconds: float = 300.0
    idle_seconds: float = 60.0
    connect_seconds: float = 10.0
    most_down: int = 64 * 2**20
    most_up: int = 8 * 2**20
    most_bytes: int = 4 * 2**30


DEFAULT_LIMITS = ProxyLimits()


@dataclass(slots=True)
class ProxyCount:
    """What went through so far."""

    connections: int = 0
    refused: int = 0
    down: int = 0
    up: int = 0


class _Over(Exception):
    """More bytes than allowed."""


class GuardedProxy:
    """The proxy; one for a run.

    Args:
        guard: what may be reached.
        resolver: of names; the system's when None.
        limits: of what goes through.
        path: of a Unix socket to listen on; a port of loopback when None.
    """

    def __init__(
        self, guard: Guard = DEFAULT_GUARD, *, resolver: AbstractResolver | None = None,
        limits: ProxyLimits = DEFAULT_LIMITS, path: Path | None = None,
    ) -> None:  # fmt: skip
        self.guard, self.limits, self.path = guard, limits, path
        self.user, self.password = USER, secrets.token_urlsafe(32)
        self.count = ProxyCount()
        self._resolver = resolver
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._reasons: OrderedDict[str, str] = OrderedDict()

    async def open(self) -> None:
        """Listen."""
        if self.path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self.path, limit=LONGEST_HEAD)
            self.path.chmod(0o600)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=LONGEST_HEAD)

    async def close(self) -> None:
        """Cut all connections."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in (serving := list(self._serving)):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        if self._resolver is not None:
            await self._resolver.close()

    @property
    def port(self) -> int:
        """Of loopback; 0 when it listens on a Unix socket or not at all."""
        if self._server is None or self.path is not None:
            return 0
        return self._server.sockets[0].getsockname()[1]

    def why(self, host: str) -> str:
        """Why the newest connection to a host was refused; "" when none was."""
        return self._reasons.get(host, "")

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._serving) >= MOST_WAITING * self.limits.connections:  # not even an answer: each takes a descriptor
            writer.transport.abort()
            return
        task = asyncio.ensure_future(self._answered(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection, and close it whatever comes of it."""
        try:
            async with asyncio.timeout(self.limits.seconds):
                await self._serve(reader, writer)
        except Answer as answer:
            await tell(writer, answer)
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            pass  # whoever asked is gone, or had its time
        finally:
            _cut(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self.limits.connect_seconds):
            request = await read_request(reader)
        self._check_password(request)
        if len(self._serving) > self.limits.connections:
            raise Answer("503 Service Unavailable", "too many connections at once")
        try:
            there, back = await self._reach(request)
        except FetchError as error:
            self.count.refused += 1
            self._remember(request.url, str(error))
            status = "403 Forbidden" if isinstance(error, Refused) else "502 Bad Gateway"
            raise Answer(status, str(error), "Proxy-Status: manyeyes\r\n") from None
        self.count.connections += 1
        try:
            if request.is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                back.write(sent_on(request))
            await self._exchange((reader, writer), (there, back), tunnel=request.is_tunnel)
        finally:
            _cut(back)

    def _check_password(self, request: Request) -> None:
        scheme, _, given = request.header(b"proxy-authorization").partition(b" ")
        wanted = base64.b64encode(f"{self.user}:{self.password}".encode())
        if scheme.lower() != b"basic" or not hmac.compare_digest(given.strip(), wanted):
            asks = 'Proxy-Authenticate: Basic realm="manyeyes"\r\n'
            raise Answer("407 Proxy Authentication Required", "this proxy is private", asks)

    async def _reach(self, request: Request) -> Ends:
        """A connection to where a request leads.

        Raises:
            Refused: it may not be reached.
            FetchError: nobody answers there.
        """
        if self.count.down + self.count.up > self.limits.most_bytes:
            raise Refused(f"this run has loaded {self.limits.most_bytes:,} bytes, which is all it may")
        parsed = self.guard.check_url(request.url)
        if not request.is_tunnel and parsed.scheme != "http":
            raise Refused(f"the proxy takes http addresses and tunnels, got {request.url[:200]!r}")
        host, port = parsed.host or "", parsed.port or 80
        error: OSError | None = None
        for address, family in await self._resolve(host, port):
            try:
                connected = await self._connected(address, port, family)
                return await asyncio.open_connection(sock=connected, limit=LONGEST_HEAD)
            except OSError as failed:
                error = failed
        raise FetchError(f"{host} could not be reached: {error}")

    async def _resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        """All addresses of a name; refused as a whole when one of them is not public."""
        resolver = self._resolver or aiohttp.ThreadedResolver()
        try:
            found = await resolver.resolve(host, port, socket.AF_UNSPEC)
        except (OSError, ValueError) as error:  # ValueError: a name that DNS cannot have
            raise FetchError(f"{host} has no address: {error}") from None
        for one in found:
            self.guard.check_address(one["host"], port)
        return [(one["host"], one["family"]) for one in found]

    async def _connected(self, address: str, port: int, family: int) -> socket.socket:
        self.guard.check_address(address, port)
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            async with asyncio.timeout(self.limits.connect_seconds):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
        except BaseException:
            made.close()
            raise
        return made

    async def _exchange(self, client: Ends, server: Ends, *, tunnel: bool) -> None:
        """Bytes both ways until both are done, too many came or nothing comes any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.idle_seconds) as idle:
                try:
                    async with asyncio.TaskGroup() as both:
                        up = both.create_task(self._pump(client[0], server[1], "up", idle))
                        if not tunnel:
                            await pass_answer(server[0], client[1])
                        await self._pump(server[0], client[1], "down", idle)
                        if not tunnel:
                            up.cancel()
                except* (OSError, EOFError, _Over, asyncio.LimitOverrunError):
                    pass  # cut off below, which the other side notices

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: str, idle: asyncio.Timeout
    ) -> None:
        most, passed = getattr(self.limits, f"most_{way}"), 0
        loop = asyncio.get_running_loop()
        while piece := await source.read(PIECE):
            passed += len(piece)
            setattr(self.count, way, getattr(self.count, way) + len(piece))
            if passed > most:
                raise _Over
            idle.reschedule(loop.time() + self.limits.idle_seconds)
            sink.write(piece)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()

    def _remember(self, url: str, why: str) -> None:
        host = _host(url)
        self._reasons[host] = why
        self._reasons.move_to_end(host)
        while len(self._reasons) > MOST_REASONS:
            self._reasons.popitem(last=False)


def _host(url: str) -> str:
    try:
        return URL(url).host or ""
    except ValueError:
        return ""


def _cut(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, RuntimeError):
        writer.close()
