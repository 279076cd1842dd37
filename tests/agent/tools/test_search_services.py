"""Search services against servers that answer in their documented form."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from manyeyes.agent.tools.search import Hit, SearchError
from manyeyes.agent.tools.search_services import Brave, SearXNG, Serper, Service, Tavily

KEY = "key-0123456789-secret"
RECORDED: dict[type[Service], dict[str, Any]] = {
    SearXNG: {
        "query": "reykjavik", "number_of_results": 0, "answers": [], "corrections": [], "infoboxes": [],
        "suggestions": [], "unresponsive_engines": [["duckduckgo", "CAPTCHA"]],
        "results": [
            {"url": "https://en.wikipedia.org/wiki/Reykjavik", "title": "Reykjavík - Wikipedia",
             "content": "Reykjavík is the capital of Iceland.", "engine": "brave", "score": 4.0, "category": "general",
             "publishedDate": None, "engines": ["brave", "google"], "positions": [1, 1], "thumbnail": ""},
            {"url": "https://visitreykjavik.is/?utm_source=x", "title": "Visit Reykjavik", "content": "Official site",
             "engine": "google", "publishedDate": "2025-03-04T10:00:00"},
            {"url": "https://www.visitreykjavik.is/", "title": "Again", "content": "", "engine": "bing"},
        ],
    },
    Tavily: {
        "query": "reykjavik", "follow_up_questions": None, "answer": None, "images": [], "response_time": 0.9,
        "request_id": "123",
        "results": [
            {"url": "https://en.wikipedia.org/wiki/Reykjavik", "title": "Reykjavík - Wikipedia",
             "content": "Reykjavík is the capital of Iceland.", "score": 0.93, "raw_content": None},
            {"url": "https://visitreykjavik.is/", "title": "Visit Reykjavik", "content": "Official site",
             "score": 0.8, "published_date": "2025-03-04"},
        ],
    },
    Serper: {
        "searchParameters": {"q": "reykjavik", "type": "search", "num": 5, "engine": "google"}, "credits": 1,
        "knowledgeGraph": {"title": "Reykjavík", "type": "Capital of Iceland"},
        "organic": [
            {"title": "Reykjavík - Wikipedia", "link": "https://en.wikipedia.org/wiki/Reykjavik",
             "snippet": "Reykjavík is the capital of Iceland.", "position": 1},
            {"title": "Visit Reykjavik", "link": "https://visitreykjavik.is/", "snippet": "Official site",
             "date": "2025-03-04", "position": 2},
        ],
        "relatedSearches": [{"query": "reykjavik map"}],
    },
    Brave: {
        "type": "search", "query": {"original": "reykjavik", "more_results_available": True}, "mixed": {},
        "web": {"type": "search", "results": [
            {"title": "Reykjavík - Wikipedia", "url": "https://en.wikipedia.org/wiki/Reykjavik",
             "description": "<strong>Reykjavík</strong> is the capital of Iceland.", "language": "en",
             "profile": {"name": "Wikipedia"}},
            {"title": "Visit Reykjavik", "url": "https://visitreykjavik.is/", "description": "Official site",
             "page_age": "2025-03-04T00:00:00", "age": "March 4, 2025"},
        ]},
    },
}  # fmt: skip
Answer = Callable[[int], tuple[int, Any, dict[str, str]]]


def asked(kind: type[Service], answer: Answer, *, count: int = 5, site: str | None = None, **settings):
    """What a service makes of a server's answers, and the requests that came."""
    requests: list[tuple[web.Request, dict[str, Any]]] = []

    async def respond(request: web.Request) -> web.Response:
        body = await request.json() if request.method == "POST" else {}
        requests.append((request, body))
        status, plain, headers = answer(len(requests) - 1)
        text = plain if isinstance(plain, str) else json.dumps(plain)
        return web.Response(status=status, text=text, headers=headers)

    async def go() -> list[Hit] | SearchError:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", respond)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service = kind(KEY, url=f"http://127.0.0.1:{runner.addresses[0][1]}/", **settings)
        try:
            return await service.search("  capital   of Iceland ", count=count, site=site)
        except SearchError as error:
            return error
        finally:
            await service.close()
            await runner.cleanup()

    return asyncio.run(go()), requests


@pytest.mark.parametrize("kind", RECORDED)
def test_a_recorded_answer_becomes_hits(kind: type[Service]) -> None:
    found, requests = asked(kind, lambda number: (200, RECORDED[kind], {}))
    assert found == [
        Hit("https://en.wikipedia.org/wiki/Reykjavik", "Reykjavík - Wikipedia", "Reykjavík is the capital of Iceland."),
        Hit(found[1].url, "Visit Reykjavik", "Official site", "2025-03-04"),
    ]
    ((request, body),) = requests
    assert "capital of Iceland" in (request.query.get("q") or body.get("q") or body["query"])
    assert KEY not in str(request.url) and KEY in str(dict(request.headers)) and KEY not in json.dumps(body)


@pytest.mark.parametrize("kind", RECORDED)
def test_nothing_found_is_an_empty_list(kind: type[Service]) -> None:
    empty = {"results": []} if kind in (SearXNG, Tavily) else {"type": "search"}
    assert asked(kind, lambda number: (200, empty, {}))[0] == []


@pytest.mark.parametrize("kind", RECORDED)
def test_a_site_and_a_count_are_passed_on(kind: type[Service]) -> None:
    found, ((request, body),) = asked(kind, lambda number: (200, RECORDED[kind], {}), count=1, site="example.org")
    assert len(found) == 1
    said = json.dumps(body) + str(request.query)
    assert "example.org" in said and (kind is Tavily) == (body.get("include_domains") == ["example.org"])
    if kind is not SearXNG:
        assert str(body.get("max_results") or body.get("num") or request.query.get("count")) == "1"


@pytest.mark.parametrize("kind", RECORDED)
@pytest.mark.parametrize(("status", "said", "times"), [
    (401, "refused the request (401)", 1), (403, "refused the request (403)", 1), (402, "quota is used up", 1),
    (432, "quota is used up" , 1), (400, "answered 400", 1), (429, "too many requests", 3), (503, "answered 503", 3),
])  # fmt: skip
def test_refusals_say_why_and_never_the_key(kind: type[Service], status: int, said: str, times: int) -> None:
    error, requests = asked(kind, lambda number: (status, {"error": f"bad key {KEY}"}, {"Retry-After": "0"}))
    assert isinstance(error, SearchError) and said in str(error) and kind.name in str(error)
    assert KEY not in str(error) and KEY not in repr(error) and len(requests) == times


def test_searxng_says_what_to_change_when_json_is_off() -> None:
    error, _ = asked(SearXNG, lambda number: (403, "Forbidden", {}))
    assert "settings.yml" in str(error)


def test_a_busy_service_is_asked_again() -> None:
    found, requests = asked(
        Serper, lambda number: (200, RECORDED[Serper], {}) if number else (429, {}, {"Retry-After": "0.01"})
    )
    assert len(found) == 2 and len(requests) == 2


def test_a_service_that_asks_for_an_hour_is_not_waited_for() -> None:
    error, requests = asked(Serper, lambda number: (429, {}, {"Retry-After": "3600"}))
    assert isinstance(error, SearchError) and len(requests) == 1


@pytest.mark.parametrize(("answer", "said"), [
    ("<html>hello", "did not answer in JSON"), ([1, 2], "did not answer in JSON"),
    ({"results": [{"title": "no address"}]}, "form that is not known"), ({}, "form that is not known"),
    ({"results": None}, "form that is not known"), ("{" + " " * 5_000_000, "more than"),
])  # fmt: skip
def test_nonsense_is_an_error_and_not_a_crash(answer: Any, said: str) -> None:
    error, _ = asked(Tavily, lambda number: (200, answer, {}))
    assert isinstance(error, SearchError) and said in str(error)


def test_who_does_not_answer_is_named() -> None:
    async def go() -> str:
        service = Brave(KEY, url="http://127.0.0.1:1", seconds=0.5)
        try:
            await service.search("x", count=1)
        except SearchError as error:
            return str(error)
        finally:
            await service.close()
        return ""

    assert "Brave at http://127.0.0.1:1 cannot be reached" in asyncio.run(go())


@pytest.mark.parametrize("kind", RECORDED)
def test_a_key_is_not_printed(kind: type[Service]) -> None:
    service = kind(KEY, url="http://x.example")
    assert KEY not in repr(service) + str(service)
