"""Reinforcement learning whose tokens come from another process: ids and log-probabilities over HTTP, weights back.

    manyeyes serve MODEL --weights-root WEIGHTS        in another terminal; prints an address and a token
    python examples/rl_with_external_engine.py MODEL WEIGHTS ADDRESS TOKEN

vLLM or SGLang: `VllmSampler` or `SglangSampler`, and what carries weights there (`agent.remote_weights`).
"""

import asyncio
import sys
from pathlib import Path

import numpy as np

from manyeyes.agent.remote_manyeyes import ManyeyesSampler
from manyeyes.agent.remote_wire import Server
from manyeyes.agent.rollouts.token_environment import TokenObservation, TokenStep
from manyeyes.agent.task_source import Task, Tasks
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import PolicySampler, SamplingParams
from manyeyes.model.checkpoint import load_model, save
from manyeyes.optim.muonclip import MuonClip, MuonClipConfig
from manyeyes.rl import async_loop, domains, group_samples, loop, rl_config

SPECIAL = frozenset(range(1792, 2048))


class Evens:  # a completion is worth its share of even ids
    name, params = "evens", SamplingParams(max_new_tokens=16, temperature=1.0, never=SPECIAL)

    async def reset(self, task, ctx):
        return TokenObservation(np.array([1, 7, int(task.prompt)], np.int32))

    async def step(self, completion, ctx):
        return TokenStep(None, {"even": float(np.mean(np.array(completion.ids) % 2 == 0))})

    async def judge(self, outcome, ctx):
        return None  # what the steps gave is the reward


async def learn(model, sampler: PolicySampler, run: Path, *, steps: int = 3) -> None:
    tasks = Tasks(lambda number: Task(f"evens/{number}", str(number)), size=64, epochs=None)
    place = domains.Place("evens", tasks, lambda temperature: Evens())
    source = domains.Domains([domains.Domain("reasoning", (place,))], seed=0)
    optimizer = MuonClip.from_named_parameters(model.named_parameters(), MuonClipConfig(), model=model)
    rules = group_samples.SampleRules(256, model.config.pad_token_id)
    config, folder = rl_config.RlConfig(rules, steps=steps, groups=4, never=SPECIAL), RunFolder.create(run, {})
    whole = loop.RlLoop(model, optimizer, sampler, source, config=config, folder=folder, announce=print)
    await async_loop.async_loop(whole)


async def main(start: Path, weights: Path, address: str, token: str) -> None:
    def write(version, tensors):
        return save(tensors, weights / f"{version}", model.config, dtype=model.compute_dtype) or f"{version}"

    model = load_model(start)
    async with ManyeyesSampler(Server(address.removesuffix("/v1"), key=token), write=write) as sampler:
        await learn(model, sampler, weights / "run")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
