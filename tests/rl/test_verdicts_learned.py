"""Grading is learned: advantages of right and wrong verdicts have their signs, and the loop raises the reward.

What is shown: a random model of a few thousand parameters learns the verdicts of the very comparisons that it meets,
where all but the side is written for it. That it grades others by it is not shown; it cannot read.
"""

import asyncio
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manyeyes.agent.environments.verdicts import environment, task_source, verdict_task_of
from manyeyes.agent.judge import Case, Verdict
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.token_environment import TokenObservation, TokenStep
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.task_source import Tasks
from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams
from manyeyes.rl.domains import Domain, Domains, Place
from manyeyes.rl.group_samples import group_samples
from manyeyes.rl.logprobs import SampledFrom
from manyeyes.rl.sample_rules import SampleRules
from manyeyes.rl.sync_loop import sync_loop

from ..train.small_system import TOKENIZER, config
from .loop_worlds import CONFIG, make_run, rows
from .rollout_samples import one_thread as one_thread

SIDES = {side: TOKENIZER.encode(side)[0] for side in ("A", "B", "tie")}
"""The first token of each; what follows it is written for the model."""
SAID = {token: side for side, token in SIDES.items()}
NEVER = frozenset(range(config().text.vocab_size)) - set(SAID)
ROW = 896


def text_tasks(count: int) -> list[Task]:
    """Comparisons of texts, as many where A is better as where B is."""
    found: dict[str, list[Task]] = {"A": [], "B": [], "tie": []}
    source = iter(task_source(1, kinds=["chat"], modalities=["text"]))
    while min(len(found["A"]), len(found["B"])) < count:
        task = next(source)
        found[verdict_task_of(task).truth].append(task)
    return [task for pair in zip(found["A"][:count], found["B"][:count], strict=True) for task in pair]


@dataclass
class OneSide:
    """The environment's question and judge; the verdict is written up to the side, which is one token."""

    name: str = "verdicts"
    params: SamplingParams = SamplingParams(max_new_tokens=1, temperature=1.0, never=NEVER)

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        made = verdict_task_of(task)
        ctx.state = f'{{"mark": "{made.question.mark}", "{made.rubric.criteria[0].name}": "'
        return TokenObservation(np.array([TOKENIZER.bos, *TOKENIZER.encode(task.prompt + "\n" + ctx.state)], np.int32))

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        ctx.state += SAID[completion.ids[0]] + '"}'
        return TokenStep(None, text=ctx.state)

    async def judge(self, outcome: Outcome, ctx: RolloutCtx) -> Verdict | None:
        json.loads(outcome.text)
        judge = environment().judge
        assert judge is not None
        return await judge(Case(ctx.task, outcome, ctx.trajectory))


class Says:
    """Sides in turn."""

    def __init__(self, sides: list[str]) -> None:
        self.sides = iter(sides)

    async def sample(self, request: SampleRequest, **_: Any) -> Completion:
        return Completion([SIDES[next(self.sides)]], [-1.0], [0])


def groups_of(tasks: list[Task], sides: list[str]) -> list[Group]:
    async def go() -> list[Group]:
        async with RolloutManager({"live": Says(sides)}, config=RolloutConfig(infra_retries=0)) as manager:  # type: ignore
            found = []
            for number, task in enumerate(tasks):
                manager.submit(GroupRequest(str(number), task, OneSide(), size=3))
                found.append(await manager.next_group())
            return found

    return asyncio.run(go())


def test_right_verdicts_are_pushed_up_and_wrong_ones_down() -> None:
    tasks = text_tasks(2)
    found = groups_of(tasks, ["A", "B", "tie"] * len(tasks))
    assert all(sorted(group.rewards) == [0.0, 0.0, 1.0] for group in found)  # type: ignore[type-var]
    batch = group_samples(
        found, SampleRules(row_length=ROW, pad_id=TOKENIZER.pad), step=0, source=SampledFrom(1.0, NEVER)
    ).batch
    assert batch is not None
    learned = batch.weights_BT > 0
    assert learned.sum() == 3 * len(tasks)
    pushes = sorted(zip(batch.ids_BT[learned].tolist(), np.sign(batch.advantages_BT[learned]).tolist(), strict=True))
    right = [SIDES[verdict_task_of(task).truth] for task in tasks]
    assert pushes == sorted((side, 1.0 if side == truth else -1.0) for truth in right for side in SIDES.values())


@pytest.mark.slow
def test_the_loop_learns_the_verdicts_of_comparisons_that_it_meets_again(tmp_path: Path, one_thread: None) -> None:
    tasks = text_tasks(1)

    def episode(temperature: float) -> OneSide:
        return OneSide(params=SamplingParams(max_new_tokens=1, temperature=temperature, never=NEVER))

    source = Tasks(lambda n: tasks[n], size=len(tasks), epochs=None, seed=1, name="verdicts")
    domains = Domains([Domain("knowledge", (Place("verdicts", source, episode),))], seed=5)
    samples = dataclasses.replace(CONFIG.samples, row_length=ROW)
    run = make_run(
        tmp_path, domains=domains, samples=samples, steps=12, groups=2, attempts=16, never=NEVER, checkpoint_every=100
    )
    assert asyncio.run(asyncio.wait_for(sync_loop(run), 300))
    reward = [row["reward"] for row in rows(run)]
    assert np.mean(reward[-3:]) > np.mean(reward[:3]) + 0.25 and np.mean(reward[-3:]) > 0.7, reward
