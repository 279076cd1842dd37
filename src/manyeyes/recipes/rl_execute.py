"""Where an RL run is wired: checkpoint to trainer and engine, environments to domains, both to a loop, weights to disk.

    trainer (weights, MuonClip) ─ publish ▶ engine ◀ TokenChat ◀ rollouts ◀ environments
          ▲─────────────────── samples ◀──────────────────────────┘

`execute_rl` starts a run or goes on with one, whatever ended it.

Report: §4.4.2, App. D.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import torch

from manyeyes.agent.environments.shared_sandbox import SharedSandbox
from manyeyes.agent.registry import Registry
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.snapshot import TRAJECTORIES
from manyeyes.agent.shipped_toolsets import shipped_rooms
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.data.packing import Batch
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.model import checkpoint as weights
from manyeyes.model.multimodal import K25
from manyeyes.optim.muonclip import MuonClip
from manyeyes.recipes.rl_blind import BlindFilter, Dropped, dropped_figures
from manyeyes.recipes.rl_checks import check_rl
from manyeyes.recipes.rl_kept import KeptModel
from manyeyes.recipes.rl_machine import compare_start, machine, note_start
from manyeyes.recipes.rl_measure import MEASURED, RlMeasure
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_policies import Policies
from manyeyes.recipes.rl_ptx import PtxBatches
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.rl_settings import settings_of
from manyeyes.rl.advantage import to_all, to_main
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.curriculum import Curriculum
from manyeyes.rl.loop import RlLoop
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
    engine_token: str = "",
) -> bool:
    """Train to the end, from wherever the run stands; True when it is finished.

    Args:
        announce: called with a line for people: of each step, of measurements.
        stop: asked between steps; True saves and returns.
        data_folder: where fetched data lies, for the auxiliary loss.
        registry: of environments; what is installed when left out.
        engine_token: of the engine that `run.engine` names.

    Raises:
        ConfigError: the folder holds another run, fields contradict, or a name is not known. CheckpointError: weights
            cannot be read, or nothing can be written; the last checkpoint is intact.
    """
    if RlRun.from_json(folder.config()).fingerprint != run.fingerprint:
        raise ConfigError(
            f"{folder.path} holds a run of another configuration; use the settings it began with, or another folder"
        )
    check_rl(run, registry, tasks=False)  # they are made in a moment
    wiring = _Wiring(run, folder, Places(run, registry), device, announce, data_folder)
    return asyncio.run(wiring.train(stop, engine_token))


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
        self.tokenizer, self.trainer = Tokenizer.load(start), self._loaded(start)
        for name, parameter in self.trainer.named_parameters():
            parameter.requires_grad_(name.partition(".")[0] in run.trainable)
        self.optimizer = MuonClip.from_named_parameters(
            self.trainer.named_parameters(), run.optimizer, model=self.trainer
        )
        self.policies = Policies(run, self.trainer, self.tokenizer, self._loaded)
        self.kept = KeptModel(folder, self.tokenizer, unconstrained_step=run.unconstrained_step)

    def _loaded(self, path: Path) -> K25:
        return weights.load_model(path, device=self.device, dtype=torch.float32)

    async def train(self, stop: Callable[[], bool], engine_token: str) -> bool:
        """See `execute_rl`."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.places.close)
            await self.places.ready()
            store = stack.enter_context(self._store(TRAJECTORIES)) if self.run.keep_trajectories else None
            measured = stack.enter_context(self._store(MEASURED))
            pool = await stack.enter_async_context(rooms(min(self.run.running, MOST_ROOMS)))
            fresh = not self.folder.has_checkpoint
            await self.policies.open(stack, token=engine_token, folder_name=self.folder.name, fresh=fresh)
            if (dropped := await self._blind(pool, stop)) is None:
                return False
            measure = RlMeasure(
                self.run, self.places, self.policies.models, self.folder, store=measured, pool=pool,
                weights=lambda: self.policies.digest, announce=self.announce,
            )  # fmt: skip
            loop = self._loop(store=store, pool=pool, measure=measure)
            await self._begin(loop, measure, dropped)
            if not await LOOPS[self.run.loop](loop, stop=stop):
                return False
            if not loop.over:  # its tasks have ended before its steps
                await measure(loop.step, final=True)
            self.kept.export(self.trainer)
            if self.policies.balance is not None:
                self.folder.log("balance", loop.step, **self.policies.balance.figures())
            self.folder.log("finished", loop.step, seconds=round(loop.seconds, 3))
            return True

    def _store(self, name: str) -> TrajectoryStore:
        return TrajectoryStore(self.folder.path / name, mode="append")

    async def _blind(self, pool: EnvironmentPool, stop: Callable[[], bool]) -> Mapping[str, Dropped] | None:
        """Drop tasks that the first weights solve without their picture; what is known, None where it was stopped."""
        blind = BlindFilter(
            self.places, self.policies.models, self.folder, pool=pool, announce=self.announce, stop=stop
        )
        elsewhere = not isinstance(self.policies.engine, AsyncEngine)  # it has the first weights only at the beginning
        if elsewhere and self.folder.has_checkpoint and (missing := blind.missing):
            raise ConfigError(
                f"{', '.join(one.name for one in missing)}: which of these tasks need their picture was not found out "
                "when the run began, and its engine has other weights now; measure what it began with, or begin anew"
            )
        for line in () if self.folder.has_checkpoint else self.places.not_looked_at():
            self.announce(line)
        return await blind()

    async def _begin(self, loop: RlLoop, measure: RlMeasure, dropped: Mapping[str, Dropped]) -> None:
        """To where the run stands: its newest checkpoint, or its beginning, with a measurement."""
        resumed, here = loop.resume(), machine(self.device, self.policies.described)
        await self.policies.begin(loop.step)
        if resumed:
            self.announce(f"going on from step {loop.step} of {self.run.steps}")
            compare_start(self.folder, loop.step, self.announce, **here)
        else:
            self.tokenizer.save(self.folder.tokenizer_path)
            note_start(self.folder, **here)
        if dropped and not self.folder.metrics("blind"):
            self.folder.log("blind", loop.step, **dropped_figures(dropped))
        await (measure.again(loop.step) if resumed else measure(0))

    def _loop(self, *, store: TrajectoryStore | None, pool: EnvironmentPool, measure: RlMeasure) -> RlLoop:
        run = self.run
        curriculum = None if run.curriculum is None else Curriculum(run.curriculum)
        combined: dict[str, Any] = {} if run.parl is None else {"reward_of": parl_reward_of(run.parl)}

        async def after_step(step: int) -> None:
            await measure(step)
            self.kept.after(step, self.trainer)
            await self.policies.after(step)

        return RlLoop(
            self.trainer, self.optimizer, self.policies.engine, self.places.domains(curriculum),
            config=settings_of(run, self.tokenizer, vocab_size=self.trainer.config.text.vocab_size),
            folder=self.folder, models=self.policies.models, store=store, device=self.device,
            toggle=None if run.toggle is None else Toggle(run.toggle), credit=to_all if run.parl is None else to_main,
            pool=pool, rollouts=RolloutConfig(most_running=run.running), ptx=self._ptx(),
            fingerprint=run.fingerprint, announce=self.announce, after_step=after_step, **combined,
        )  # fmt: skip

    def _ptx(self) -> Callable[[int], Batch] | None:
        if self.run.ptx is None:
            return None
        return PtxBatches(
            self.run.ptx, self.tokenizer, self.trainer.config.rules, row_length=self.run.row_length,
            seed=self.run.seed, folder=self.data_folder,
        )  # fmt: skip


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
