"""A run in a process of its own, so that it can be killed. Arguments: folder, "sync", "async" or "engine"."""

import asyncio
import random
import sys
from pathlib import Path

import torch
from tests.rl.loop_worlds import make_run, place
from tests.train.small_system import system

from manyeyes.core.sampler import Completion, OnToken, SampleRequest
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.domains import Domain, Domains
from manyeyes.rl.loop import RlLoop
from manyeyes.rl.sync_loop import sync_loop

STEPS = 24
ENGINE = EngineConfig(cache_tokens=1024, max_rows=8, step_tokens=64, invariant=True)
CHANCE = random.SystemRandom()


class Untimely(AsyncEngine):
    """Requests come when they like, so that each run has other batches."""

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        await asyncio.sleep(CHANCE.uniform(0.0, 0.01))
        return await super().sample(request, on_token=on_token)


def main(path: Path, kind: str) -> None:
    torch.set_num_threads(1)
    with TrajectoryStore(path / "trajectories") as store:
        run = make_run(
            path, steps=STEPS, store=store, announce=lambda line: print(line, flush=True),
            domains=long_and_short() if kind == "engine" else None,
        )  # fmt: skip
        run.resume()
        asyncio.run({"sync": sync_loop, "async": async_loop, "engine": with_engine}[kind](run))
    print("over", flush=True)


def long_and_short() -> Domains:
    """Answers of one token and of several."""
    return Domains([Domain("reasoning", (place("long", tokens=24), place("short", tokens=2)))], seed=5)


async def with_engine(run: RlLoop) -> bool:
    """The synchronous loop; the embedded engine samples."""
    async with Untimely(system().main, config=ENGINE) as engine:
        run.sampler = engine
        run.models = {"live": engine}
        return await sync_loop(run)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
