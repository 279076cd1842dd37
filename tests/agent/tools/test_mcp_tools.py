"""MCP tools against a real server of the official SDK, over pipes and over HTTP, with everything it can do wrong."""

import asyncio
import importlib.util
import json
import os
import socket
import sys
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.tools.mcp_config import McpServer, read_servers
from manyeyes.agent.tools.mcp_server import McpConnection, _Life
from manyeyes.agent.tools.mcp_tools import MOST_TEXT, McpServers, McpTools, beside
from manyeyes.agent.toolset import Functions, ToolResult
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ImagePart, ToolCall

CHILD = str(Path(__file__).parent / "mcp_child.py")
needs_mcp = pytest.mark.skipif(
    importlib.util.find_spec("mcp") is None and os.environ.get("CI") != "true",
    reason="the package mcp is not installed",
)


def stdio(name: str = "small", mode: str = "stdio", **more: Any) -> McpServer:
    return McpServer(name=name, command=sys.executable, args=(CHILD, mode), **more)


class Tools:
    """Called as a model calls them."""

    def __init__(self, servers: McpServers, taken: tuple[str, ...] = ()) -> None:
        self.servers, self.toolset = servers, McpTools(servers, taken)

    async def __call__(self, name: str, **arguments: Any) -> ToolResult:
        return await self.toolset.call(ToolCall.of(name, arguments, index=0))


def run(go: Callable[[Tools], Awaitable[None]], *servers: McpServer, taken: tuple[str, ...] = ()) -> None:
    async def all_of_it() -> None:
        open_ones = McpServers(servers)
        await open_ones.open()
        try:
            async with asyncio.timeout(60):
                await go(Tools(open_ones, taken))
        finally:
            await open_ones.close()

    asyncio.run(all_of_it())


async def uses(tools: Tools) -> None:
    declared = {tool.name: tool for tool in tools.toolset.tools}
    assert declared["add"].description == "Add two numbers." and declared["add"].parameters["required"] == ["a"]
    assert declared["place"].parameters["$defs"]["Place"]["properties"]["height"]["type"] == "number"
    assert tools.toolset.repeatable == {"add"} and "odd_name_x" in declared
    assert (await tools("add", a=40)).text == "42" and (await tools("odd_name_x")).text == "odd"
    assert (await tools("place", at={"name": "K2", "height": 8611}, tags=["a", "b"])).text == "K2 8611 a,b"
    part = (await tools("picture")).parts[0]
    assert isinstance(part, ImagePart) and (part.image.width, part.image.height) == (20, 10)
    cut = await tools("long", characters=MOST_TEXT + 5)
    assert len(cut.parts[0].text) == MOST_TEXT and "(left out: 5 characters)" in cut.text  # pyright: ignore
    wrong = await tools("wrong")
    assert wrong.failure == "refused" and wrong.text.startswith("Error: ") and "never works" in wrong.text
    assert (await tools("add", a="many")).failure == "refused"
    assert (await tools("nothing")).failure == "unknown_tool"
    assert (await tools.toolset.call(ToolCall("1", "add", "[1"))).failure == "bad_arguments"
    assert [one.text for one in await asyncio.gather(*(tools("add", a=n) for n in range(20)))] == [
        str(n + 2) for n in range(20)
    ]


@needs_mcp
def test_a_server_over_pipes() -> None:
    run(uses, stdio())


@needs_mcp
def test_a_server_over_http() -> None:
    async def go() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        child = await asyncio.create_subprocess_exec(sys.executable, CHILD, "http", str(port))
        try:
            servers = McpServers([McpServer(name="web", url=f"http://127.0.0.1:{port}/mcp", headers={"X-Key": "k"})])
            async with asyncio.timeout(60):
                while True:
                    try:
                        await servers.open()
                        break
                    except ConfigError:
                        servers = McpServers([one.server for one in servers.connections.values()])
                        await asyncio.sleep(0.1)
                await uses(Tools(servers))
                child.kill()
                await child.wait()
                assert (await Tools(servers)("add", a=1)).failure == "crash"
            await servers.close()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()

    asyncio.run(go())


@needs_mcp
def test_a_server_that_died_is_started_again_and_its_neighbours_never_notice() -> None:
    async def go(tools: Tools) -> None:
        connection = tools.servers.connections["small"]
        during = asyncio.create_task(tools("slow"))
        await asyncio.sleep(0)
        died = await tools("die")
        assert died.failure == "crash" and "died during the call" in died.text
        assert (await during).failure == "crash"
        assert (await tools("add", a=1)).text == "3" and connection.starts == 2
        assert (await tools("other_add", a=1)).text == "3" and tools.servers.connections["other"].starts == 1
        for _ in range(5):
            last = await tools("die")
        assert "left alone" in last.text and connection.starts == 5
        assert (await tools("other_add", a=1)).text == "3"

    run(go, stdio(), stdio("other"))


@needs_mcp
def test_a_slow_tool_is_left_and_the_server_goes_on() -> None:
    async def go(tools: Tools) -> None:
        slow = await tools("slow")
        assert slow.failure == "timeout" and "within 2 s" in slow.text
        assert (await tools("add", a=1)).text == "3" and tools.servers.connections["small"].starts == 1
        call = asyncio.create_task(tools("slow"))
        await asyncio.sleep(0.05)
        call.cancel()
        assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
        assert (await tools("add", a=1)).text == "3"

    run(go, stdio(seconds=2.0))


@needs_mcp
def test_a_server_sees_its_own_environment_and_no_key_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYEYES_API_KEY", "sk-hidden")

    async def go(tools: Tools) -> None:
        seen = (await tools("surroundings")).text
        assert "MINE=yes" in seen and "PATH=" in seen and "sk-hidden" not in seen and "PYTEST" not in seen

    run(go, stdio(env={"MINE": "yes"}))


@needs_mcp
def test_names_that_clash_get_their_servers_name() -> None:
    async def go(tools: Tools) -> None:
        names = [tool.name for tool in tools.toolset.tools]
        assert len(set(names)) == len(names) and {"add", "b_add", "small_search", "b_search"} <= set(names)
        assert "search" not in names and (await tools("b_search", query="x")).text == "found x"

        async def add(a: int) -> str:
            """Ours."""
            return f"ours {a}"

        together = beside(tools.servers, Functions([add]), taken=("place",))
        assert "small_place" in {tool.name for tool in together.tools}
        assert (await together.call(ToolCall.of("add", {"a": 1}, index=0))).text == "ours 1"
        assert (await together.call(ToolCall.of("small_add", {"a": 1}, index=0))).text == "3"

    run(go, stdio(), stdio("b"), taken=("search", "open"))


@needs_mcp
def test_a_server_that_does_not_start_is_told_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go(*servers_of_it: McpServer) -> str:
        servers = McpServers(servers_of_it)
        with pytest.raises(ConfigError) as told:
            await servers.open()
        return str(told.value)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        broken = asyncio.run(go(stdio("good"), stdio("bad", "broken", env={"API_KEY": "its-secret-value"})))
        assert "bad" in broken and "no luck with [hidden]" in broken
        assert "cannot be used" in asyncio.run(go(McpServer(name="bad", command="/nowhere/server")))
        monkeypatch.setattr("manyeyes.agent.tools.mcp_server.START_SECONDS", 0.3)
        assert "did not answer" in asyncio.run(go(stdio("bad", "silent")))


def test_secrets_are_known_wherever_they_stand() -> None:
    content = {"mcpServers": {
        "a": {"command": "x", "args": ["--api-key=inline-secret", "--token", "${A_TOKEN}", "--root", "${HOME}"]},
        "b": {"url": "https://me:pass-of-mine@b.example/mcp?apikey=a%2Bb-in-address&page=something"},
        "c": {"command": "x", "env": {"GITHUB_PAT": "of-github", "PATH": "/usr/bin"}, "args": ["-c", "${A_TOKEN}"]},
    }}  # fmt: skip
    known = [one.secrets for one in read_servers(json.dumps(content), {"A_TOKEN": "from-outside", "HOME": "/home/me"})]
    assert [set(one) for one in known] == [
        {"inline-secret", "from-outside"}, {"pass-of-mine", "a%2Bb-in-address", "a+b-in-address"},
        {"of-github", "from-outside"},
    ]  # fmt: skip


@needs_mcp
def test_no_part_of_a_secret_is_left_where_a_message_is_cut() -> None:
    secret = "hush" * 60
    connection = McpConnection(McpServer(name="x", url=f"http://x.example/?key={secret}"))

    async def told() -> str:
        life = _Life()
        life.errors.write(f"{'-' * 20_000} {secret} {'.' * 200}")
        life.errors.flush()
        return connection._reason(life, ValueError(f"{'no ' * 50}{secret}"))

    assert "hush" not in asyncio.run(told())


def test_files_that_people_have_are_read() -> None:
    content = {"theme": "dark", "mcpServers": {
        "files": {"command": "npx", "args": ["-y", "${WHAT}"], "env": {"TOKEN": "${TOKEN}"}, "autoApprove": ["x"]},
        "wiki": {"url": "${URL:-http://a.example/mcp}", "headers": {"Authorization": "Bearer ${TOKEN}"}, "type": "h"},
        "off": {"command": "x", "disabled": True},
    }}  # fmt: skip
    files, wiki = read_servers(json.dumps(content), {"TOKEN": "abcdefgh1234", "WHAT": "files"})
    kept = {"TOKEN": "abcdefgh1234"}
    assert files == McpServer(name="files", command="npx", args=("-y", "files"), env=kept, hidden=("abcdefgh1234",))
    assert wiki.url == "http://a.example/mcp" and wiki.headers == {"Authorization": "Bearer abcdefgh1234"}
    assert files.secrets == ("abcdefgh1234",) and "abcdefgh1234" in wiki.secrets and "Bearer" not in wiki.secrets
    for wrong, said in (
        (content, "TOKEN"), ({"mcpServers": {"a": {}}}, "command or a url"), ({}, "mcpServers"), ([], "mcpServers"),
        ({"mcpServers": {"a": {"command": "x", "url": "y"}}}, "command or a url"),
        ({"mcpServers": {"a": {"command": 3}}}, "mcpServers"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            read_servers(json.dumps(wrong), {"WHAT": ""})
    with pytest.raises(ConfigError, match="different names"):
        McpServers([files, files])
