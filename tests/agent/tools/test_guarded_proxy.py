"""The proxy against servers on loopback: one that the guard allows by name, and one that it does not."""

import asyncio
import base64
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from manyeyes.agent.tools.guarded_proxy import GuardedProxy, ProxyLimits
from manyeyes.agent.tools.net_guard import Guard

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\nX-Seen: yes\r\n\r\nhello"


class Names(AbstractResolver):
    """Names lead where the test says; several answers are given in turn."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.names = {name.replace("_", "."): addresses for name, addresses in names.items()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host not in self.names:
            return [_result(host, host, port)]
        turns = self.names[host]
        return [_result(host, address, port) for address in (turns.pop(0) if len(turns) > 1 else turns[0])]

    async def close(self) -> None:
        pass


def _result(name: str, address: str, port: int) -> ResolveResult:
    return {"hostname": name, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}


class Server:
    """Keeps what it is sent and answers always the same, or with what `handle` does."""

    def __init__(self, handle: Callable[..., Awaitable[None]] | None = None) -> None:
        self.handle = handle
        self.heads: list[bytes] = []

    async def __aenter__(self) -> "Server":
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                if self.handle is not None:
                    await self.handle(reader, writer)
                else:
                    writer.write(ANSWER)
                    await writer.drain()
            except (OSError, EOFError):
                pass
            finally:
                writer.close()

        self.server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.place = f"127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()


def run(go: Callable[[GuardedProxy, Server], Awaitable[Any]], *, server: Server | None = None, **settings: Any) -> Any:
    async def all_of_it() -> Any:
        async with server or Server() as there:
            allow = frozenset((there.place, f"inside.example:{there.port}"))
            proxy = GuardedProxy(Guard(allow=allow), **settings)
            await proxy.open()
            try:
                async with asyncio.timeout(20):
                    return await go(proxy, there)
            finally:
                await proxy.close()

    return asyncio.run(all_of_it())


async def asked(proxy: GuardedProxy, head: str, *, then: bytes = b"", password: str | None = None) -> bytes:
    """What the proxy answers to a request, until it hangs up."""
    opened = (
        asyncio.open_unix_connection(proxy.path) if proxy.path else asyncio.open_connection("127.0.0.1", proxy.port)
    )
    reader, writer = await opened
    secret = base64.b64encode(f"{proxy.user}:{password or proxy.password}".encode()).decode()
    writer.write(f"{head}\r\nProxy-Authorization: Basic {secret}\r\n\r\n".encode() + then)
    try:
        return await reader.read()
    finally:
        writer.close()


def test_a_request_is_sent_on_in_origin_form_and_one_a_connection() -> None:
    async def go(proxy: GuardedProxy, server: Server) -> None:
        got = await asked(proxy, f"GET http://{server.place}/a?b=1 HTTP/1.1\r\nHost: other.example\r\nX-Mine: 1")
        assert got.startswith(b"HTTP/1.1 200 OK\r\n") and got.endswith(b"\r\n\r\nhello") and b"X-Seen: yes" in got
        assert b"Connection: close" in got and b"keep-alive" not in got
        head = server.heads[0].decode()
        assert head.startswith("GET /a?b=1 HTTP/1.1\r\n") and f"Host: {server.place}\r\n" in head
        assert "X-Mine: 1" in head and "Proxy" not in head and "other.example" not in head
        assert proxy.count.connections == 1 and proxy.count.down == 5

    run(go)


def test_a_tunnel_carries_bytes_both_ways_unchanged() -> None:
    async def go(proxy: GuardedProxy, server: Server) -> None:
        got = await asked(proxy, f"CONNECT {server.place} HTTP/1.1", then=b"raw\0\xff\r\n\r\n")
        assert got == b"HTTP/1.1 200 Connection established\r\n\r\n" + ANSWER and server.heads == [b"raw\0\xff\r\n\r\n"]

    run(go)


@pytest.mark.parametrize("place", [
    "127.0.0.1:PORT2", "localhost:PORT2", "127.0.0.1:22", "[::1]:443", "0x7f.1:80", "10.0.0.1:443",
    "[::ffff:7f00:1]:80", "169.254.169.254:80", "user:pw@example.org:443", "example.org:8443", "inside.example:443",
    "mixed.example:443",
])  # fmt: skip
def test_what_may_not_be_reached_is_refused_and_remembered(place: str) -> None:
    names = Names(inside_example=[["127.0.0.1"]], mixed_example=[["93.184.216.34", "10.0.0.1"]])

    async def go(proxy: GuardedProxy, server: Server) -> None:
        async with Server() as inside:
            target = place.replace("PORT2", str(inside.port))
            for head in (f"CONNECT {target} HTTP/1.1", f"GET http://{target}/ HTTP/1.1"):
                assert (await asked(proxy, head)).startswith(b"HTTP/1.1 403 Forbidden\r\n")
            assert inside.heads == server.heads == [] and proxy.count.refused == 2 and proxy.count.connections == 0
            host = target.rpartition("@")[2].rpartition(":")[0].strip("[]")
            assert any(word in proxy.why(host) for word in ("not ", "unusual"))

    run(go, resolver=names)


def test_a_name_cannot_change_its_address_between_look_and_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer may be reached, the second would lead inside: what was looked at is what is connected to."""
    connected: list[Any] = []
    names = Names(rebind_example=[["127.0.0.1"], ["169.254.169.254"]])

    async def go(proxy: GuardedProxy, server: Server) -> None:
        proxy.guard = Guard(allow=frozenset((f"rebind.example:{server.port}", server.place)))
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect

        async def noted(sock: socket.socket, address: Any) -> None:
            connected.extend([address] * (address[1] == server.port))
            await connect(sock, address)

        monkeypatch.setattr(loop, "sock_connect", noted)
        head = f"CONNECT rebind.example:{server.port} HTTP/1.1"
        assert b"hello" in await asked(proxy, head, then=b"x\r\n\r\n")
        assert (await asked(proxy, head)).startswith(b"HTTP/1.1 403") and connected == [("127.0.0.1", server.port)]

    run(go, resolver=names)


def test_only_who_knows_the_password_is_served(tmp_path: Path) -> None:
    async def go(proxy: GuardedProxy, server: Server) -> None:
        head = f"GET http://{server.place}/ HTTP/1.1"
        assert (await asked(proxy, head, password="wrong")).startswith(b"HTTP/1.1 407 ")
        assert server.heads == [] and (await asked(proxy, head)).endswith(b"hello")

    run(go)
    run(go, path=tmp_path / "proxy")


@pytest.mark.parametrize("head", [
    "GET / HTTP/1.1", "nonsense", "GET https://127.0.0.1/ HTTP/1.1", "GET ftp://example.org/ HTTP/1.1",
    "CONNECT  HTTP/1.1", "GET http:// HTTP/1.1", "CONNECT :443 HTTP/1.1", "GET http://[::1/ HTTP/1.1",
    "CONNECT a b c HTTP/1.1", "CONNECT example.org:99999 HTTP/1.1",
])  # fmt: skip
def test_no_request_is_too_broken(head: str) -> None:
    async def go(proxy: GuardedProxy, server: Server) -> None:
        assert (await asked(proxy, head))[9:12] in (b"400", b"403")
        assert server.heads == [] and (await asked(proxy, f"GET http://{server.place}/ HTTP/1.1")).endswith(b"hello")

    run(go)


def test_bytes_are_bounded_in_both_directions_and_over_the_run() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(10_000):
            pass

    async def down(proxy: GuardedProxy, server: Server) -> None:
        got = await asked(proxy, f"GET http://{server.place}/ HTTP/1.1")
        assert 0 < len(got) <= 100_200
        refused = await asked(proxy, f"GET http://{server.place}/ HTTP/1.1")
        assert refused.startswith(b"HTTP/1.1 403") and b"all it may" in refused

    async def up(proxy: GuardedProxy, server: Server) -> None:
        got = await asked(proxy, f"CONNECT {server.place} HTTP/1.1", then=b"\r\n\r\n" + b"x" * 300_000)
        assert got.startswith(b"HTTP/1.1 200") and proxy.count.up <= 300_000

    run(down, server=Server(endless), limits=ProxyLimits(most_down=100_000, most_bytes=50_000))
    run(up, server=Server(swallow), limits=ProxyLimits(most_up=100_000))


def test_a_silent_server_is_left_in_the_end_and_connections_are_bounded() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def go(proxy: GuardedProxy, server: Server) -> None:
        head = f"CONNECT {server.place} HTTP/1.1"
        first = asyncio.create_task(asked(proxy, head, then=b"x\r\n\r\n"))
        while not server.heads:
            await asyncio.sleep(0.01)
        assert (await asked(proxy, head)).startswith(b"HTTP/1.1 503")
        assert (await first).startswith(b"HTTP/1.1 200")

    run(go, server=Server(silent), limits=ProxyLimits(idle_seconds=0.3, connections=1))


def test_closing_cuts_everything() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def go(proxy: GuardedProxy, server: Server) -> None:
        held = asyncio.create_task(asked(proxy, f"CONNECT {server.place} HTTP/1.1", then=b"x\r\n\r\n"))
        while not server.heads:
            await asyncio.sleep(0.01)
        port = proxy.port
        await proxy.close()
        assert (await held).startswith(b"HTTP/1.1 200")
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)

    run(go, server=Server(silent))


def test_who_opens_connections_and_asks_for_nothing_is_cut_off() -> None:
    async def go(proxy: GuardedProxy, server: Server) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(5)]
        for reader, writer in opened[-1:]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        for _, writer in opened:
            writer.close()

    run(go, limits=ProxyLimits(connections=2))


def test_a_name_that_dns_cannot_have_is_said() -> None:
    async def go(proxy: GuardedProxy, server: Server) -> None:
        for name in (f"{'a' * 70}.example", "a..example"):
            assert (await asked(proxy, f"CONNECT {name}:443 HTTP/1.1")).startswith(b"HTTP/1.1 502")

    run(go)
