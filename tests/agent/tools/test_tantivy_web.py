"""Both engines of a local web: the same pages for the same words, whatever the language."""

import asyncio
import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.tools import tantivy_web
from manyeyes.agent.tools.local_web import LocalWeb, WebPage
from manyeyes.agent.tools.net_guard import FetchError
from manyeyes.agent.tools.search import Hit
from manyeyes.agent.tools.tantivy_web import TantivyWeb, Web, load_local_web, local_web
from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.swarm.world_pages import world_pages

needs_tantivy = pytest.mark.skipif(
    importlib.util.find_spec("tantivy") is None and os.environ.get("CI") != "true", reason="tantivy is not installed"
)
ENGINES = (LocalWeb, pytest.param(TantivyWeb, marks=needs_tantivy))
PAGES = [
    WebPage("https://zh.example/tower", "东京塔", "东京塔位于日本东京都港区，高332.9米，1958年建成。", "2024-01-01"),
    WebPage("https://zh.example/tokyo", "东京", "东京是日本的首都。", "2025-01-01"),
    WebPage("https://zh.example/beijing", "北京", "北京是中国的首都，人口约2184万。"),
    WebPage("https://ja.example/tower", "東京タワー", "東京タワーは東京都港区にある。"),
    WebPage("https://ko.example/seoul", "서울", "서울은 대한민국의 수도이다."),
    WebPage("https://en.example/tower", "Tokyo Tower", "The tower, 东京塔 in Chinese, stands in [Tokyo](/tokyo)."),
    WebPage("https://sub.en.example/cafe", "Café", "Coffees are drunk in a café; naïve drinkers drink tea."),
]


def found(web: Web, query: str, **arguments) -> list[Hit]:
    return asyncio.run(web.search(query, **{"count": 10, **arguments}))


def names(web: Web, query: str, **arguments) -> list[str]:
    return [hit.url.removeprefix("https://").replace(".example/", " ") for hit in found(web, query, **arguments)]


@pytest.mark.parametrize("engine", ENGINES)
def test_languages_without_spaces_are_found(engine: type[LocalWeb] | type[TantivyWeb]) -> None:
    web = engine.build(PAGES)
    assert names(web, "东京塔")[:2] == ["zh tower", "en tower"] and "zh tokyo" in names(web, "东京塔")
    assert set(names(web, "首都", count=2)) == {"zh tokyo", "zh beijing"}
    assert names(web, "中国的首都")[0] == "zh beijing" and names(web, "东京塔 高 米", count=1) == ["zh tower"]
    assert names(web, "東京タワー") == ["ja tower"] and names(web, "타") == [] and names(web, "수도") == ["ko seoul"]
    assert set(names(web, "塔")) == {"zh tower", "en tower"}, "a single character, at the end of a word, too"
    assert names(web, "332.9米")[0] == "zh tower" and names(web, "Tokyo tower 东京塔", count=1) == ["en tower"]
    assert "332.9" in found(web, "东京塔")[0].snippet and names(web, "火星人") == []


@pytest.mark.parametrize("engine", ENGINES)
def test_words_stems_accents_and_sites(engine: type[LocalWeb] | type[TantivyWeb]) -> None:
    web = engine.build(PAGES)
    assert names(web, "cafe") == names(web, "CAFÉ drinks coffee") == names(web, "naive") == ["sub.en cafe"]
    assert names(web, "drink", site="en.example") == ["sub.en cafe"] and names(web, "drink", site="n.example") == []
    assert (
        names(web, "东京塔", site="zh.example")[0] == "zh tower" and len(names(web, "东京塔", site="zh.example")) == 2
    )
    assert found(web, "?!") == [] and len(web) == 7 and web.searched == 8
    assert found(web, "Tokyo", count=1)[0] == Hit(PAGES[5].url, "Tokyo Tower", found(web, "Tokyo")[0].snippet)
    page = asyncio.run(web.page("http://en.example/tower/"))
    assert page.links[0].url == "https://en.example/tokyo" and web.opened == 1
    with pytest.raises(FetchError, match="not in the local web"):
        asyncio.run(web.page("https://en.example/other"))


@needs_tantivy
def test_both_engines_find_the_same_of_the_demo_world() -> None:
    pages = list(world_pages())
    one, other = LocalWeb.build(pages), TantivyWeb.build(pages)
    for query in (
        "Iceland", "Reykjavik", "population of Iceland", "capital Norway", "atomic number of iron", "Keflavik airport",
        "gold discovered", "airports of Brazil", "Zürich", "boiling point tungsten", "traveller letters", "xyzzy",
    ):  # fmt: skip
        first, second = (found(web, query, count=len(pages)) for web in (one, other))
        assert {hit.url for hit in first} == {hit.url for hit in second}, query
        assert {(hit.title, hit.date) for hit in first} == {(hit.title, hit.date) for hit in second}
    for query in ("Iceland", "Reykjavik", "population of Iceland", "atomic number of iron", "Norway capital"):
        assert found(one, query, count=1)[0].url == found(other, query, count=1)[0].url, query
    for page in pages[:50]:
        assert asyncio.run(one.page(page.url)) == asyncio.run(other.page(page.url))


@pytest.mark.parametrize("engine", ENGINES)
def test_no_query_breaks_the_search(engine: type[LocalWeb] | type[TantivyWeb]) -> None:
    web = engine.build(PAGES)

    @settings(max_examples=60)
    @given(st.text(max_size=40) | st.text(alphabet="东京塔*\"'()[]^\\.-:a ", max_size=20))
    def search(query: str) -> None:
        hits = found(web, query)
        assert len({hit.url for hit in hits}) == len(hits) <= 7

    search()


@needs_tantivy
def test_a_web_in_a_folder_is_replaced_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "web"
    assert isinstance(local_web(PAGES, path), TantivyWeb)
    assert names(load_local_web(path), "首都 中国")[0] == "zh beijing"
    local_web(PAGES[:1], path)
    assert len(load_local_web(path)) == 1 and list(tmp_path.iterdir()) == [path]
    asyncio.run(LocalWeb.build(PAGES, tmp_path / "file").close())
    assert isinstance(load_local_web(tmp_path / "file"), LocalWeb)
    with pytest.raises(ManyeyesError, match="same address"):
        local_web([PAGES[0], PAGES[0]])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManyeyesError, match="not a local web"):
        load_local_web(tmp_path / "empty")
    monkeypatch.setattr(tantivy_web, "MANY", 0)
    assert names(load_local_web(path), "东京塔") == ["zh tower"]


def test_without_tantivy_sqlite_takes_over_and_says_so_when_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tantivy", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert isinstance(local_web(PAGES), LocalWeb)
    with pytest.raises(ConfigError, match=r"manyeyes\[search\]"):
        load_local_web(tmp_path)
