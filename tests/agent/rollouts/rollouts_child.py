"""A process that runs groups into a store and tells which attempts it began and which groups it got; to be killed.

python rollouts_child.py FOLDER GROUPS SIZE
"""

import asyncio
import random
import sys
from pathlib import Path

import numpy as np

from manyeyes.agent.judge import Verdict
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.token_environment import TokenObservation, TokenStep
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.sampler import Completion, SamplingParams
from manyeyes.core.trajectory_store import TrajectoryStore


class Begun:
    """Two turns; the first thing that an attempt does is to be written down."""

    name = "begun"
    params = SamplingParams(max_new_tokens=4, temperature=1.0)

    def __init__(self, folder: Path) -> None:
        self.file = (folder / "begun").open("ab", buffering=0)

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        self.file.write(f"{ctx.attempt.name}\n".encode())
        ctx.state = 0
        return TokenObservation(np.array([1, 2], np.int32))

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        ctx.state += 1
        await asyncio.sleep(random.expovariate(300.0))
        return TokenStep(TokenObservation(np.array([3], np.int32)) if ctx.state < 2 else None)

    async def judge(self, outcome: Outcome, ctx: RolloutCtx) -> Verdict:
        return Verdict(float(ctx.attempt.number), {})


async def main(folder: Path, groups: int, size: int) -> None:
    environment = Begun(folder)
    with TrajectoryStore(folder / "trajectories") as store, (folder / "groups").open("ab", buffering=0) as got:
        config = RolloutConfig(most_running=8)
        sampler = FakeSampler(vocab_size=50)
        async with RolloutManager({"live": sampler}, config=config, store=store, folder=folder) as manager:
            for number in range(groups):
                manager.submit(GroupRequest(str(number), Task("task", ""), environment, size, seed=5))
            async for group in manager.results():
                assert group.complete, group.failures
                got.write(f"{group.request.id} {[one.name for one in group.trajectories]}\n".encode())
        print("over", manager.stats.resumed)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
