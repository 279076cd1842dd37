"""A miniature model, recipes of a few steps for it, and runs that are finished by writing down what they would tell."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manyeyes.agent.answer_rewards import number
from manyeyes.agent.environment import Environment
from manyeyes.agent.registry import Found, Registry
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.toolset import Together
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Node, Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.data.mixture import constant
from manyeyes.model import checkpoint as weights
from manyeyes.model.multimodal import build
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce.post_runs import Made, Plan, ordered
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.rl_measure import MEASURED
from manyeyes.recipes.rl_run import Measured, PlaceSpec, RlRun
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import LoopConfig, Stage

from ..journeys.miniature import model as miniature

Tell = Callable[[str, Made], Mapping[str, float]]
"""From arm and run to the figures of its last measurement."""


def start_at(folder: Path, *, context: int = 0, seed: int = 7) -> Path:
    """A checkpoint of an untrained miniature."""
    config = miniature().with_context(context) if context else miniature()
    weights.save(build(config, seed=seed), folder, config, dtype=torch.float32, replace=True)
    Tokenizer.tiny().save(folder / "tiktoken.model")
    return folder


def sums(seed: int = 0, split: str = "train", size: int = 40) -> Tasks:
    """Sums of two digits; the two splits have others."""
    shift = 0 if split == "train" else 40

    def at(n: int) -> Task:
        a, b = (n + shift) % 9, (n + shift) // 9
        return Task(f"sum/{split}/{n}", f"{a} + {b} = ?", truth=a + b)

    return Tasks(at, size=size, epochs=None, seed=seed, name=f"sums-{split}")


REGISTRY = Registry(
    {
        "environments": {"sums": lambda: Environment(lambda ctx: Together(), judge=number(), name="sums")},
        "task_sources": {"sums": sums},
    },
    installed=Found(()),
)
PLACE = PlaceSpec("sums", "reasoning", "sums", answer_tokens=6)
MEASURED_SUMS = Measured(PLACE, count=6, quick=3)


def toy(name: str) -> Any:
    """A few steps, whatever the name; recipes of RL learn sums."""
    if name == "tiny.sft":
        return sft()
    return RlRun(
        name, "toy", "any", (PLACE,), measured=(MEASURED_SUMS,), steps=2, groups=2, attempts=2, row_length=64,
        evaluate_every=1, cache_tokens=4096,
    )  # fmt: skip


def sft() -> Run:
    """Two steps on small talk."""
    stage = Stage(
        "sft", "language", ("language_model",), 2, 128, 2, 1, constant(0.0, weights={"small_talk": 1.0}),
        Schedule(peak=1e-3),
    )  # fmt: skip
    text = HeldOut("talk", "small_talk", "loss", records=4, length=64)
    return Run(
        "tiny.sft", "toy", "any", miniature(), (stage,), after="tiny", held_out=(text,),
        loop=LoopConfig(compute="float32"),
    )  # fmt: skip


def real_scale(start: Path, *, seeds: int = 2, **changes: Any) -> Scale:
    """The shipped recipes, from a miniature; nothing of it is run."""
    return Scale(start, seeds=seeds, recipes=recipe, **changes)


def finish(plan: Plan, root: Path, tell: Tell, *, curve: Callable[[str, str, float], float] | None = None) -> None:
    """Write down what every run of a plan would tell: `tell` at the end, and a line to there from `curve`."""
    arms = {made.key: arm for (arm, _), made in plan.items()}
    for made in ordered(plan.values()):
        arm = arms.get(made.key, "")
        with made.folder(root) as folder:
            if folder.metrics("finished"):
                continue
            last = dict(tell(arm, made))
            if not isinstance(made.work, RlRun):
                folder.log("evaluation", 0, final=True, **last)
            else:
                first = {name: curve(arm, name, value) for name, value in last.items()} if curve else last
                folder.log("evaluation", 0, final=True, **first)
                for step in (1, made.work.steps):
                    folder.log("rl", step, length=last.get("length", 50.0))
                folder.log("evaluation", made.work.steps, final=True, **last)
            folder.log("finished", 1, seconds=60.0)


def measured_attempt(
    place: str,
    task: str,
    *,
    reward: float,
    tokens: int,
    step: int = 0,
    stop: str = "done",
    critical: float | None = None,
) -> Trajectory:
    """An attempt as a measurement keeps it."""
    whole = Trajectory(f"{task}/{step}/{place}/0/0", task, environment="thoughts", reward=reward, stop=stop)
    whole.rewards = {} if critical is None else {"critical_steps": critical}
    ids = np.arange(1, tokens + 2, dtype=np.int32)
    whole.add(Node(ids, 1, np.zeros(tokens, np.float32), np.zeros(tokens, np.int32)))
    return whole


def store(folder: Path, attempts: list[Trajectory]) -> None:
    """Into the store of a run folder."""
    with TrajectoryStore(folder / MEASURED, mode="append") as kept:
        for one in attempts:
            kept.append(one)
