"""Rollouts whose agents use a real shell and a real Python kernel; as a process, so that it can be killed.

python sandboxed_child.py FOLDER COUNT AT_ONCE      prints a line for each group, then `stats` as JSON
"""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Case, Verdict
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.leased_toolset import LeasedToolset
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.pool_code import code_rooms
from manyeyes.agent.sandbox_probe import open_sandbox
from manyeyes.agent.task import Task
from manyeyes.agent.tools.ipython_pool import KernelPool
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.core.trajectory_store import TrajectoryStore


def policy(messages: Sequence[Message]) -> Message:
    """Writes the task's number with the shell, doubles it in Python, adds one with the shell, and tells it."""
    number = next(message.text for message in messages if message.role == "user")
    turn = sum(message.role == "assistant" for message in messages)
    if turn == 3:
        return assistant(messages[-1].text.strip())
    name, argument, code = (
        ("shell", "command", f"ls | wc -l; echo {number} > number"),
        ("ipython", "code", "open('doubled', 'w').write(str(2 * int(open('number').read()))); 'nothing'"),
        ("shell", "command", "expr $(cat doubled) + 1"),
    )[turn]
    return assistant(calls=(ToolCall.of(name, {argument: code}, index=turn),))


def tools_of(ctx: Any) -> LeasedToolset:
    """A room's tools, for as long as the agent lives."""
    return LeasedToolset(ctx.lease("code"), lambda room: room.tools(ctx))


async def judge(case: Case) -> Verdict:
    """Right, and nothing of another agent was in its folder."""
    tools = [] if case.trajectory is None else [event for event in case.trajectory.events if event.kind == "tool"]
    alone = bool(tools) and tools[0].data["result"]["parts"][0].strip() == "0"
    return Verdict(float(case.outcome.text == str(2 * int(case.task.prompt) + 1)), {"alone": float(alone)})


async def rollouts(folder: Path, count: int, at_once: int, tell: Callable[[Group], None]) -> dict[str, Any]:
    """All of them; what the pool and the manager counted, and what is left of the rooms."""
    rooms = folder / "rooms"
    rooms.mkdir(parents=True, exist_ok=True)
    sandbox = await open_sandbox()
    kernels = KernelPool(sandbox, most=at_once + 2)
    environment = Environment(tools_of, judge=judge)
    kinds = {"code": code_rooms(sandbox, rooms, kernels=kernels, most=at_once, warm=1)}
    config = RolloutConfig(most_running=2 * at_once, pool_seconds=1200.0, tool_seconds=300.0)
    try:
        with TrajectoryStore(folder / "trajectories") as store:
            async with EnvironmentPool(kinds) as pool:
                manager = RolloutManager({"live": Scripted(policy)}, config=config, pool=pool, store=store)
                async with manager:
                    for number in range(count):
                        task = Task(f"double/{number}", str(number))
                        manager.submit(GroupRequest(str(number), task, environment, size=1))
                    async for group in manager.results():
                        tell(group)
                    snapshot = manager.snapshot()
            pooled = pool.stats()["code"]
    finally:
        await kernels.close()
        await sandbox.close()
    left = {"kernels": kernels.alive, "rooms": len(list(rooms.iterdir())), "sandbox": int(sandbox.folder.exists())}
    return {"pool": pooled, "left": left, "resumed": snapshot.resumed, "finished": snapshot.finished}


def main() -> None:
    """Runs them from the command line."""
    folder, count, at_once = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

    def tell(group: Group) -> None:
        print(json.dumps([group.request.id, group.trajectories[0].reward]), flush=True)

    stats = asyncio.run(rollouts(folder, count, at_once, tell))
    print(json.dumps(stats), flush=True)


if __name__ == "__main__":
    main()
