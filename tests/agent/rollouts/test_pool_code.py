"""Rooms for code in a real sandbox: what one owner leaves, the next one does not find."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.rollouts.leased_toolset import LeasedToolset
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.pool_code import code_rooms
from manyeyes.agent.sandbox import Sandbox
from manyeyes.agent.sandbox_probe import Probe, open_sandbox
from manyeyes.agent.tools.ipython_pool import KernelPool
from manyeyes.agent.workspace import Workspace
from manyeyes.core.messages import ToolCall


class Context:
    agent = "main"

    def __init__(self) -> None:
        self.noted: list[dict[str, Any]] = []


def tools(pool: EnvironmentPool, owner: str) -> LeasedToolset:
    lease = pool.lease("code", owner=owner, seconds=120.0)
    return LeasedToolset(lease, lambda room: room.tools(Context()))


async def said(toolset: LeasedToolset, name: str, **arguments: str) -> str:
    return (await toolset.call(ToolCall.of(name, arguments, index=0))).text.strip()


def fill(workspace: Workspace) -> None:
    (workspace.inputs / "given.txt").write_text("given\n")


def with_rooms(probed: Probe, folder: Path, work, *, kernels: bool, **options: Any) -> None:
    async def go() -> None:
        sandbox = await open_sandbox(probed=probed)
        python = KernelPool(sandbox, most=4) if kernels else None
        try:
            rooms = code_rooms(sandbox, folder, kernels=python, fill=fill, **options)
            async with EnvironmentPool({"code": rooms}) as pool:
                await work(pool, sandbox)
            stats = pool.stats()["code"]
            assert stats["created"] == stats["closed"] and not stats["stuck"], stats
            assert python is None or python.alive == 0
            assert not list(folder.iterdir())
        finally:
            if python is not None:
                await python.close()
            await sandbox.close()

    asyncio.run(go())


def test_the_next_owner_finds_what_was_given_and_nothing_else(probed: Probe, tmp_path: Path) -> None:
    async def work(pool: EnvironmentPool, sandbox: Sandbox) -> None:
        first = tools(pool, "a")
        await first.open()
        assert await said(first, "shell", command="cat /inputs/given.txt; echo x > left; export KEPT=1; pwd") == (
            "given\n/workspace"
        )
        assert await said(first, "shell", command="cat left; echo $KEPT; echo y > /artefacts/made") == "x\n1"
        await first.close()
        second = tools(pool, "b")
        await second.open()
        assert (
            await said(second, "shell", command="ls; ls /artefacts; echo [$KEPT]; cat /inputs/given.txt") == "[]\ngiven"
        )
        await second.close()
        assert pool.stats()["code"]["created"] == 1

    with_rooms(probed, tmp_path, work, kernels=False, most=1)


def test_a_kernel_is_warm_and_new_for_every_owner_and_a_dead_one_is_replaced(probed: Probe, tmp_path: Path) -> None:
    if os.environ.get("CI") != "true":
        pytest.importorskip("ipykernel", reason="needs the extra `code`")

    async def work(pool: EnvironmentPool, sandbox: Sandbox) -> None:
        for owner in "ab":
            room = tools(pool, owner)
            await room.open()
            assert await said(room, "ipython", code="'seen' in globals()") == "False"
            await said(room, "ipython", code="seen = 1; open('left', 'w').write('x')")
            assert await said(room, "shell", command="cat left") == "x"
            await room.close()
        dying = tools(pool, "c")
        await dying.open()
        assert "the kernel died" in await said(dying, "ipython", code="import os; os._exit(3)")
        assert await said(dying, "ipython", code="1") == "1"
        await dying.close()

    with_rooms(probed, tmp_path, work, kernels=True, most=1)
