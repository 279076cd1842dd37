"""A small model and a world of sums for post-training, quick enough for tests."""

import asyncio
import dataclasses
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from manyeyes.agent.answer_rewards import number
from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Rewards
from manyeyes.agent.registry import Found, Registry
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.toolset import Together
from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.model import checkpoint
from manyeyes.model import config as models
from manyeyes.model.multimodal import build
from manyeyes.recipes.rl_parts import Measured, PlaceSpec
from manyeyes.recipes.rl_run import RlRun


def checkpoint_of_little(path: Path, *, seed: int = 3) -> Path:
    """A model of half the width of `tiny`, random, with its vocabulary."""
    config = models.tiny_lm()
    checkpoint.save(build(config, seed=seed), path, config, dtype=torch.float32)
    Tokenizer.tiny().save(path / "tiktoken.model")
    return path


def checkpoint_of_less(path: Path, *, seed: int = 9) -> Path:
    """A smaller one, which reads the same tokens and pictures: fewer layers, and narrower ones."""
    little = models.tiny_lm()
    text = replace(little.text, hidden_size=48, num_hidden_layers=2, intermediate_size=96)
    config = replace(little, text=text)
    checkpoint.save(build(config, seed=seed), path, config, dtype=torch.float32)
    Tokenizer.tiny().save(path / "tiktoken.model")
    return path


def sums(seed: int = 0, split: str = "train", *, size: int = 30, epochs: int | None = None) -> Tasks:
    """Sums to learn from, 10 others to be asked."""
    first, size = (0, size) if split == "train" else (30, 10)

    def at(n: int) -> Task:
        a, b = divmod(first + n, 7)
        return Task(f"sum/{a}/{b}", f"{a} + {b} = ?", truth=a + b)

    return Tasks(at, size=size, epochs=epochs, seed=seed, name=f"sums/{split}")


def looks(
    seed: int = 0, split: str = "train", *, size: int = 100, epochs: int | None = None, dropped: Collection[str] = ()
) -> Tasks:
    """Tasks of which some can be left out."""
    kept = [number for number in range(size) if f"look/{split}/{number}" not in dropped]

    def at(n: int) -> Task:
        return Task(f"look/{split}/{kept[n]}", f"What is {kept[n]}?", truth=kept[n])

    return Tasks(at, size=len(kept), epochs=epochs, seed=seed, name=f"looks/{split}/{len(kept)}")


async def said_anything(case: Any) -> float:
    """A reward that random weights earn now and then."""
    return float(len(case.outcome.text) % 2)


def world(*, lenient: bool = True) -> Environment:
    """Answers of even length are right, or, where it is strict, right answers."""
    judge = Rewards(odd=said_anything) if lenient else number()
    return Environment(lambda ctx: Together(), judge=judge, name="sums")


def looking(*, blind: bool = False, guess: int = 2) -> Environment:
    """Without its picture every `guess`-th task is solved, whatever is said."""

    async def guessed(case: Any) -> float:
        return float(case.task.truth % guess == 0)

    return Environment(lambda ctx: Together(), judge=Rewards(odd=guessed if blind else said_anything), name="looks")


class Holding:
    """A reward that keeps attempts waiting, but for those at the first two tasks that it meets, until it is `open`.

    Attributes:
        held: names of the attempts that wait, or have waited.
    """

    def __init__(self) -> None:
        self.open, self.held = False, set[str]()
        self._free = set[str]()

    async def __call__(self, case: Any) -> float:
        if len(self._free) < 2:
            self._free.add(case.task.id)
        if case.task.id not in self._free:
            self.held.add(case.trajectory.name)
        while not self.open and case.task.id not in self._free:
            await asyncio.sleep(0.002)
        return await said_anything(case)

    @property
    def registry(self) -> Registry:
        """With the sums that it judges."""
        made = Environment(lambda ctx: Together(), judge=Rewards(odd=self), name="sums")
        return Registry({"environments": {"sums": lambda: made}, "task_sources": {"sums": sums}}, installed=Found(()))


def asking() -> Environment:
    """What an attempt is worth, a frozen agent says."""
    sub = replace(world(), sampling=Sampling(1.0, 1.0, 6, extra={"thinking": False}))

    async def asked(case: Any) -> float:
        outcome = await case.ctx.spawn(Task(f"{case.task.id}/sub", case.outcome.text or "?"), sub, role="critic")
        return float(len(outcome.text) % 2)

    return Environment(lambda ctx: Together(), judge=Rewards(said=asked), name="asks")


REGISTRY = Registry(
    {
        "environments": {"sums": world, "looks": looking, "asks": asking},
        "task_sources": {"sums": sums, "looks": looks, "asks": sums},
    },
    installed=Found(()),
)
LOOKS = PlaceSpec("looks", "perception", "looks", tasks={"size": 12}, answer_tokens=4)
ASKS = PlaceSpec("asks", "agentic", "asks", answer_tokens=4)
PLACE = PlaceSpec("sums", "reasoning", "sums", answer_tokens=4)


def little_run(start: Path, **settings: Any) -> RlRun:
    """Three short steps."""
    base = RlRun(
        name="little", about="", hardware="", places=(PLACE,), start_model=str(start),
        measured=(Measured(PLACE, count=4, quick=2),), steps=3, groups=2, attempts=3, row_length=64, micro_rows=1,
        evaluate_every=2, checkpoint_every=1, running=8, cache_tokens=4096,
    )  # fmt: skip
    return dataclasses.replace(base, **settings)


def folder_of(path: Path, config: dict[str, Any]) -> RunFolder:
    """The run's folder, whether it is there or not."""
    return RunFolder.open(path) if path.exists() else RunFolder.create(path, config)


def plain_rows(folder: RunFolder, kind: str) -> list[dict[str, Any]]:
    """What was logged, without times."""
    return [{"step": row.step} | dict(row.values) for row in folder.metrics(kind)]
