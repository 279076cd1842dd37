"""Seats at the run's browser: the next owner finds neither cookies nor pages of the last one."""

from math import inf

from aiohttp import web

from manyeyes.agent.rollouts.leased_toolset import LeasedToolset
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.pool_browser import browser_seats
from manyeyes.agent.tools.browser_pool import BrowserPool
from manyeyes.core.messages import ToolCall

from ..tools.browser_site import Agent, Site, browser, with_site


class Context:
    agent, noted = "main", ()


class Nothing:
    async def search(self, query: str, *, top: int) -> list[object]:
        return []


async def remembering(request: web.Request) -> web.StreamResponse:
    seen = request.cookies.get("seen", "nobody")
    response = web.Response(text=f"<h1>before you: {seen}</h1>", content_type="text/html")
    response.set_cookie("seen", "somebody")
    return response


def test_the_next_owner_is_a_stranger() -> None:
    async def go(site: Site, own: BrowserPool, agent: Agent) -> None:
        async def visits(pool: EnvironmentPool, owner: str) -> list[str]:
            lease = pool.lease("browser", owner=owner, seconds=inf)
            tools = LeasedToolset(lease, lambda seat: seat.tools(Nothing(), agent.reader, Context()))
            await tools.open()
            found = [await tools.call(ToolCall.of("open", {"url": site.url + path}, index=0)) for path in ("/a", "/b")]
            await tools.close()
            return [result.text.partition("before you: ")[2].split()[0] for result in found]

        async with EnvironmentPool({"browser": browser_seats(own, most=1)}) as pool:
            assert await visits(pool, "a") == ["nobody", "somebody"]
            assert await visits(pool, "b") == ["nobody", "somebody"]
            assert pool.stats()["browser"]["created"] == 1
        stats = pool.stats()["browser"]
        assert stats["created"] == stats["closed"] and not stats["stuck"]

    with_site(Site({}, remembering), browser(), go)
