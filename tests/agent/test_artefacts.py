"""HTML artefacts as pictures in real Chromium: hostile pages reach nothing, and what cannot be shown is told apart."""

import asyncio
import os
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from manyeyes.agent.artefacts import LONGEST, HtmlArtefacts, NoNames, html_block, html_folder, last_html
from manyeyes.agent.environments.browser_computers import BrowserComputers
from manyeyes.agent.environments.computer import Screen
from manyeyes.agent.judge import Case, JudgeFailed
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.tools.browser_command import BrowserConfig
from manyeyes.agent.tools.net_guard import Guard
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ImagePart, Part, TextPart

from .tools.browser_site import Site, browser, descendants

T = TypeVar("T")
SMALL = Screen(200, 150, settle_seconds=0.5)
NONE_THERE = BrowserConfig("/nowhere/chromium", bwrap="/usr/bin/true")


def case(html: str, fence: str = "html") -> Case:
    return Case(Task("t", "A page"), Outcome("done", f"Here:\n```{fence}\n{html}\n```\nDone."))


def texts(parts: tuple[Part, ...]) -> str:
    return " ".join(part.text for part in parts if isinstance(part, TextPart))


def pictures(parts: tuple[Part, ...]) -> list[np.ndarray]:
    return [part.image.pixels() for part in parts if isinstance(part, ImagePart)]


def mean(picture: np.ndarray) -> list[int]:
    return picture.reshape(-1, 3).mean(axis=0).round().astype(int).tolist()


class Stage:
    """One browser for the tests here, for it takes seconds to start."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.artefacts = HtmlArtefacts(browser(), screen=SMALL, seconds=8.0)

    def __call__(self, coming: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coming)

    def shown(self, html: str) -> tuple[Part, ...]:
        return self(self.artefacts(case(html)))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made(made.artefacts.close())
    made.runner.close()


def test_the_last_closed_block_of_html_counts() -> None:
    text = "```html\n<p>1\n```\nthen\n```HTML\n<p>2\n</p>\n```\n```python\n'''\n```\n```html\n<p>open"
    assert last_html(text) == "<p>2\n</p>" and last_html("```htmlx\na\n```") is last_html("no") is None
    usual = ("```html index.html\nx\n```", "```html is code``` here\n```html\nx\n```", "~~~html\nx\n~~~")
    assert [last_html(one) for one in usual] == ["x"] * 3
    assert last_html("````html\n```\nx\n```\n````") == "```\nx\n```" and last_html("````html\nx\n```") is None
    read = html_block(case("<p>\ud800ä"))
    assert read is not None and read("index.html") == "<p>?ä".encode() and read("other") is None
    began = time.process_time()
    assert last_html("```html\nx\n" * 200_000) is last_html("`" * 1_000_000 + "a" * 1_000_000) is None
    assert time.process_time() - began < 5


def test_a_folder_gives_its_own_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key")
    here = tmp_path / "made"
    here.mkdir()
    find = html_folder(lambda case: here)
    assert find(case("")) is None
    (here / "index.html").symlink_to(tmp_path / "secret")
    assert find(case("")) is None
    (here / "index.html").unlink()
    (here / "index.html").write_text("<p>")
    (here / "big.bin").write_bytes(bytes(LONGEST + 1))
    (tmp_path / "linked").symlink_to(here)
    assert html_folder(lambda case: tmp_path / "linked")(case("")) is None
    read = find(case(""))
    assert read is not None and read("index.html") == b"<p>"
    assert [read(name) for name in ("../secret", "big.bin", "none", "\0")] == [None] * 4


def test_what_is_no_page_needs_no_browser_and_is_told(tmp_path: Path) -> None:
    async def both() -> list[tuple[Part, ...]]:
        artefacts = HtmlArtefacts(NONE_THERE)
        in_folder = HtmlArtefacts(NONE_THERE, find=html_folder(lambda case: tmp_path))
        return [
            await artefacts(case("<p>", "python")),
            await artefacts(case("x" * (LONGEST + 1))),
            await in_folder(case("")),
        ]

    (tmp_path / "index.html").write_bytes(bytes(LONGEST + 1))
    none, long, file = asyncio.run(both())
    assert "no artefact" in texts(none) and not pictures(none + long + file)
    assert "longer than 2,000,000" in texts(long) and texts(file) == texts(long)


def test_a_missing_browser_is_no_verdict() -> None:
    pytest.importorskip("playwright")
    with pytest.raises(JudgeFailed, match="rendered by a browser, and none starts"):
        asyncio.run(HtmlArtefacts(NONE_THERE)(case("<p>")))
    for settings in ({"pictures": 0}, {"seconds": 0.0}, {"most": 0}):
        with pytest.raises(ConfigError, match="needs a picture"):
            HtmlArtefacts(NONE_THERE, **settings)
    with pytest.raises(OSError, match="no network"):
        asyncio.run(NoNames().resolve("example.org"))


def test_a_page_is_drawn_with_its_script_and_a_long_one_is_scrolled(stage: Stage) -> None:
    blue = "<script>document.body.style.background = '#00f'</script>"
    short = pictures(stage.shown(f"<body style='background:#fff'>{blue}"))
    assert len(short) == 1 and short[0].shape == (150, 200, 3) and mean(short[0]) == [0, 0, 255]
    half = "<div style='height:150px;background:{}'></div>"
    html = "<body style='margin:0'>" + half.format("#f00") + half.format("#0f0") + half.format("#00f")
    assert [mean(one) for one in pictures(stage.shown(html))] == [[255, 0, 0], [0, 255, 0]]


def test_the_files_of_a_folder_belong_to_the_page(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<link rel=stylesheet href=a/b.css><body>")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.css").write_text("body { background: #0f0 }")
    find = html_folder(lambda case: tmp_path)
    read = find(case(""))
    assert read is not None
    assert [mean(one.pixels()) for one in stage(stage.artefacts.rendered(read))] == [[0, 255, 0]]


HOSTILE = """<body style='background:#0f0'><img src='http://HERE/img'><link rel=stylesheet href='http://HERE/css'>
<iframe src='http://HERE/frame'></iframe><iframe src='file:///etc/passwd'></iframe>
<form id=f action='http://HERE/post' method=post></form><script>
fetch('http://HERE/fetch').catch(() => 0); navigator.sendBeacon('http://HERE/beacon', 'x');
try { new WebSocket('ws://HERE/socket') } catch (e) {} try { new EventSource('http://HERE/events') } catch (e) {}
try { new Worker('http://HERE/worker.js') } catch (e) {}
try { new RTCPeerConnection({iceServers: [{urls: 'stun:HERE'}]}).createDataChannel('x') } catch (e) {}
fetch('https://pages.invalid/elsewhere').catch(() => 0); new WebSocket('wss://pages.invalid/');
window.open('http://HERE/popup'); alert('stay'); setTimeout(() => { location = 'http://HERE/away' }, 30); f.submit();
</script>"""


class Datagrams(asyncio.DatagramProtocol):
    """Whatever comes by UDP, such as a question to a STUN server."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.paths.append("datagram")


def test_a_hostile_page_reaches_nothing(stage: Stage) -> None:
    async def go(*, open_: bool) -> list[str]:
        async with Site({}) as site, HtmlArtefacts(stage.artefacts.config, screen=SMALL, seconds=8.0) as artefacts:
            if open_:
                guard = Guard(allow=frozenset((site.place, "pages.invalid:443")))
                artefacts._shared = BrowserComputers(artefacts.config, guard)
            host, _, port = site.place.rpartition(":")
            loop, heard = asyncio.get_running_loop(), Datagrams()
            udp, _ = await loop.create_datagram_endpoint(lambda: heard, (host, int(port)))
            await artefacts(case(HOSTILE.replace("HERE", site.place)))
            await asyncio.sleep(1.0)
            udp.close()
            return site.paths + heard.paths

    assert stage(go(open_=False)) == []
    tried = {"/fetch", "/frame", "/css", "/events", "/beacon"}
    assert tried <= set(stage(go(open_=True)))  # it does try


def test_a_page_sees_no_file_and_keeps_nothing_for_the_next(stage: Stage) -> None:
    """Green where the page got nothing, red where it read something."""
    reads = """<body><script>
    const say = colour => document.body.style.background = colour; say('#0f0');
    if (localStorage.length || document.cookie) say('#f00'); localStorage.a = 1; document.cookie = 'a=1';
    fetch('file:///etc/passwd').then(() => say('#f00'), () => 0);
    fetch('secret').then(answer => { if (answer.ok) say('#f00') }, () => 0);
    </script>"""
    for _ in range(2):
        assert [mean(one) for one in pictures(stage.shown(reads))] == [[0, 255, 0]]


async def busy() -> float:
    """Processors that our descendants keep busy."""
    seconds = list[float]()
    for _ in range(2):
        stats = [Path(f"/proc/{number}/stat") for number in descendants(os.getpid())]
        fields = [stat.read_text().rpartition(")")[2].split() for stat in stats if stat.exists()]
        seconds.append(sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK"))
        await asyncio.sleep(2.0)
    return (seconds[1] - seconds[0]) / 2.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "html", ["<script>while (true) {}</script>", "<script>location = 'about:blank#' + location; while (1) {}</script>"]
)
def test_a_page_that_never_rests_is_its_own_fault_and_the_next_is_drawn(stage: Stage, html: str) -> None:
    began = time.monotonic()
    parts = stage.shown(html)
    assert "could not be rendered" in texts(parts) and not pictures(parts)
    assert time.monotonic() - began < 90
    assert pictures(stage.shown("<p>fine"))
    assert stage(busy()) < 0.5  # it does not go on behind our back


def test_a_browser_that_shows_nothing_at_all_is_no_verdict(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: Any) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(stage.artefacts, "seconds", 0.2)
    monkeypatch.setattr(stage.artefacts, "_windows", silent)
    with pytest.raises(JudgeFailed, match="not even an empty one"):
        stage.shown("<p>fine")


def test_nothing_of_a_browser_is_left(stage: Stage) -> None:
    async def go() -> int:
        before = set(descendants(os.getpid()))
        async with HtmlArtefacts(stage.artefacts.config, screen=SMALL, seconds=8.0) as artefacts:
            assert pictures(await artefacts(case("<p>")))
        await asyncio.sleep(2.0)
        return len(set(descendants(os.getpid())) - before)

    assert stage(go()) == 0
