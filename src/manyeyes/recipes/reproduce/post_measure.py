"""`Measuring`: a finished model is asked held-out tasks, and its loss on held-out text is taken; nothing is learned.

What was asked lies in the folder's store of attempts, one by one, so that answers of two models to the same task can be
compared. A measurement that is stopped goes on where it was: attempts that are in the store are not made again.

Report: §2.3 (Table 2), §4.4.2 (Fig. 5), §5.2 (Table 6).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.registry import Registry
from manyeyes.agent.task import Task
from manyeyes.agent.token_chat import TokenChat
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import Sampler
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Policy
from manyeyes.core.trajectory_store import TrajectoryStore, TrajectoryStoreError
from manyeyes.data.mixture import constant
from manyeyes.model import checkpoint as weights
from manyeyes.model.multimodal import K25
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.evaluation import Evaluation
from manyeyes.recipes.held_out import named
from manyeyes.recipes.policy import chat_of, engine_of
from manyeyes.recipes.reproduce.post_attempts import place_of
from manyeyes.recipes.rl_execute import MOST_ROOMS, rooms
from manyeyes.recipes.rl_measure import MEASURED, RlMeasure
from manyeyes.recipes.rl_parts import Measured
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import Stage
from manyeyes.train.system import System

LOOK_EVERY = 0.5
"""Seconds between two questions whether to stop."""
RATE = "rate"
"""Kind of the rows that tell how long attempts took: "environment", "attempts", "seconds"."""
ASKED = "asked"
"""Kind of the rows whose step is the number of attempts that are in the store."""
TELL_EVERY = 2.0
"""Seconds between two looks at how many there are."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """What is asked of a model.

    Attributes:
        name: for people.
        start_model: checkpoint folder of the model.
        frozen_model: that of its sub-agents, where it may start any.
        measured: held-out tasks; `count` of each are asked.
        losses: held-out text, scorer "loss".
        context: tokens of a conversation at most.
        temperature: of answers.
        running: attempts at once.
        cache_tokens: of the engine.
        seed: of tasks and answers; two models of one seed are asked the same.
    """

    name: str
    measured: tuple[Measured, ...] = ()
    losses: tuple[HeldOut, ...] = ()
    start_model: str = ""
    frozen_model: str = ""
    context: int = 2048
    temperature: float = 1.0
    running: int = 256
    cache_tokens: int = 131_072
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.measured and not self.losses:
            raise ConfigError(f"{self.name}: a measurement needs something to measure")

    @property
    def steps(self) -> int:
        """Of the job: its attempts; one where it has none."""
        return sum(one.count * one.attempts for one in self.measured) or 1

    def as_run(self) -> RlRun:
        """Its places as those of a run that learns nothing; their tasks are those that are asked."""
        return RlRun(
            self.name, "", "", tuple(one.place for one in self.measured), measured=self.measured, seed=self.seed,
            start_model=self.start_model, frozen_model=self.frozen_model, running=self.running,
            evaluate_temperature=self.temperature,
        )  # fmt: skip

    def tasks(self, registry: Registry | None = None) -> dict[str, list[Task]]:
        """What is asked, by place; the same tasks every time."""
        places = Places(self.as_run(), registry)
        found: dict[str, list[Task]] = {}
        for one in self.measured:
            source = places.held_out(one)
            found[one.name] = [task for _ in range(one.count) if (task := source.next()) is not None]
        return found

    def to_json(self) -> dict[str, Any]:
        """As plain data; "kind" tells it from the configuration of runs."""
        return {"kind": "measuring"} | msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Measuring":
        """Reads `to_json`'s data.

        Raises:
            ConfigError: it was written by another version.
        """
        try:
            return msgspec.convert({key: value for key, value in data.items() if key != "kind"}, type=cls)
        except msgspec.ValidationError as error:
            raise ConfigError(f"config.json is not a measurement of this version: {error}") from None


def measure(
    measuring: Measuring,
    folder: RunFolder,
    *,
    device: torch.device,
    announce: Callable[[str], None] = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
    data_folder: Path | None = None,
    registry: Registry | None = None,
) -> bool:
    """Ask what was not asked yet, and log one `evaluation` row; True when all is done.

    Raises:
        ConfigError: a name is not known. CheckpointError: the model cannot be read.
    """
    return asyncio.run(_Measurement(measuring, folder, device, announce, data_folder, registry).run(stop))


Figures = dict[str, dict[str, float]]
"""By place, or by held-out text."""


class _Measurement:
    """The model and what it is asked by, while it lasts."""

    def __init__(
        self,
        measuring: Measuring,
        folder: RunFolder,
        device: torch.device,
        announce: Callable[[str], None],
        data_folder: Path | None,
        registry: Registry | None,
    ) -> None:
        self.asked, self.folder, self.device = measuring, folder, device
        self.announce, self.data_folder, self.registry = announce, data_folder, registry
        start = Path(measuring.start_model)
        self.tokenizer, self.model = Tokenizer.load(start), self._loaded(start)

    def _loaded(self, path: Path) -> K25:
        return weights.load_model(path, device=self.device, dtype=torch.float32)

    async def run(self, stop: Callable[[], bool]) -> bool:
        """See `measure`."""
        losses = await asyncio.to_thread(self._losses) if self.asked.losses else {}
        rewards = await self._unless_stopped(self._rewards(), stop) if self.asked.measured else {}
        if rewards is None:
            return False
        self.folder.log("evaluation", 0, stage=self.asked.name, final=True, **named(losses | rewards))
        seconds = sum(row.values["seconds"] for row in self.folder.metrics(RATE))
        self.folder.log("finished", self.asked.steps, seconds=round(seconds, 3))
        return True

    @staticmethod
    async def _unless_stopped(work: Coroutine[Any, Any, Figures], stop: Callable[[], bool]) -> Figures | None:
        """What the work tells, or raises; None where it was stopped before it told anything."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.wait([task], timeout=LOOK_EVERY)
            if stop() and not task.done():
                task.cancel()
                await asyncio.wait([task])
        return None if task.cancelled() else task.result()

    async def _rewards(self) -> Figures:
        run = self.asked.as_run()
        places = Places(run, self.registry)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(places.close)
            await places.ready()
            store = stack.enter_context(TrajectoryStore(self.folder.path / MEASURED, mode="append"))
            stack.enter_context(self._timed(store))
            pool = await stack.enter_async_context(rooms(min(run.running, MOST_ROOMS)))
            models = await self._models(stack)
            stack.push_async_callback(_ended, asyncio.ensure_future(self._tell(store)))
            ask = RlMeasure(run, places, models, self.folder, store=store, pool=pool, announce=self.announce)
            return await ask.figures(0, final=True)

    async def _tell(self, store: TrajectoryStore) -> None:
        """Log how many attempts there are, for whoever follows, until this is cancelled."""
        told = 0
        while True:
            with suppress(TrajectoryStoreError, OSError):  # who follows is told the next time; attempts are stored
                if (made := len(store)) > told:
                    self.folder.log(ASKED, made)
                    told = made
            await asyncio.sleep(TELL_EVERY)

    @contextmanager
    def _timed(self, store: TrajectoryStore) -> Iterator[None]:
        """Log what the attempts of this life took, however it ends; those of another life are in the store already."""
        before, began = self._made(store), time.perf_counter()
        try:
            yield
        finally:
            made = self._made(store) - before
            seconds = time.perf_counter() - began
            for environment, attempts in made.items():
                own = seconds * attempts / made.total()
                self.folder.log(RATE, 0, environment=environment, attempts=attempts, seconds=round(own, 3))

    def _made(self, store: TrajectoryStore) -> Counter[str]:
        """Attempts in the store by environment."""
        of = {one.name: one.place.environment for one in self.asked.measured}
        return Counter(of[place_of(one.name)] for one in store.find())

    async def _models(self, stack: AsyncExitStack) -> dict[Policy, ChatModel | Sampler]:
        models: dict[Policy, ChatModel | Sampler] = {"live": await self._chat(self.model, stack)}
        if self.asked.frozen_model:
            models["frozen"] = await self._chat(self._loaded(Path(self.asked.frozen_model)), stack)
        return models

    async def _chat(self, model: K25, stack: AsyncExitStack) -> TokenChat:
        asked = self.asked
        engine = await stack.enter_async_context(engine_of(model, self.tokenizer, cache_tokens=asked.cache_tokens))
        return chat_of(engine, self.tokenizer, model, context=asked.context, seed=asked.seed, name=asked.name)

    def _losses(self) -> Figures:
        """Held-out text under the model, as runs of fine-tuning measure it."""
        stage = Stage(
            name=self.asked.name, objective="language", trainable=("language_model",), steps=1, row_length=256, rows=1,
            micro_rows=1, mixture=constant(0.0), schedule=Schedule(0.0),
            held_out=tuple(one.name for one in self.asked.losses),
        )  # fmt: skip
        run = Run(
            self.asked.name, "", "", self.model.config, (stage,), held_out=self.asked.losses, seed=self.asked.seed
        )
        ask = Evaluation(run, self.tokenizer, self.folder, announce=self.announce, data_folder=self.data_folder)
        with torch.no_grad():
            found = ask(System(self.model, None, None), stage, run_step=0, final=False)
        return {one.name: {"loss": float(found[f"{one.name}/loss"])} for one in self.asked.losses}


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel it and wait; what it failed with is raised, since it is nothing that it may fail with."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
