"""The tool `search`, its cache, and addresses that are the same page."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.tools.citations import Citations, canonical
from manyeyes.agent.tools.search import Cached, Hit, SearchError, normalised, search_tool, without_duplicates
from manyeyes.agent.tools.single_flight import Remembered
from manyeyes.agent.toolset import Functions, ToolResult
from manyeyes.core.messages import ToolCall


class Backend:
    """Finds what it is told to, and counts."""

    name = "fake"

    def __init__(self, answers: dict[str, list[Hit] | Exception], *, seconds: float = 0.0) -> None:
        self.answers, self.seconds = answers, seconds
        self.asked: list[tuple[str, int, str | None]] = []
        self.at_once = self.most_at_once = 0

    async def search(self, query: str, *, count: int, site: str | None = None) -> list[Hit]:
        self.asked.append((query, count, site))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.seconds)
        self.at_once -= 1
        answer = self.answers.get(query, [])
        if isinstance(answer, Exception):
            raise answer
        return answer[:count]


def hits(*names: str) -> list[Hit]:
    return [Hit(f"https://{name}.example/", name.title(), f"about {name}", "2025-01-02") for name in names]


def searched(backend, *, citations: Citations | None = None, **arguments) -> ToolResult:
    tools = Functions([search_tool(backend, citations or Citations())])
    return asyncio.run(tools.call(ToolCall("1", "search", json.dumps(arguments))))


def test_queries_run_at_once_and_a_page_is_shown_once() -> None:
    backend = Backend({"x": hits("a", "b"), "y": hits("b", "c")}, seconds=0.02)
    result = searched(backend, queries=["x", "y"])
    assert backend.most_at_once == 2 and not result.failure
    assert result.text.count("https://b.example/") == 1 and "1 more that are shown above" in result.text
    assert "[^1^] A (2025-01-02)\nhttps://a.example/\nabout a" in result.text and "[^3^] C" in result.text
    assert [hit["url"] for hit in result.data["hits"]] == [f"https://{name}.example/" for name in "abc"]
    assert result.data["cited"]["3"] == "https://c.example/"


def test_one_failed_query_leaves_the_others_alone() -> None:
    backend = Backend({"x": SearchError("quota"), "y": hits("c")})
    result = searched(backend, queries=["x", "y", "none"])
    assert "Error: quota" in result.text and "[^1^] C" in result.text and "Nothing was found" in result.text
    assert searched(backend, queries=["x"]).failure == "refused"


def test_nonsense_is_told() -> None:
    backend = Backend({})
    assert searched(backend, queries=[" ", ""]).failure == "bad_arguments"
    assert searched(backend, queries="x").failure == "bad_arguments"
    searched(backend, queries=[f"q{number}" for number in range(30)], top=500)
    assert len(backend.asked) == 10 and {count for _, count, _ in backend.asked} == {20}


def test_the_same_query_is_asked_once_even_at_the_same_time() -> None:
    backend = Backend({"new york": hits("a")}, seconds=0.02)
    cached = Cached(backend)

    async def go() -> None:
        await asyncio.gather(*(cached.search(query, count=5) for query in ("New  York", "new york ", "NEW YORK")))
        await cached.search("new york", count=5)
        await cached.search("new york", count=6)
        await cached.search("new york", count=5, site="a.example")

    asyncio.run(go())
    assert backend.asked == [("new york", 5, None), ("new york", 6, None), ("new york", 5, "a.example")]
    assert cached.asked == 3


def test_failures_are_not_remembered() -> None:
    backend = Backend({"x": SearchError("down")})
    cached = Cached(backend)

    async def go() -> list[Hit]:
        with pytest.raises(SearchError):
            await cached.search("x", count=5)
        backend.answers["x"] = hits("a")
        return await cached.search("x", count=5)

    assert asyncio.run(go()) == hits("a")


def test_who_gives_up_does_not_take_the_others_along() -> None:
    async def make(key: str) -> str:
        await asyncio.sleep(0.02)
        return key

    async def go() -> tuple[str, int]:
        known = Remembered(make, most=2)
        first = asyncio.ensure_future(known.get("a"))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(known.get("a"))
        await asyncio.sleep(0)
        first.cancel()
        answer = await second
        for key in ("b", "c", "a"):
            await known.get(key)
        await known.close()
        return answer, known.made

    assert asyncio.run(go()) == ("a", 4)


@pytest.mark.parametrize(("one", "other"), [
    ("https://a.example/x", "http://www.a.example/x/"),
    ("https://a.example/x?b=1&a=2", "https://a.example/x?a=2&b=1&utm_medium=mail&fbclid=9#part"),
    ("https://A.example:443/x", "https://a.example/x"),
])  # fmt: skip
def test_addresses_of_one_page(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), [
    ("https://a.example/x", "https://a.example/X"),
    ("https://a.example/x?id=1", "https://a.example/x?id=2"),
    ("https://a.example:8443/x", "https://a.example/x"),
    ("https://b.a.example/", "https://a.example/"),
])  # fmt: skip
def test_addresses_of_two_pages(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@given(st.lists(st.sampled_from("abcdef"), max_size=20))
def test_the_first_hit_of_a_page_stays(names: Sequence[str]) -> None:
    kept = without_duplicates(hits(*names))
    assert [hit.title for hit in kept] == list(dict.fromkeys(name.title() for name in names))


@given(st.text(max_size=60))
def test_normal_forms_are_fixed_points(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)
    assert canonical(text) == canonical(text)


@given(st.lists(st.sampled_from("abcdef"), max_size=12), st.integers(0, 12))
def test_numbers_go_on_after_an_interruption(names: Sequence[str], cut: int) -> None:
    urls = [f"https://{name}.example/" for name in names]
    whole, before = Citations(), Citations()
    numbers = [whole.number(url) for url in urls]
    noted = [{"cited": before.noted([url])} for url in urls[:cut]]
    after = Citations(noted)
    assert [after.number(url) for url in urls] == numbers
