"""A run in a process of its own, so that it can be killed. Arguments: folder, "sync" or "async"."""

import asyncio
import sys
from pathlib import Path

import torch
from tests.rl.loop_worlds import make_run

from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.sync_loop import sync_loop


def main(path: Path, kind: str) -> None:
    torch.set_num_threads(1)
    with TrajectoryStore(path / "trajectories") as store:
        run = make_run(path, steps=24, store=store, announce=lambda line: print(line, flush=True))
        run.resume()
        asyncio.run(sync_loop(run) if kind == "sync" else async_loop(run))
    print("over", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
