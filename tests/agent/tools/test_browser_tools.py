"""The browser's tools on a small site: what an agent sees, and what its clicks and words do."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from aiohttp import web

from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.tools.browser_pool import BrowserPool
from manyeyes.agent.tools.browser_tools import browser_tools
from manyeyes.agent.tools.local_web import LocalWeb, WebPage
from manyeyes.agent.toolset import ToolResult
from manyeyes.core.journal import Journal
from manyeyes.core.media import Picture
from manyeyes.core.messages import ImagePart, ToolCall, assistant

from .browser_site import Agent, Site, browser, descendants, with_site

FORM = """<title>Form &amp; more</title><nav><a href="/two">Two</a></nav><h1>Hello</h1><p id="late">not yet</p>
<table><tr><th>A<th>B<tr><td>1<td><a href="/cell">2</a></table><p style="display:none">never seen</p>
<form action="/sent"><label>Name <input name="name"></label> <input type="password" name="key" aria-label="Key">
<select name="land" aria-label="Land"><option>Iceland<option value="no">Norway</select>
<label><input type="checkbox" name="agree"> Agree</label> <input type="file" name="file" aria-label="File">
<textarea name="words" placeholder="Words"></textarea> <button>Send [now]</button></form>
<div contenteditable aria-label="Note"></div> <button disabled>Off</button>
<div onclick="this.textContent = 'pressed'">Press</div><my-part></my-part>
<iframe srcdoc="<p>in a frame <a href='http://HERE/framed'>framed</a>"></iframe>
<script>
fetch("/slow").then(() => { document.getElementById("late").textContent = "ready"; });
customElements.define("my-part", class extends HTMLElement {
  connectedCallback() { this.attachShadow({mode: "open"}).innerHTML = "<p>in the shadow <button>Dark</button></p>"; }
});
</script>"""
ODD = """<title>odd</title><h1>odd</h1>
<button onclick="alert('boo'); this.textContent = 'told'">Alert</button>
<button onclick="window.open('/two'); window.open('/three')">Windows</button>
<a href="/file.txt">file</a> <button onclick="fetch('/slow').then(() => { this.textContent = 'late' })">Slow</button>
<div style="height:3000px"></div><p id="end">end</p>
<script>
window.open("/unasked");
addEventListener("scroll", () => { document.getElementById("end").textContent = "loaded at the end"; });
</script><video src="/film.mp4" autoplay></video><style>@font-face {font-family: x; src: url(/font.woff2)}
h1 {font-family: x}</style>"""
COVERED = """<h1>covered</h1><button id="b" onclick="document.title='clicked'">Under</button>
<div style="position:fixed;inset:0;background:white" id="over">Accept our cookies
<button onclick="document.getElementById('over').remove()">Accept</button></div>"""


async def answer(request: web.Request) -> web.StreamResponse | None:
    if request.path == "/sent":
        text = f"<h1>sent</h1><p>{json.dumps(dict(request.query), sort_keys=True)}</p>"
        return web.Response(text=text, content_type="text/html")
    if request.path == "/file.txt":
        headers = {"Content-Disposition": "attachment; filename=file.txt"}
        return web.Response(text="words of the file", content_type="text/plain", headers=headers)
    if request.path == "/set":
        return web.Response(text="<h1>set</h1>", content_type="text/html", headers={"Set-Cookie": "who=me"})
    if request.path == "/who":
        button = "<button onclick=\"this.textContent='me: ' + document.cookie\">who</button>"
        text = f"<h1>{request.cookies.get('who', 'nobody')}</h1><input aria-label=a>{button}"
        return web.Response(text=text, content_type="text/html")
    if request.path == "/slow":
        await asyncio.sleep(0.2)
        return web.Response(text="at last")
    if request.path == "/hang":
        return web.Response(text="<h1>hang</h1><script>while (true) {}</script>", content_type="text/html")
    return None


def site() -> Site:
    two = "<title>Two</title><h1>two</h1>"
    return Site({"/": FORM, "/odd": ODD, "/covered": COVERED, "/two": two, "/three": "3", "/cell": "c"}, answer)


def number(result: ToolResult, words: str) -> int:
    """The number of what is called so."""
    line = next(line for line in result.text.splitlines() if words in line and "](#" in line)
    return int(line.partition(words)[2].partition("](#")[2].partition(")")[0])


def test_a_page_is_seen_as_it_is_rendered_and_its_form_can_be_used() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        page = await agent("open", url=site.url)
        assert page.text.startswith(f"[^1^] Form & more\n{site.url}/\n") and page.data["page"] == f"{site.url}/"
        for words in (
            "# Hello", "ready", "| 1 | [2](#", "[Two](#1)", '[Name (text field): ""]', "[Agree (checkbox, off)]",
            '[Land (choice): "Iceland" of Iceland, Norway]', "[Send (now) (button)]", "[Off (button, disabled)]",
            "in the shadow [Dark (button)]", "in a frame [framed]", '[Note (text field): ""]', "[Press (button)]",
        ):  # fmt: skip
            assert words in page.text, words
        assert "never seen" not in page.text and "not yet" not in page.text
        await agent("type", ref=number(page, "[Name"), text="Björk")
        await agent("type", ref=number(page, "[Words"), text="two\nlines")
        await agent("type", ref=number(page, "[Key"), text="hunter2")
        await agent("type", ref=number(page, "[Land"), text="norway")
        page = await agent("click", ref=number(page, "[Agree"))
        assert "[Agree (checkbox, on)]" in page.text and '"Norway" of' in page.text and "hunter2" not in page.text
        assert "[Key (password field): filled]" in page.text and '[Name (text field): "Björk"]' in page.text
        assert (await agent("type", ref=number(page, "[File"), text="/etc/passwd")).failure == "refused"
        assert (await agent("click", ref=number(page, "[File"))).failure == "refused"
        assert (await agent("type", ref=number(page, "[Press"), text="x")).failure == "refused"
        assert "there are Iceland, Norway" in (await agent("type", ref=number(page, "[Land"), text="Mars")).text
        sent = await agent("click", ref=number(page, "[Send"))
        assert sent.text.startswith("[^2^]") and "# sent" in sent.text
        told = json.loads(sent.text.partition("{")[2].partition("}")[0].join("{}"))
        assert told["name"] == "Björk" and told["land"] == "no" and told["agree"] == "on"
        await agent("open", url=site.url)
        sent = await agent("type", ref=number(page, "[Name"), text="q", submit=True)
        assert '"name": "q"' in sent.text and sent.data["cited"]
        assert number(await agent("find", text="in a frame", url=site.url), "[framed")
        assert (await agent("click", ref=999)).failure == (await agent("click", ref=0)).failure == "refused"
        assert "# two" in (await agent("click", ref=1, url=site.url)).text

    with_site(site(), browser(), go)


def test_what_a_page_does_by_itself_is_dealt_with_and_told() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        page = await agent("open", url=f"{site.url}/odd")
        assert "# odd" in page.text and "/unasked" not in site.paths
        told = await agent("click", ref=number(page, "[Alert"))
        assert "[told (button)]" in told.text and "'boo'" in told.text and "cancel" in told.text
        assert "[late (button)]" in (await agent("click", ref=number(page, "[Slow"))).text
        assert "loaded at the end" in (await agent("scroll", pages=5)).text
        assert not {"/film.mp4", "/font.woff2"} & set(site.paths)
        picture = await agent("screenshot")
        shown = [part for part in picture.parts if isinstance(part, ImagePart)][0].image
        assert isinstance(shown, Picture) and (shown.width, shown.height) == (1280, 800) and shown.pixels().std() > 1
        window = await agent("click", ref=number(page, "[Windows"))
        assert "# two" in window.text and "new window" in window.text and window.data["page"] == f"{site.url}/two"
        assert "words of the file" in (await agent("open", url=f"{site.url}/file.txt")).text
        assert "a file was offered" in (await agent("click", ref=number(page, "[file"), url=f"{site.url}/odd")).text
        missing = await agent("open", url=f"{site.url}/missing")
        assert missing.failure == "" and "answered 404" in missing.text

    with_site(site(), browser(), go)


@pytest.mark.slow
def test_what_lies_under_something_cannot_be_clicked_until_that_is_gone(monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.agent.tools.browser_tab.CLICK_SECONDS", 0.5)

    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        page = await agent("open", url=f"{site.url}/covered")
        covered = await agent("click", ref=number(page, "[Under"))
        assert covered.failure == "refused" and "lies over it" in covered.text
        await agent("click", ref=number(page, "[Accept"))
        assert "[^1^] clicked" in (await agent("click", ref=number(page, "[Under"))).text

    with_site(site(), browser(), go)


def test_many_agents_share_few_contexts_and_keep_their_cookies() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        await agent("open", url=f"{site.url}/set")
        page = await agent("open", url=f"{site.url}/who")
        assert "# me" in page.text
        others = [Agent(pool) for _ in range(3)]
        seen = await asyncio.gather(*(other("open", url=f"{site.url}/who") for other in others))
        assert all("# nobody" in one.text for one in seen) and pool.evicted >= 2 and pool.started == 1
        back = await agent("click", ref=number(page, "[who"))
        assert "[me: who=me (button)]" in back.text
        filled = await agent("type", ref=1, text="typed")
        await asyncio.gather(*(other("open", url=f"{site.url}/two") for other in others))
        changed = await agent("click", ref=1)
        assert changed.failure == "refused" and "has changed" in changed.text and "typed" in filled.text
        assert '[a (text field): ""]' in (await agent("scroll", pages=0)).text
        for other in others:
            await other.close()

    with_site(site(), browser(contexts=2), go)


@pytest.mark.slow
def test_two_calls_of_one_agent_at_once_do_not_disturb_each_other() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        page = await agent("open", url=site.url)
        await asyncio.gather(
            agent("type", ref=number(page, "[Name"), text="a"), agent("type", ref=number(page, "[Words"), text="b")
        )
        page = await agent("scroll", pages=0)
        assert '[Name (text field): "a"]' in page.text and '[Words (text field): "b"]' in page.text

    with_site(site(), browser(), go)


def test_an_interrupted_agent_finds_its_page_and_numbers_again() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        await agent("open", url=f"{site.url}/two")
        page = await agent("open", url=site.url)
        again = Agent(pool, (page.data,))
        found = await again("find", text="in the shadow")
        assert found.text.startswith("[^2^] Form") and "(found 1 times; cite as [^2^])" in found.text
        assert "[pressed (button)]" in (await again("click", ref=number(page, "[Press"))).text
        await again.close()
        assert (await Agent(pool)("find", text="x")).failure == "refused"

    with_site(site(), browser(), go)


def test_what_cannot_be_reached_says_why() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        for url in ("http://nowhere.invalid/", "https://nowhere.invalid/"):
            result = await agent("open", url=url)
            assert result.failure == "refused" and "nowhere.invalid has no address" in result.text
        other = Agent(pool)  # who waited while that failed has its turn at once
        async with asyncio.timeout(20):
            calls = (agent("open", url="http://nowhere.invalid/"), other("open", url=f"{site.url}/two"))
            assert "# two" in (await asyncio.gather(*calls))[1].text
        await other.close()

    with_site(site(), browser(contexts=1), go)


def test_an_agent_of_a_run_searches_opens_and_types_with_one_list_of_citations(tmp_path: Path) -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        backend = LocalWeb.build([WebPage(f"{site.url}/two", "Two", "the second"), WebPage(site.url, "Form", "a form")])
        calls = (("search", {"queries": ["form"]}), ("open", {"url": site.url}), ("type", {"ref": 3, "text": "q"}))
        answers = [assistant(calls=(ToolCall.of(name, given, index=at),)) for at, (name, given) in enumerate(calls)]
        tools = Environment(lambda ctx: browser_tools(backend, pool, agent.reader, ctx))
        model = Scripted([*answers, assistant("done")])
        with Journal(tmp_path) as journal:
            assert (await AgentRun(journal, model).start(Task("main", "go"), tools)).text == "done"
        seen = [message.text for message in model.calls[-1] if message.role == "tool"]
        assert "[^1^] Form" in seen[0] and all(text.startswith("[^1^] Form & more") for text in seen[1:])
        assert '[Name (text field): "q"]' in seen[2]
        assert pool.started == 1 and not pool._live, "the agent gave its context back when it ended"

    with_site(site(), browser(), go)


@pytest.mark.slow
def test_a_page_that_lies_to_the_reader_is_bounded() -> None:
    lie = "<h1>x</h1><script>JSON.stringify = () => {}; String.prototype.slice = function () {{ return this }}</script>"

    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        for number, wrong in enumerate(("'x'.repeat(3e7)", "'[1]'", "null", '\'["", "", [["link"]], 0]\'')):
            site.pages[f"/lie{number}"] = lie.format(wrong)
            result = await agent("open", url=f"{site.url}/lie{number}")
            assert result.failure == "refused" and "keeps itself from being read" in result.text
        assert "# two" in (await agent("open", url=f"{site.url}/two")).text and pool.started == 1

    with_site(site(), browser(), go)


@pytest.mark.slow
def test_a_driver_that_died_is_started_again() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        await agent("open", url=site.url)
        drivers = [process for process in descendants(os.getpid()) if "run-driver" in _command(process)]
        assert drivers
        for process in drivers:
            os.kill(process, 9)
        results = [await agent("open", url=f"{site.url}/two") for _ in range(2)]
        assert results[0].failure in ("", "crash") and "# two" in results[1].text and pool.started == 2

    with_site(site(), browser(), go)


@pytest.mark.slow
def test_a_page_that_hangs_costs_its_agent_a_timeout_and_others_nothing() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        other = Agent(pool)
        hung, fine = await asyncio.gather(agent("open", url=f"{site.url}/hang"), other("open", url=f"{site.url}/two"))
        assert hung.failure == "timeout" and "# two" in fine.text
        assert "# two" in (await agent("open", url=f"{site.url}/two")).text and pool.started == 1
        await other.close()

    with_site(site(), browser(seconds=2.0, settle_seconds=0.5), go)


def test_a_crash_is_told_and_the_next_call_works() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        page = await agent("open", url=site.url)
        place = agent.tools._tab._place
        async with pool.hold(place) as loaded:
            session = await loaded.tab.context.new_cdp_session(loaded.tab.page)
            asyncio.ensure_future(session.send("Page.crash")).add_done_callback(lambda done: done.exception())
            while not loaded.tab.crashed:
                await asyncio.sleep(0.01)
        assert (await agent("click", ref=1)).failure == "crash"
        assert "# Hello" in (await agent("open", url=site.url)).text and pool.started == 1
        assert pool._running is not None
        for process in list(descendants(os.getpid())):
            if "--remote-debugging-pipe" in _command(process) and "--type=" not in _command(process):
                os.kill(process, 9)
        results = [await agent("click", ref=number(page, "[Press")) for _ in range(2)]
        assert results[0].failure in ("", "crash") and "[pressed (button)]" in results[1].text and pool.started == 2

    with_site(site(), browser(), go)


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""
