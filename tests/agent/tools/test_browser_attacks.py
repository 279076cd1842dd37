"""A page that wants to reach what it must not: nothing may arrive there, by any way that the browser knows."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from manyeyes.agent.tools import browser_command
from manyeyes.agent.tools.browser_pool import BrowserPool

from .browser_site import BOTH, KINDS, Agent, Site, browser, with_site

WAYS = ("img", "iframe", "fetch", "xhr", "script", "style", "ws", "events", "beacon", "form", "refresh", "redirect")
"""Ways to send a request; each asks for a path of its name."""
ATTACK = """<title>attack</title><h1>attack</h1><script>
const to = new URLSearchParams(location.search).get("to"), udp = new URLSearchParams(location.search).get("udp");
const add = (tag, more) => document.body.append(Object.assign(document.createElement(tag), more));
onload = () => {
  add("img", {src: `http://${to}/img`});
  add("iframe", {src: `http://${to}/iframe`});
  add("script", {src: `http://${to}/script`});
  add("link", {rel: "stylesheet", href: `http://${to}/style`});
  for (const rel of ["preconnect", "dns-prefetch", "prefetch", "preload", "prerender", "icon", "manifest"])
    add("link", {rel, href: `http://${to}/link`, as: "script"});
  add("iframe", {srcdoc: `<meta http-equiv=refresh content="0;url=http://${to}/refresh">`});
  add("iframe", {srcdoc: `<form action="http://${to}/form"></form><script>document.forms[0].submit()<` + `/script>`});
  add("img", {src: `/go?to=http://${to}/redirect`});
  add("video", {src: `http://${to}/video`, autoplay: true});
  fetch(`http://${to}/fetch`, {mode: "no-cors"}).catch(() => 0);
  const xhr = new XMLHttpRequest(); xhr.open("GET", `http://${to}/xhr`); xhr.send();
  new WebSocket(`ws://${to}/ws`);
  new EventSource(`http://${to}/events`);
  navigator.sendBeacon(`http://${to}/beacon`);
  for (const url of [`stun:127.0.0.1:${udp}`, `turn:127.0.0.1:${udp}?transport=udp`, `turn:${to}?transport=tcp`]) {
    try {
      const peer = new RTCPeerConnection({iceServers: [{urls: url, username: "a", credential: "b"}]});
      peer.createDataChannel("x");
      peer.createOffer().then((offer) => peer.setLocalDescription(offer));
    } catch (error) {}
  }
  try { new WebTransport(`https://127.0.0.1:${udp}/`).ready.catch(() => 0); } catch (error) {}
  try { window.open(`http://${to}/popup`); } catch (error) {}
  try { new Worker(URL.createObjectURL(new Blob([`fetch("http://${to}/worker")`]))); } catch (error) {}
  try { navigator.serviceWorker.register("/worker.js").catch(() => 0); } catch (error) {}
};
</script>"""
LINKS = """<title>links</title><p><a href="http://TO/link">inside</a> <a href="file:///etc/passwd">file</a>
<a href="view-source:http://TO/">source</a> <a href="chrome://version">chrome</a>
<a href="data:text/html,<h1>data">data</a> <a href="/go?to=http://TO/redirect">redirect</a> <a href="blob:x">blob</a>
<a href="/go?to=file:///etc/passwd">to file</a>
<button onclick="location='http://TO/script'">script</button> <a href="http://TO/window" target="_blank">window</a>
<button onclick="window.open('http://TO/open')">open</button> <button onclick="location='file:///etc/passwd'">go</button>
<button onclick="location='data:text/html,<h1>data'">to data</button>"""


async def answer(request: web.Request) -> web.StreamResponse | None:
    if request.path == "/go":
        return web.Response(status=302, headers={"Location": request.query["to"]})
    return None


class Inside:
    """What must not be reached: TCP on both loopbacks, and UDP; counts whoever comes."""

    async def __aenter__(self) -> "Inside":
        self.visitors: list[Any] = []
        loop = asyncio.get_running_loop()

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.visitors.append(writer.get_extra_info("sockname"))
            writer.close()

        class Datagrams(asyncio.DatagramProtocol):
            def datagram_received(_self, data: bytes, addr: Any) -> None:
                self.visitors.append(("udp", addr))

        self.servers = [await asyncio.start_server(accept, "127.0.0.1", 0)]
        self.port = self.servers[0].sockets[0].getsockname()[1]
        if socket.has_ipv6:
            try:
                self.servers.append(await asyncio.start_server(accept, "::1", self.port))
            except OSError:
                pass  # no IPv6 on this machine: nothing to reach there
        self.udp, _ = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
        self.udp_port = self.udp.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.udp.close()
        for server in self.servers:
            server.close()


@pytest.mark.parametrize("kind", BOTH)
def test_nothing_of_a_page_reaches_inside(kind: str) -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        async with Inside() as inside:
            for host in ("127.0.0.1", "localhost", "[::1]"):
                place = f"{host}:{inside.port}"
                result = await agent("open", url=f"{site.url}/attack?to={place}&udp={inside.udp_port}")
                assert "attack" in result.text
            await asyncio.sleep(0.5)  # longer than a page takes to send; nothing is waited for
            assert inside.visitors == []
        assert pool.started == 1 and not any("/worker.js" in path for path in site.paths)

    with_site(Site({"/attack": ATTACK}, answer), browser(kind, settle_seconds=0.7), go)


@pytest.mark.parametrize("kind", BOTH)
def test_the_same_page_reaches_what_it_may(kind: str) -> None:
    """Else the test above would prove nothing."""

    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        await agent("open", url=f"{site.url}/attack?to={site.place}&udp=9")
        async with asyncio.timeout(20):
            while missing := {f"/{way}" for way in WAYS} - set(site.paths):
                await asyncio.sleep(0.05)
        assert not missing and "/video" not in site.paths

    with_site(Site({"/attack": ATTACK}, answer), browser(kind), go)


ROUND_THE_PROXY = ("webrtc", "quic", "proxy-bypass", "host-resolver", "dns-prefetch")


@pytest.mark.parametrize("kind", BOTH)
def test_within_bubblewrap_not_even_a_browser_that_goes_round_its_proxy_gets_anywhere(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flags are taken away; without bubblewrap the attack then arrives, which shows that it is one."""
    kept = tuple(flag for flag in browser_command.FLAGS if not any(word in flag for word in ROUND_THE_PROXY))
    monkeypatch.setattr(browser_command, "FLAGS", kept)

    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        async with Inside() as inside:
            await agent("open", url=f"{site.url}/attack?to=127.0.0.1:{inside.port}&udp={inside.udp_port}")
            async with asyncio.timeout(20):
                while kind == KINDS[1] and not inside.visitors:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            assert bool(inside.visitors) == (kind == KINDS[1])

    with_site(Site({"/attack": ATTACK}, answer), browser(kind, settle_seconds=0.7), go)


@pytest.mark.parametrize("kind", BOTH)
def test_no_link_or_script_leads_inside(kind: str) -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        async with Inside() as inside:
            site.pages["/links"] = LINKS.replace("TO", f"127.0.0.1:{inside.port}")
            first = await agent("open", url=f"{site.url}/links")
            for ref in range(1, first.text.count("](#") + 1):
                result = await agent("click", ref=ref, url=f"{site.url}/links")
                assert result.failure == "refused" or result.data["page"] == f"{site.url}/links", (ref, result.text)
                assert not any(word in result.text for word in ("root:", "# data", "Chromium")), (ref, result.text)
            assert inside.visitors == []

    with_site(Site({}, answer), browser(kind, settle_seconds=0.5), go)


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "view-source:http://example.org/", "chrome://version", "data:text/html,<h1>data</h1>",
    "javascript:document.title", "about:blank", "devtools://devtools/", "blob:null/x", "ftp://example.org/",
    "chrome-extension://x/", "filesystem:http://example.org/", "http://user:pw@example.org/", "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]/", "http://0x7f000001/", "http://localhost/",
    "http://example.org:22/",
])  # fmt: skip
def test_such_an_address_is_refused_before_a_browser_is_even_started(url: str) -> None:
    async def go() -> None:
        pool = BrowserPool(browser())
        result = await Agent(pool)("open", url=url)
        assert result.failure == "refused" and pool.started == 0

    asyncio.run(go())


def test_a_redirect_inside_is_refused_and_says_why() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        async with Inside() as inside:
            for to in (f"http://127.0.0.1:{inside.port}/", "http://169.254.169.254/", "http://localhost/"):
                result = await agent("open", url=f"{site.url}/go?to={to}")
                assert result.failure == "refused" and ("not opened" in result.text or "is" in result.text)
                assert json.dumps(result.data) == "{}"
            assert inside.visitors == []

    with_site(Site({}, answer), browser(), go)


def test_a_broken_out_renderer_finds_the_kernels_settings_read_only() -> None:
    """Bubblewrap leaves /proc/sys writable to root's own sandboxes; `core_pattern` would be a way out."""
    config = browser()
    inside = browser_command._sandbox(config, os.path.realpath(sys.executable))
    tried = "for file in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches; do (: >> $file) && echo wrote; done"
    ran = subprocess.run([config.bwrap, *inside, "sh", "-c", tried], capture_output=True, text=True, check=False)
    assert ran.stdout == "" and ran.stderr.count("Read-only file system") == 2


def test_a_browser_that_was_taken_over_makes_no_socket_that_leads_past_its_network(monkeypatch) -> None:
    tried = (
        "import socket\n"
        "for family in range(64):\n"
        "    for kind in (1, 2, 3, 5):\n"
        "        try: socket.socket(family, kind).close(); print(family)\n"
        "        except OSError: pass\n"
        "print('end')\n"
    )
    monkeypatch.setattr(browser_command, "_flags", lambda *_: ["-c", tried])
    config = replace(browser(), chromium=os.path.realpath(sys.executable))
    with tempfile.TemporaryDirectory(prefix="eyes") as made, ExitStack() as stack:
        for name in ("proxy", "alive"):
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(f"{made}/{name}")
            listening.listen()
        program, arguments = browser_command.command(config, folder=Path(made), port=0)
        ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert set(ran.stdout.split()) <= {"1", "2", "10", "16", "end"} and "end" in ran.stdout, ran.stderr
