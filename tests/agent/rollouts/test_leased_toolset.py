"""Tools over a borrowed resource."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import pytest

from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.rollouts.leased_toolset import LeasedToolset
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.pool_kind import PoolKind, PoolTimeout
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Functions
from manyeyes.core.journal import Journal
from manyeyes.core.messages import ToolCall, assistant

from ..virtual_time import run_virtually


class Book:
    """A resource: what is written in it must be gone for the next owner."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def open(self) -> None: ...

    async def reset(self) -> None:
        self.lines.clear()

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None: ...

    def tools(self) -> Functions:
        async def write(line: str) -> list[str]:
            """Write a line, and read all of them."""
            self.lines.append(line)
            return self.lines

        return Functions([write])


def toolset(pool: EnvironmentPool, **options: Any) -> LeasedToolset:
    wanted: dict[str, Any] = {"owner": "a", "seconds": inf} | options
    return LeasedToolset(pool.lease("book", **wanted), Book.tools, declared=Book().tools().tools)


def write(line: str) -> ToolCall:
    return ToolCall.of("write", {"line": line}, index=0)


def books(**options: Any) -> EnvironmentPool:
    return EnvironmentPool({"book": PoolKind(Book, **options)})


def test_it_borrows_when_opened_and_gives_back_when_closed() -> None:
    async def do() -> None:
        async with books(most=1) as pool:
            first = toolset(pool)
            assert [tool.name for tool in first.tools] == ["write"]
            assert (await first.call(write("early"))).failure == "refused"
            await first.open()
            assert (await first.call(write("one"))).text == '["one"]'
            assert pool.stats()["book"]["leased"] == 1
            await first.close()
            await first.close()
            second = toolset(pool)
            await second.open()
            assert (await second.call(write("two"))).text == '["two"]'
            late = await first.call(write("three"))
            assert late.failure == "refused" and "not open" in late.text
            await second.close()
            assert pool.stats()["book"]["created"] == 1

    run_virtually(do())


def test_what_gives_a_resource_and_no_lease_serves_as_well() -> None:
    @asynccontextmanager
    async def loan(pool: EnvironmentPool) -> AsyncIterator[Book]:
        async with pool.lease("book", owner="a", seconds=inf) as lease:
            yield lease.resource

    async def do() -> None:
        async with books() as pool:
            tools = LeasedToolset(loan(pool), Book.tools)
            await tools.open()
            assert (await tools.call(write("one"))).text == '["one"]'
            await tools.close()
            await tools.close()
            assert (await tools.call(write("two"))).failure == "refused" and pool.stats()["book"]["leased"] == 0

    run_virtually(do())


def test_a_loan_that_ends_under_an_agent_is_told_to_it() -> None:
    async def do() -> None:
        async with books() as pool:
            tools = toolset(pool, seconds=5.0)
            await tools.open()
            await asyncio.sleep(6.0)
            assert "the 5 s of this loan were over" in (await tools.call(write("late"))).text
            await tools.close()

    run_virtually(do())


def test_where_nothing_can_be_borrowed_opening_fails_and_closing_does_no_harm() -> None:
    async def do() -> None:
        async with books(most=1) as pool:
            first, second = toolset(pool), toolset(pool, wait=2.0)
            await first.open()
            with pytest.raises(PoolTimeout):
                await second.open()
            await second.close()
            await first.close()
            assert pool.stats()["book"]["leased"] == pool.stats()["book"]["waiting"] == 0

    run_virtually(do())


def test_an_agent_lives_with_it(tmp_path) -> None:
    async def do() -> tuple[str, int]:
        async with books() as pool:
            environment = Environment(lambda ctx: toolset(pool, owner=ctx.agent))
            model = Scripted([assistant(calls=(write("one"),)), assistant("written")])
            with Journal(tmp_path) as journal:
                outcome = await AgentRun(journal, model).start(Task("t", "Write."), environment)
            return outcome.text, pool.stats()["book"]["leased"]

    assert run_virtually(do())[0] == ("written", 0)
