"""Heads of HTTP/1.1 messages as a forward proxy reads, rewrites and writes them.

    GET http://a.example/x HTTP/1.1    →    GET /x HTTP/1.1, Host: a.example, Connection: close
    HTTP/1.1 200 OK                    ←    the same, and Connection: close

What concerns one hop only is taken out. A connection carries one request: else a server could keep it open and answer
the browser's next request, which is meant for another site.

Source: RFC 9110 §7.6.1, RFC 9112 §3.2. Report: none.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from yarl import URL

ONE_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"upgrade"))
TELL_SECONDS = 1.0
Header = tuple[bytes, bytes]


class Answer(Exception):
    """An answer of the proxy's own, which ends a connection.

    Attributes:
        status: such as "403 Forbidden".
        why: for people and for models.
        header: one more line, with its end.
    """

    def __init__(self, status: str, why: str, header: str = "") -> None:
        super().__init__(why)
        self.status, self.why, self.header = status, why, header


class Request(NamedTuple):
    """A request's head.

    Attributes:
        method: as sent.
        target: an address, or "host:port" of a tunnel.
        headers: name and value, in order.
    """

    method: bytes
    target: str
    headers: Sequence[Header]

    @property
    def is_tunnel(self) -> bool:
        """Whether a tunnel is asked for."""
        return self.method == b"CONNECT"

    @property
    def url(self) -> str:
        """Where it leads, as an address; not looked at yet."""
        return f"https://{self.target}/" if self.is_tunnel else self.target

    def header(self, name: bytes) -> bytes:
        """The value of a header, whose name is in lower case; b"" for none."""
        return next((value for key, value in self.headers if key.lower() == name), b"")


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The head of a request.

    Raises:
        Answer: it is none.
    """
    lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    try:
        method, target, _ = lines[0].split(b" ")
        return Request(method, target.decode("ascii"), _headers(lines[1:]))
    except ValueError:
        raise Answer("400 Bad Request", "this is no request that a proxy can answer") from None


def sent_on(request: Request) -> bytes:
    """The head as the server itself wants it; the host is that of the address, whatever the header said.

    Example:
        >>> sent_on(Request(b"GET", "http://a.example/x", [(b"Host", b"b.example")])).split(b"\\r\\n")[:2]
        [b'GET /x HTTP/1.1', b'Host: a.example']
    """
    url = URL(request.target, encoded=True)  # as it was written; the guard has looked at it
    kept = [pair for pair in request.headers if pair[0].lower() not in ONE_HOP | {b"host"}]
    host = url.host_port_subcomponent or ""
    headers = [(b"Host", host.encode()), *kept, (b"Connection", b"close")]
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (request.method, url.raw_path_qs.encode(), _written(headers))


async def pass_answer(server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass the head of a server's answer on, and those of interim answers before it."""
    while True:
        first, *lines = (await server.readuntil(b"\r\n\r\n")).replace(b"\r\n", b"\n").split(b"\n")
        kept = [pair for pair in _headers(lines) if pair[0].lower() not in ONE_HOP]
        interim = first[8:10] == b" 1"
        headers = kept if interim else [(b"Connection", b"close"), *kept]
        writer.write(b"%s\r\n%s\r\n" % (first, _written(headers)))
        if not interim:
            return


async def tell(writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Send an answer of our own."""
    body = f"{answer.why}\n".encode()
    head = f"HTTP/1.1 {answer.status}\r\n{answer.header}Content-Type: text/plain; charset=utf-8\r\n"
    with suppress(OSError, TimeoutError):
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        async with asyncio.timeout(TELL_SECONDS):
            await writer.drain()


def _headers(lines: Sequence[bytes]) -> list[Header]:
    pairs = [line.partition(b":") for line in lines if line]
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _written(headers: Sequence[Header]) -> bytes:
    return b"".join(b"%s: %s\r\n" % pair for pair in headers)
