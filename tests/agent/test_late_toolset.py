"""Toolsets that know their tools late, alone, together and under other names."""

import asyncio
import json
from typing import Any

import pytest

from manyeyes.agent.environment import Environment
from manyeyes.agent.late_toolset import LateToolset
from manyeyes.agent.prompting.distractors import Distractors
from manyeyes.agent.prompting.tool_naming import ToolNaming
from manyeyes.agent.registry import Found, Registry
from manyeyes.agent.shipped_toolsets import code
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Functions, Together
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ToolCall, assistant


async def add_up(numbers: list[int]) -> str:
    """Add numbers.

    Args:
        numbers: to be added.
    """
    return str(sum(numbers))


async def tick() -> str:
    """Tick."""
    return "tock"


class Late:
    """Knows its tools once it is open."""

    def __init__(self, log: list[str], *, fails: bool = False) -> None:
        self.log, self.fails, self.inner = log, fails, Functions([])

    tools = property(lambda self: self.inner.tools)
    repeatable = property(lambda self: self.inner.repeatable)

    async def open(self) -> None:
        self.log.append("open")
        if self.fails:
            raise RuntimeError("nothing to lend")
        self.inner = Functions([add_up])

    async def close(self) -> None:
        self.log.append("close")

    async def call(self, call: ToolCall) -> Any:
        return await self.inner.call(call)


class Caller:
    agent, noted = "main", ()

    async def call(self, toolset: Any, call: ToolCall, *, position: int) -> Any:
        return await toolset.call(call)


async def used(environment: Environment, name: str, **arguments: Any) -> tuple[list[str], str]:
    async with environment.open(Caller()) as session:  # pyright: ignore[reportArgumentType]
        step = await session.step(assistant(calls=(ToolCall("c", name, json.dumps(arguments)),)))
        return [tool.name for tool in session.tools], step.observations[0].text


def test_late_tools_are_renamed_and_have_company() -> None:
    log: list[str] = []
    modules = (Distractors(), ToolNaming())
    choices = {
        "distractors": {"tools": ["weekday"], "first": True},
        "tool_naming": {"style": "camel", "synonyms": 0, "descriptions": "plain"},
    }
    here, _ = Environment(lambda ctx: Late(log), modules=modules).varied(Task("t", "?"), choices)
    assert asyncio.run(used(here, "addUp", numbers=[1, 2])) == (["weekday", "addUp"], "3") and log == ["open", "close"]


def test_late_tools_are_composed_by_name() -> None:
    log: list[str] = []
    kinds: Any = {"toolsets": {"late": lambda ctx: Late(log), "clock": lambda ctx: Functions([tick])}}
    whole = Registry(kinds, installed=Found(())).composed(toolsets=["late", "clock"])
    assert asyncio.run(used(whole, "add_up", numbers=[4])) == (["add_up", "tick"], "4") and log == ["open", "close"]


def test_all_are_closed_when_one_does_not_open() -> None:
    log: list[str] = []
    whole = Environment(lambda ctx: LateToolset(Late(log), Late(log, fails=True), build=Together))
    with pytest.raises(RuntimeError, match="nothing to lend"):
        asyncio.run(used(whole, "add_up"))
    assert log == ["open", "open", "close", "close"]


def test_code_is_borrowed_from_a_pool() -> None:
    with pytest.raises(ConfigError, match="pool"):
        code(Caller())  # pyright: ignore[reportArgumentType]
    log: list[str] = []

    class Room:
        def tools(self, ctx: Any) -> Late:
            return Late(log)

    class Loan:
        async def __aenter__(self) -> Room:
            log.append("borrow")
            return Room()

        async def __aexit__(self, *_: object) -> None:
            log.append("give back")

    class Lender(Caller):
        def lease(self, kind: str) -> Loan:
            assert kind == "code"
            return Loan()

    async def borrowed() -> list[str]:
        toolset = code(Lender())  # pyright: ignore[reportArgumentType]
        await toolset.open()
        await toolset.close()
        return log

    assert asyncio.run(borrowed()) == ["borrow", "open", "close", "give back"]
