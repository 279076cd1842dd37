"""The client against a server on loopback that the guard allows by name, and against one that it does not."""

import asyncio
import gzip
import socket
import time
import zlib
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.tools.guarded_client import PIECE, Fetched, GuardedClient, _unpacker
from manyeyes.agent.tools.net_guard import FetchError, Guard, Refused, TooLarge

MIB = 2**20


class Names(AbstractResolver):
    """Names lead where the test says; several answers are given in turn."""

    def __init__(self, **names: list[str]) -> None:
        self.names = {name.replace("_", "."): addresses for name, addresses in names.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET):
        self.asked.append(host)
        found: list[ResolveResult] = [
            {"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for address in self.names[host]
        ]
        return found

    async def close(self) -> None:
        pass


class Server:
    """Counts what reaches it."""

    def __init__(self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        self.answer = answer
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []

    async def __aenter__(self) -> "Server":
        async def answer(request: web.Request) -> web.StreamResponse:
            self.paths.append(request.path)
            self.headers.append(dict(request.headers))
            return await self.answer(request)

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]
        self.place = f"127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()


async def pages(request: web.Request) -> web.StreamResponse:
    path = request.path
    if path == "/page":
        return web.Response(text="<p>hällo", content_type="text/html", charset="utf-8")
    if path == "/loop":
        return web.Response(status=302, headers={"Location": "/loop"})
    if path.startswith("/to/"):
        return web.Response(status=302, headers={"Location": request.query["url"]})
    if path == "/gzip":
        return web.Response(body=gzip.compress(b"packed " * 1000), headers={"Content-Encoding": "gzip"})
    if path == "/bomb":
        return web.Response(body=gzip.compress(b"\0" * 64 * MIB), headers={"Content-Encoding": "gzip"})
    if path == "/bombs":
        twice = gzip.compress(gzip.compress(b"\0" * 64 * MIB))
        return web.Response(body=twice, headers={"Content-Encoding": "gzip, gzip"})
    if path == "/broken":
        return web.Response(body=b"not packed", headers={"Content-Encoding": "gzip"})
    if path == "/long":
        return web.Response(body=b"x" * 3 * MIB)
    if path == "/slow":
        await asyncio.sleep(30)
    if path == "/drip":
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)
    return web.Response(status=404)


def fetched(path: str, *, names: Names | None = None, **limits) -> tuple[Fetched | FetchError, Server]:
    async def go():
        async with Server(pages) as server:
            guard = Guard(allow=frozenset((server.place,)), **{"seconds": 5.0, **limits})
            client = GuardedClient(guard, resolver=names)
            try:
                url = path if path.startswith("http") else f"http://{server.place}{path}"
                return await client.get(url.replace("PORT", str(server.port))), server
            except FetchError as error:
                return error, server
            finally:
                await client.close()

    return asyncio.run(go())


def test_a_page_comes_with_what_the_server_says_of_it() -> None:
    page, server = fetched("/page")
    assert isinstance(page, Fetched) and page.content.decode() == "<p>hällo"
    assert (page.content_type, page.charset) == ("text/html", "utf-8") and page.url.endswith("/page")
    assert "Cookie" not in server.headers[0] and "Authorization" not in server.headers[0]


def test_redirects_are_followed_one_by_one() -> None:
    page, server = fetched("/to/?url=/page")
    assert isinstance(page, Fetched) and page.url.endswith("/page") and server.paths == ["/to/", "/page"]
    error, server = fetched("/loop", redirects=3)
    assert "more than 3 times" in str(error) and len(server.paths) == 4


@pytest.mark.parametrize("target", [
    "http://127.0.0.1/secret", "http://127.0.0.1:1/secret", "//127.0.0.1/secret", "http://169.254.169.254/",
    "http://[::1]/", "http://localhost/", "file:///etc/passwd", "http://0x7f.1/", "http://user:pw@example.org/",
    "http://example.org:25/", "http://[::ffff:7f00:1]/",
])  # fmt: skip
def test_a_redirect_to_what_may_not_be_reached_is_refused(target: str) -> None:
    error, server = fetched(f"/to/?url={target}")
    assert isinstance(error, Refused) and server.paths == ["/to/"]


def test_a_name_that_leads_to_metadata_is_refused() -> None:
    names = Names(evil_example=["169.254.169.254"], mixed_example=["93.184.216.34", "10.0.0.1"])
    for url in ("http://evil.example/", "http://mixed.example/"):
        error, server = fetched(url, names=names)
        assert isinstance(error, Refused) and server.paths == []


def test_a_redirect_to_a_name_that_leads_inside_is_refused() -> None:
    names = Names(inside_example=["127.0.0.1"])
    error, server = fetched("/to/?url=http://inside.example/", names=names)
    assert isinstance(error, Refused) and names.asked == ["inside.example"] and server.paths == ["/to/"]


def test_a_name_is_reached_at_the_address_that_was_checked() -> None:
    names = Names(site_example=["127.0.0.1"])
    page, server = fetched("http://site.example:PORT/page", names=names, ports=frozenset(range(1, 65536)))
    assert isinstance(page, Fetched) and server.paths == ["/page"] and names.asked == ["site.example"]
    assert server.headers[0]["Host"].startswith("site.example")


def test_the_last_look_is_at_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a resolver that is not ours, or a check that was fooled, leads nowhere."""
    from manyeyes.agent.tools import guarded_client

    monkeypatch.setattr(
        guarded_client._Resolver, "resolve", lambda self, host, port=0, family=0: self._inner.resolve(host, port)
    )
    names = Names(evil_example=["127.0.0.1"])
    error, server = fetched("http://evil.example/", names=names)
    assert isinstance(error, Refused) and "loopback" in str(error) and names.asked == ["evil.example"]


def test_packed_pages_are_unpacked_and_bombs_are_not() -> None:
    page, _ = fetched("/gzip")
    assert isinstance(page, Fetched) and page.content == b"packed " * 1000
    bomb, _ = fetched("/bomb", most_bytes=MIB)
    assert isinstance(bomb, TooLarge) and "unpacked" in str(bomb)
    twice, _ = fetched("/bombs", most_bytes=MIB)
    assert isinstance(twice, FetchError) and "gzip, gzip" in str(twice)
    broken, _ = fetched("/broken")
    assert isinstance(broken, FetchError) and "cannot be unpacked" in str(broken)


def test_a_bomb_is_never_in_memory() -> None:
    packed = gzip.compress(b"\0" * 256 * MIB)
    unpack, largest, total = _unpacker("gzip"), 0, 0
    for start in range(0, len(packed), PIECE):
        for piece in unpack(packed[start : start + PIECE]):
            largest, total = max(largest, len(piece)), total + len(piece)
            if total > MIB:
                break
    assert largest <= PIECE


@given(st.binary(max_size=3000), st.integers(1, 400), st.sampled_from(["gzip", "deflate"]), st.integers(1, 200))
def test_unpacking_loses_nothing(content: bytes, repeat: int, coding: str, cut: int) -> None:
    content *= repeat
    packed = gzip.compress(content) if coding == "gzip" else zlib.compress(content)
    unpack = _unpacker(coding)
    pieces = [piece for at in range(0, len(packed), cut) for piece in unpack(packed[at : at + cut])]
    assert b"".join(pieces) == content and all(len(piece) <= PIECE for piece in pieces)


def test_what_follows_the_end_of_a_packed_page_is_a_member_or_nothing() -> None:
    unpack, two = _unpacker("gzip"), gzip.compress(b"one ") + gzip.compress(b"two")
    assert b"".join(piece for at in range(0, len(two), 7) for piece in unpack(two[at : at + 7])) == b"one two"
    rest, began = bytes(PIECE), time.process_time()
    assert not [piece for _ in range(1_000) for piece in unpack(rest)]
    assert time.process_time() - began < 5  # kept and copied each time, it took minutes


def test_names_that_dns_cannot_have_are_said() -> None:
    for url in (f"http://{'a' * 70}.example/", "http://a..example/", "http://a\0b.example/"):
        error, _ = fetched(url)
        assert isinstance(error, FetchError), url


def test_limits_on_bytes_and_time() -> None:
    assert isinstance(fetched("/long", most_sent=MIB)[0], TooLarge)
    for path in ("/slow", "/drip"):
        error, _ = fetched(path, seconds=0.3)
        assert isinstance(error, FetchError) and "longer than 0.3 s" in str(error)


def test_what_is_not_there_is_said() -> None:
    assert "404" in str(fetched("/nothing")[0])
    names = Names()
    error, _ = fetched("http://127.0.0.1:1/", names=names)
    assert isinstance(error, Refused)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert isinstance(fetched("/page")[0], Fetched)
