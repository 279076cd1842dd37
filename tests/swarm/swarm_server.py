"""Serves the scripted swarm as an OpenAI-compatible endpoint until standard input ends; prints its URL."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from swarm_script import policy  # pyright: ignore

from manyeyes.agent.fakes import FakeEndpoint


async def serve() -> None:
    """Serve."""
    async with FakeEndpoint(policy, seconds=0.01) as endpoint:
        print(endpoint.url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
