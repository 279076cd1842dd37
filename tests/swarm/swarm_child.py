"""Runs or resumes the scripted swarm in a folder, and kills itself after N of its events: swarm_child.py FOLDER N."""

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from swarm_script import policy  # pyright: ignore

from manyeyes.agent.fakes import Scripted
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Functions
from manyeyes.core.journal import Journal, read
from manyeyes.swarm.orchestrator import SwarmConfig


async def look_up(key: str) -> str:
    """Look something up."""
    await asyncio.sleep(0.001)
    return f"value of {key}"


async def main(folder: Path, last: int) -> None:
    past = read(folder).events if (folder / "events.jsonl").exists() else []
    with Journal(folder) as journal:
        first = journal.count

        def maybe_die(event) -> None:
            if event.seq == first + last:
                os.kill(os.getpid(), signal.SIGKILL)

        journal.listen(maybe_die)
        run = AgentRun(journal, Scripted(policy, seconds=0.001), past=past)
        config = SwarmConfig(lambda ctx: Functions([look_up]))
        outcome = await run.start(Task("t", "6 4"), config.orchestrator())
        print(outcome.text)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else -1))
