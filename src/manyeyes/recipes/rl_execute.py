"""Where an RL run is wired: checkpoint to trainer and engine, environments to domains, both to a loop, weights to disk.

    trainer (weights, MuonClip) ─ publish ▶ engine ◀ TokenChat ◀ rollouts ◀ environments
          ▲─────────────────── samples ◀──────────────────────────┘

`execute_rl` starts a run or goes on with one, whatever ended it. The engine has a copy of the weights; sub-agents that
are not trained have another one, which never changes.

Report: §4.4.2, App. D.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import torch

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.environments.shared_sandbox import SharedSandbox
from manyeyes.agent.registry import Registry
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.snapshot import TRAJECTORIES
from manyeyes.agent.shipped_toolsets import shipped_rooms
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.token_chat_reading import out_of_turn
from manyeyes.core.data_rules import Rules
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import Sampler
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Policy
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.data.packing import Batch
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.model import checkpoint as weights
from manyeyes.model.multimodal import K25
from manyeyes.optim.muonclip import MuonClip
from manyeyes.recipes.policy import chat_of, engine_of
from manyeyes.recipes.rl_measure import MEASURED, RlMeasure
from manyeyes.recipes.rl_objectives import objective_of
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_ptx import PtxBatches
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.starting_model import MODEL_FOLDER
from manyeyes.rl.advantage import to_all, to_main
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.curriculum import Curriculum
from manyeyes.rl.loop import RlLoop
from manyeyes.rl.rl_config import RlConfig
from manyeyes.rl.sample_rules import SampleRules
from manyeyes.rl.step import StepRules
from manyeyes.rl.sync_loop import sync_loop
from manyeyes.rl.toggle import Toggle
from manyeyes.swarm.parl import parl_reward_of

MOST_ROOMS = 16
"""Sandboxes with a Python kernel that environments may borrow at once."""
LOOPS = {"sync": sync_loop, "async": async_loop}


def execute_rl(
    run: RlRun,
    folder: RunFolder,
    *,
    device: torch.device,
    announce: Callable[[str], None] = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
    data_folder: Path | None = None,
    registry: Registry | None = None,
) -> bool:
    """Train to the end, from wherever the run stands; True when it is finished.

    Args:
        announce: called with a line for people: of each step, of measurements.
        stop: asked between steps; True saves and returns.
        data_folder: where fetched data lies, for the auxiliary loss.
        registry: of environments; what is installed when left out.

    Raises:
        ConfigError: the folder holds another run, or a name is not known. CheckpointError: weights cannot be read, or
            nothing can be written; the last checkpoint is intact.
    """
    if RlRun.from_json(folder.config()).fingerprint != run.fingerprint:
        raise ConfigError(
            f"{folder.path} holds a run of another configuration; use the settings it began with, or another folder"
        )
    places = Places(run, registry)
    return asyncio.run(_Wiring(run, folder, places, device, announce, data_folder).train(stop))


class _Wiring:
    """What a run is made of, while it lasts."""

    def __init__(
        self,
        run: RlRun,
        folder: RunFolder,
        places: Places,
        device: torch.device,
        announce: Callable[[str], None],
        data_folder: Path | None,
    ) -> None:
        self.run, self.folder, self.places, self.device, self.announce = run, folder, places, device, announce
        self.data_folder = data_folder
        start = Path(run.start_model)
        self.tokenizer = Tokenizer.load(start)
        self.trainer, self.engine_model = self._loaded(start), self._loaded(start)
        for name, parameter in self.trainer.named_parameters():
            parameter.requires_grad_(name.partition(".")[0] in run.trainable)
        self.optimizer = MuonClip.from_named_parameters(
            self.trainer.named_parameters(), run.optimizer, model=self.trainer
        )

    def _loaded(self, path: Path) -> K25:
        return weights.load_model(path, device=self.device, dtype=torch.float32)

    async def train(self, stop: Callable[[], bool]) -> bool:
        """See `execute_rl`."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.places.close)
            store = stack.enter_context(self._store(TRAJECTORIES)) if self.run.keep_trajectories else None
            measured = stack.enter_context(self._store(MEASURED))
            pool = await stack.enter_async_context(rooms(min(self.run.running, MOST_ROOMS)))
            engine = await stack.enter_async_context(self._engine(self.engine_model))
            models = await self._models(engine, stack)
            measure = RlMeasure(
                self.run, self.places, models, self.folder, store=measured, pool=pool, announce=self.announce
            )
            loop = self._loop(engine, models, store=store, pool=pool, measure=measure)
            if loop.resume():
                self.announce(f"going on from step {loop.step} of {self.run.steps}")
            else:
                self._note_start(engine)
                await measure(0)
            if not await LOOPS[self.run.loop](loop, stop=stop):
                return False
            self._export()
            self.folder.log("finished", loop.step, seconds=round(loop.seconds, 3))
            return True

    def _store(self, name: str) -> TrajectoryStore:
        return TrajectoryStore(self.folder.path / name, mode="append")

    def _engine(self, model: K25) -> AbstractAsyncContextManager[AsyncEngine]:
        run = self.run
        return engine_of(model, self.tokenizer, cache_tokens=run.cache_tokens, invariant=run.invariant)

    async def _models(self, engine: AsyncEngine, stack: AsyncExitStack) -> Mapping[Policy, ChatModel | Sampler]:
        """The policy; and, where sub-agents may be started, the frozen one."""
        models: dict[Policy, ChatModel | Sampler] = {"live": self._chat(engine)}
        if self.run.parl is not None or self.run.frozen_model:
            other = self._loaded(Path(self.run.frozen_model or self.run.start_model))
            models["frozen"] = self._chat(await stack.enter_async_context(self._engine(other)))
        return models

    def _chat(self, engine: AsyncEngine) -> TokenChat:
        run = self.run
        return chat_of(
            engine, self.tokenizer, self.trainer, context=run.context or run.row_length, seed=run.seed, name=run.name
        )

    def _loop(
        self,
        engine: AsyncEngine,
        models: Mapping[Policy, ChatModel | Sampler],
        *,
        store: TrajectoryStore | None,
        pool: EnvironmentPool,
        measure: RlMeasure,
    ) -> RlLoop:
        run = self.run
        curriculum = None if run.curriculum is None else Curriculum(run.curriculum)
        combined: dict[str, Any] = {} if run.parl is None else {"reward_of": parl_reward_of(run.parl)}
        return RlLoop(
            self.trainer, self.optimizer, engine, self.places.domains(curriculum), config=self._config(),
            folder=self.folder, models=models, store=store, device=self.device,
            toggle=None if run.toggle is None else Toggle(run.toggle), credit=to_all if run.parl is None else to_main,
            pool=pool, rollouts=RolloutConfig(most_running=run.running), ptx=self._ptx(),
            fingerprint=run.fingerprint, announce=self.announce, after_step=measure, **combined,
        )  # fmt: skip

    def _config(self) -> RlConfig:
        run = self.run
        return RlConfig(
            self._sample_rules(),
            steps=run.steps, groups=run.groups, attempts=run.attempts, quorum=run.quorum, update=self._rules(),
            schedule=run.schedule, temperature=run.temperature, never=out_of_turn(self.tokenizer, thinking=True),
            max_staleness=run.max_staleness,
            checkpoint_every=run.checkpoint_every, seed=run.seed,
        )  # fmt: skip

    def _sample_rules(self) -> SampleRules:
        run, tokenizer = self.run, self.tokenizer
        checks = Rules(vocab_size=self.trainer.config.text.vocab_size, media_pad=tokenizer.media_pad)
        return SampleRules(
            run.row_length, tokenizer.pad, advantage=run.advantage, drop_equal=run.drop_equal,
            least_told=run.least_told, checks=checks,
        )  # fmt: skip

    def _rules(self) -> StepRules:
        run = self.run
        return StepRules(
            objective_of(run.objective, run.objective_options), micro_rows=run.micro_rows,
            gradient_norm=run.gradient_norm, bias_rate=run.bias_rate, ptx_weight=run.ptx.weight if run.ptx else 0.0,
        )  # fmt: skip

    def _ptx(self) -> Callable[[int], Batch] | None:
        if self.run.ptx is None:
            return None
        return PtxBatches(
            self.run.ptx, self.tokenizer, self.trainer.config.rules, row_length=self.run.row_length,
            seed=self.run.seed, folder=self.data_folder,
        )  # fmt: skip

    def _note_start(self, engine: AsyncEngine) -> None:
        self.tokenizer.save(self.folder.tokenizer_path)
        self.folder.log(
            "start", 0, device=str(self.device), dtype="torch.float32", threads=torch.get_num_threads(),
            engine=engine.described,
        )  # fmt: skip

    def _export(self) -> None:
        path = self.folder.path / MODEL_FOLDER
        weights.save(self.trainer, path, self.trainer.config, dtype=torch.float32, replace=True)
        self.tokenizer.save(path / "tiktoken.model")


@asynccontextmanager
async def rooms(most: int) -> AsyncIterator[EnvironmentPool]:
    """What shipped toolsets borrow; nothing is made before somebody asks."""
    shared = SharedSandbox(kernels=most)
    with tempfile.TemporaryDirectory(prefix="manyeyes-rooms-", ignore_cleanup_errors=True) as folder:
        try:
            async with EnvironmentPool(shipped_rooms(shared, Path(folder), most=most)) as pool:
                yield pool
        finally:
            await shared.close()
