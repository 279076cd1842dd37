"""verifiers 0.4.0: its lightest harness (`null`), which is a process of its own for each rollout, of one turn each.

Harnesses without tools end with the first answer, so a rollout here has one turn and no tool.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from measured import KEY, Case, Told, measure
from verifiers.v1 import AgentConfig, EvalClientConfig, Task, TaskData, make_agent
from verifiers.v1.runtimes.subprocess import SubprocessConfig

os.environ["MOCK_KEY"] = KEY
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # for uv, which its harness is run by
AT_ONCE = 8
"""Rollouts, each a process of about 70 MB."""


async def rollouts(case: Case) -> Told:
    """One run."""
    client = EvalClientConfig(base_url=f"{case.url}/v1", api_key_var="MOCK_KEY")
    config = AgentConfig.model_validate(
        {"harness": {"id": "null"}, "runtime": SubprocessConfig(), "model": "mock", "client": client}
    )
    agent, places = make_agent(config), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Any:
        async with places:
            return await agent.run(Task(TaskData(idx=number, prompt="Find it.")))

    async with agent:
        found = await asyncio.gather(*(one(number) for number in range(case.tasks)))
    return lambda: told(found)


def told(found: list[Any]) -> dict[str, Any]:
    """What came out."""
    good = [trace for trace in found if not trace.errors and trace.num_turns == 1]
    errors = sorted({str(trace.errors)[:200] for trace in found if trace.errors})
    return {"finished": len(good), "turns": sum(trace.num_turns for trace in found), "errors": errors[:3]}


if __name__ == "__main__":
    measure(rollouts, ["verifiers", "openai"])
