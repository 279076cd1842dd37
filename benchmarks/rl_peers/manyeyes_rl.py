"""manyeyes on the case: `RlLoop` over the embedded engine, MuonClip, Eq. 1.

Options: loop (sync or async), row_length (tokens of a packed row), rows (of a micro-batch), engine (its threads).
"""

import asyncio
import dataclasses
import random
import tempfile
import time
from importlib.metadata import version
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from case import Case, Round, asked, tell, turn, worth

from manyeyes.agent.judge import Verdict
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.token_environment import TokenObservation, TokenStep
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.task_source import Tasks
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.kernels import kernels_for
from manyeyes.model.config import tiny
from manyeyes.model.cross_entropy import chunked_cross_entropy
from manyeyes.model.multimodal import K25, build
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip
from manyeyes.optim.schedule import Schedule
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.domains import Domain, Domains, Place
from manyeyes.rl.group_samples import SampleRules
from manyeyes.rl.loop import RlLoop
from manyeyes.rl.rl_config import RlConfig
from manyeyes.rl.step import StepRules
from manyeyes.rl.sync_loop import sync_loop

GIVEN = 8
"""Tokens that a tool gives."""
SIGMA = 0.6
"""Spread of the logarithm of a tool's seconds."""


class Evens:
    """A completion is worth its share of even ids; with a tool, an answer has several turns and waits between them."""

    name = "evens"

    def __init__(self, case: Case, never: frozenset[int], temperature: float) -> None:
        self.case = case
        self.params = SamplingParams(max_new_tokens=case.answer // case.turns, temperature=temperature, never=never)

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        """See `TokenEnvironment.reset`."""
        ctx.state = []
        return TokenObservation(np.array(self.case.prompt_of(int(task.prompt)), np.int32))

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        """See `TokenEnvironment.step`."""
        ctx.state += completion.ids
        if ctx.turns == self.case.turns:
            return TokenStep(None)
        draw = random.Random(f"{ctx.seed}/{ctx.turns}")
        await asyncio.sleep(draw.lognormvariate(log(self.case.delay), SIGMA) if self.case.delay else 0.0)
        return TokenStep(TokenObservation(np.arange(GIVEN, dtype=np.int32)))

    async def judge(self, outcome: Outcome, ctx: RolloutCtx) -> Verdict | None:
        """See `TokenEnvironment.judge`."""
        share = worth(ctx.state)
        return Verdict(share, {"even": share})


class Clock:
    """When the last step ended: a round's checkpoint, written behind it, is not in."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def hear(self, line: str) -> None:
        """A line for people: a step has ended."""
        self.wall, self.cpu = time.perf_counter(), time.process_time()


def run_of(case: Case, engine: AsyncEngine, model: K25, folder: Path, clock: Clock) -> RlLoop:
    """The loop with everything that it needs."""
    tokens = model.config
    never = frozenset({tokens.media_placeholder_token_id})
    tasks = Tasks(lambda number: Task(f"prompt/{number}", str(number)), size=4096, seed=case.seed, epochs=None)
    place = Place("evens", tasks, lambda temperature: Evens(case, never, temperature))
    config = RlConfig(
        SampleRules(int(case.option("row_length", "2048")), pad_id=tokens.pad_token_id),
        steps=case.steps,
        groups=case.groups,
        attempts=case.attempts,
        update=StepRules(micro_rows=int(case.option("rows", "1"))),
        schedule=Schedule(peak=case.rate, decay=0.0),
        never=never,
        checkpoint_every=1 << 20,
        seed=case.seed,
    )
    learned = model.language_model.named_parameters("language_model")
    return RlLoop(
        model,
        MuonClip.from_named_parameters(learned, MuonClipConfig(), model=model),
        engine,
        Domains([Domain("reasoning", (place,))], seed=case.seed),
        config=config,
        folder=RunFolder.create(folder, {}),
        rollouts=RolloutConfig(burst=case.samples),
        announce=clock.hear,
    )


async def a_round(run: RlLoop, case: Case, clock: Clock) -> dict[str, Any]:
    """So many steps more, from an idle engine to the last update."""
    first, now = run.step, Round()
    run.config = dataclasses.replace(run.config, steps=first + case.steps)
    await {"sync": sync_loop, "async": async_loop}[case.option("loop", "sync")](run)
    rows = [row.values for row in run.folder.metrics("rl") if row.step > first]
    times = [row.values for row in run.folder.metrics("rl_time") if row.step > first]
    now.rewards = [row["reward"] for row in rows]
    now.tokens = sum(row["tally"]["tokens/learned"] for row in rows)
    now.samples = sum(row["tally"]["attempts/judged"] for row in rows)
    shares = {name: sum(row[f"share/{name}"] for row in times) / len(times) for name in ("rollout", "train", "publish")}
    took = {"wall": clock.wall - now.began, "cpu": clock.cpu - now.cpu, "shares": shares}
    return now.took() | took | {"masked": max(row["masked"] for row in rows)}


def loss_of(model: K25, case: Case) -> float:
    """Of the first prompts, to be compared with what others say of theirs."""
    with torch.no_grad():
        ids_BT = torch.tensor([case.prompt_of(number) for number in range(4)], dtype=torch.int32)
        weights_BT = torch.full(ids_BT.shape, 1 / (ids_BT.numel() - len(ids_BT)))
        weights_BT[:, -1] = 0
        hidden_ND = model(ids_BT).hidden_BTD.flatten(0, 1)
        shifted_N = ids_BT.roll(-1, 1).flatten()
        return float(
            chunked_cross_entropy(hidden_ND, model.head_weight, targets_N=shifted_N, weights_N=weights_BT.flatten())
        )


async def main() -> None:
    case = asked()
    torch.set_num_threads(1)
    model, copy = build(tiny(), seed=0), build(tiny(), seed=0)
    parameters = sum(one.numel() for one in model.language_model.parameters())
    tell(loss=loss_of(model, case), parameters=parameters, versions={"torch": version("torch")})
    with tempfile.TemporaryDirectory() as folder:
        engine_threads = int(case.option("engine", "1"))
        invariant = not isinstance(kernels_for(copy.head_weight.device, copy.compute_dtype), str)  # as recipes sample
        sizes = EngineConfig(max_rows=case.samples, threads=engine_threads, invariant=invariant)
        async with AsyncEngine(copy, config=sizes) as engine:
            await engine.sample(SampleRequest(np.arange(8, dtype=np.int32)))  # its thread begins
            torch.set_num_threads(case.threads)
            clock = Clock()
            run = run_of(case, engine, model, Path(folder) / "run", clock)
            while await asyncio.to_thread(turn):
                tell(**await a_round(run, case, clock))


if __name__ == "__main__":
    asyncio.run(main())
