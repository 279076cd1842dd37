"""What does a swarm cost beside its model calls? N sub-agents of M steps against a mock endpoint of fixed latency.

    python benchmarks/swarm_overhead.py [--agents 100 1000] [--steps 5] [--latency 0.2] [--repeats 5]

The endpoint runs in a process of its own, on another core where there is one. The bound on wall time is that of the
critical path: one call of the orchestrator to create, one to assign, M + 1 of each sub-agent at once, one to merge.
CPU is that of the client's process, divided by the calls; streaming and journal are on. Prints a table, writes
benchmarks/results/swarm_overhead.json. Peers (same endpoint, same script, an environment each) are not here yet.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from manyeyes.agent.fakes import FakeEndpoint
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Functions
from manyeyes.core.journal import Journal
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.swarm.orchestrator import Preset, SwarmConfig

RESULT = Path(__file__).parent / "results" / "swarm_overhead.json"


def policy(messages: Sequence[Message]) -> Message:
    """The task "N M" to the orchestrator starts N sub-agents of M look-ups each."""
    turn = sum(message.role == "assistant" for message in messages)
    task = next(message.text for message in messages if message.role == "user")
    if "Kimi" not in messages[0].text:
        steps = int(task.split()[-1])
        return assistant("", calls=(_call("look_up", turn, key=str(turn)),)) if turn < steps else assistant("found it")
    agents, steps = task.split()
    if turn == 0:
        return assistant("", calls=(_call("create_subagent", 0, name="finder", system_prompt="You look things up."),))
    if turn == 1:
        calls = (_call("assign_task", i, agent="finder", prompt=f"topic {i} {steps}") for i in range(int(agents)))
        return assistant("", calls=tuple(calls))
    return assistant("merged")


def _call(tool: str, number: int, **arguments: str) -> ToolCall:
    return ToolCall(f"{tool}-{number}", tool, json.dumps(arguments))


async def serve(latency: float) -> None:
    """Serve until standard input ends; the URL goes to standard output."""
    async with FakeEndpoint(policy, seconds=latency) as endpoint:
        print(endpoint.url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def look_up(key: str) -> str:
    """Look something up."""
    return f"value of {key}"


async def run_swarm(url: str, agents: int, steps: int) -> dict[str, Any]:
    """One run: seconds, CPU and memory."""
    config = SwarmConfig(lambda ctx: Functions([look_up]), preset=Preset(10**6, 10**6), most_agents=10**6)
    before = resource.getrusage(resource.RUSAGE_SELF)
    with tempfile.TemporaryDirectory() as folder, Journal(folder) as journal:
        async with OpenAIChat(Endpoint(url, "mock"), limiter=Limiter(agents + 1)) as model:
            began = time.perf_counter()
            outcome = await AgentRun(journal, model).start(Task("t", f"{agents} {steps}"), config.orchestrator())
            wall = time.perf_counter() - began
        events = journal.count
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert outcome.text == "merged", outcome
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "kib": after.ru_maxrss - before.ru_maxrss, "events": events}


def measure(agents: int, steps: int, latency: float, repeats: int) -> dict[str, Any]:
    """Medians of several runs after one that is not counted."""
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(latency)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        runs = [uvloop.run(run_swarm(url, agents, steps)) for _ in range(repeats + 1)]
    finally:
        server.kill()
    calls, bound = 3 + agents * (steps + 1), (3 + steps + 1) * latency
    wall, cpu = (statistics.median(run[name] for run in runs[1:]) for name in ("wall", "cpu"))
    return {
        "agents": agents, "steps": steps, "latency": latency, "calls": calls, "bound_seconds": round(bound, 3),
        "wall_seconds": round(wall, 3), "wall_over_bound": round(wall / bound, 3),
        "cpu_ms_per_call": round(1e3 * cpu / calls, 3), "kib_per_agent_first_run": round(runs[0]["kib"] / agents, 1),
        "events": runs[-1]["events"],
    }  # fmt: skip


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve is not None:
        uvloop.run(serve(asked.serve))
        return
    results = [measure(agents, asked.steps, asked.latency, asked.repeats) for agents in asked.agents]
    for row in results:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    load = round(os.getloadavg()[0], 1)
    RESULT.write_text(json.dumps({"repeats": asked.repeats, "load_average": load, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
