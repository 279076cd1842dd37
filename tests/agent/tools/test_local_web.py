"""The local web as search backend and page source, and the guarded web as page source."""

import asyncio
import time
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.tools import local_web
from manyeyes.agent.tools.guarded_client import GuardedClient
from manyeyes.agent.tools.local_web import LocalWeb, WebPage
from manyeyes.agent.tools.net_guard import FetchError, Guard
from manyeyes.agent.tools.pages import WebPages
from manyeyes.agent.tools.search import Hit
from manyeyes.agent.tools.web import web_tools
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.journal import Journal
from manyeyes.core.messages import ToolCall, assistant

PAGES = [
    WebPage("https://a.example/tea", "Tea", "Tea is drunk in [London](/london). Green teas are teas.", "2024-01-01"),
    WebPage("https://a.example/london", "London", "A city. People drink tea there, and coffee.", "2025-01-01"),
    WebPage("https://b.example/coffee", "Coffee", "Coffee is drunk in Reykjavík."),
]


def found(local: LocalWeb, query: str, **arguments) -> list[Hit]:
    return asyncio.run(local.search(query, **{"count": 5, **arguments}))


def test_all_words_come_first_and_any_words_after() -> None:
    local = LocalWeb.build(PAGES)
    first, *others = [hit.title for hit in found(local, "coffee tea")]
    assert first == "London" and sorted(others) == ["Coffee", "Tea"]
    assert [hit.title for hit in found(local, "reykjavik")] == ["Coffee"]
    assert found(local, "drinking")[0].title and found(local, "xyzzy") == [] and found(local, "?!") == []
    assert found(local, "tea", count=1)[0] == Hit(PAGES[0].url, "Tea", found(local, "tea")[0].snippet, "2024-01-01")


def test_a_site_can_be_asked_for() -> None:
    local = LocalWeb.build(PAGES)
    assert [hit.title for hit in found(local, "coffee", site="b.example")] == ["Coffee"]
    assert found(local, "coffee", site="c.example") == [] and found(local, "tea", site="example")


@given(st.text(max_size=60))
def test_no_query_breaks_the_search(query: str) -> None:
    local = LocalWeb.build(PAGES)
    hits = found(local, query)
    assert len({hit.url for hit in hits}) == len(hits) <= 3
    asyncio.run(local.close())


def test_pages_are_found_by_any_form_of_their_address() -> None:
    local = LocalWeb.build(PAGES)
    page = asyncio.run(local.page("http://www.a.example/tea/?utm_source=x"))
    assert page.title == "Tea" and page.date == "2024-01-01" and page.links[0].url == "https://a.example/london"
    with pytest.raises(FetchError, match="not in the local web"):
        asyncio.run(local.page("https://a.example/wine"))


def test_a_web_in_a_file_is_built_once_and_read_by_many(tmp_path: Path) -> None:
    path = tmp_path / "web.sqlite"
    asyncio.run(LocalWeb.build(PAGES, path).close())
    local = LocalWeb.load(path)
    assert len(local) == 3 and found(local, "coffee") and [p.name for p in tmp_path.iterdir()] == ["web.sqlite"]
    LocalWeb.build(PAGES[:1], path)
    assert len(LocalWeb.load(path)) == 1
    for wrong in (tmp_path / "none.sqlite", Path(__file__)):
        with pytest.raises(ManyeyesError, match="not a local web"):
            LocalWeb.load(wrong)
    with pytest.raises(ManyeyesError, match="same address"):
        LocalWeb.build([PAGES[0], PAGES[0]])


def test_searches_and_pages_take_the_time_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    local = LocalWeb.build(PAGES, seconds=0.05)
    monkeypatch.setattr(local_web, "MANY", 0)

    async def go() -> None:
        await asyncio.gather(*(local.search("tea coffee", count=3) for _ in range(20)), local.page(PAGES[0].url))

    began = time.monotonic()
    asyncio.run(go())
    assert 0.05 <= time.monotonic() - began < 1.0 and (local.searched, local.opened) == (20, 1)


def test_an_agent_searches_opens_and_clicks(tmp_path: Path) -> None:
    local = LocalWeb.build(PAGES)

    def call(index: int, name: str, **arguments) -> ToolCall:
        return ToolCall.of(name, arguments, index=index)

    script = [
        assistant(calls=(call(0, "search", queries=["green tea"]),)),
        assistant(calls=(call(1, "open", url=PAGES[0].url),)),
        assistant(calls=(call(2, "click", ref=1), call(3, "find", text="green", url=PAGES[0].url))),
        assistant("done [^1^]"),
    ]
    model = Scripted(script)
    environment = Environment(lambda ctx: web_tools(local, local, ctx))

    async def go():
        with Journal(tmp_path) as journal:
            return await AgentRun(journal, model).start(Task("t", "tea?"), environment)

    assert asyncio.run(go()).finished
    tools = [message.text for message in model.calls[-1] if message.role == "tool"]
    assert tools[0].startswith("## green tea\n[^1^] Tea (2024-01-01)") and tools[1].startswith("[^1^] Tea")
    assert "[London](#1)" in tools[1] and "\nL1: A city." in tools[2] and "found 1 times" in tools[3]
    assert {tool.name for tool in web_tools(local, local, type("Ctx", (), {"noted": []})()).tools} == {
        "search", "open", "find", "scroll", "click",
    }  # fmt: skip


def test_pages_of_the_web_come_through_the_guard_and_once() -> None:
    served: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        served.append(request.path)
        if request.path == "/away":
            return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest"})
        return web.Response(text="<title>T</title><p>Hello <a href=b>b</a>", content_type="text/html")

    async def go() -> None:
        app = web.Application()
        app.router.add_get("/{tail:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        place = f"127.0.0.1:{runner.addresses[0][1]}"
        source = WebPages(GuardedClient(Guard(allow=frozenset((place,)))))
        pages = await asyncio.gather(*(source.page(f"http://{place}/a") for _ in range(5)))
        assert pages[0].lines == ("Hello [b](#1)",) and pages[0].links[0].url == f"http://{place}/b"
        with pytest.raises(FetchError, match="link-local"):
            await source.page(f"http://{place}/away")
        await source.close()
        await runner.cleanup()

    asyncio.run(go())
    assert served == ["/a", "/away"]
