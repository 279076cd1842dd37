"""An environment of MCP servers, shared by all attempts or of their own."""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.adapters.mcp import mcp_environment
from manyeyes.agent.judge import Rewards
from manyeyes.agent.tools.mcp_config import McpServer
from manyeyes.core.messages import ToolCall, assistant

SERVER = '''
from mcp.server.fastmcp import FastMCP
server = FastMCP("counter", log_level="ERROR")
count = 0
@server.tool()
def increase(by: int = 1) -> str:
    """Increase the count."""
    global count
    count += by
    return str(count)
server.run()
'''


@pytest.mark.skipif(
    importlib.util.find_spec("mcp") is None and os.environ.get("CI") != "true",
    reason="the package mcp is not installed",
)
@pytest.mark.parametrize(("own", "counts"), [(False, ["1", "3"]), (True, ["1", "2"])])
def test_attempts_share_servers_or_have_their_own(own: bool, counts: list[str], tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    server = McpServer(name="counter", command=sys.executable, args=(str(tmp_path / "server.py"),))
    judge = Rewards(any=lambda case: 1.0)

    async def counted() -> list[str]:
        async with mcp_environment([server], own=own, system="Count.", judge=judge) as environment:
            assert environment.name == "mcp" and environment.judge is judge
            return [await increased(environment, by) for by in (1, 2)]

    assert asyncio.run(counted()) == counts


async def increased(environment: Any, by: int) -> str:
    async with environment.open(Caller()) as session:
        assert [tool.name for tool in session.tools] == ["increase"]
        step = await session.step(assistant(calls=(ToolCall.of("increase", {"by": by}, index=0),)))
        return step.observations[0].text


class Caller:
    agent, noted = "main", ()

    async def call(self, toolset: Any, call: ToolCall, *, position: int) -> Any:
        return await toolset.call(call)
