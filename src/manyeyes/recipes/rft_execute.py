"""Where an RFT run is wired: rollouts with the weights of the start, and a stage of fine-tuning on the right ones.

Attempts lie in the run folder and are not made again; fine-tuning goes on from its checkpoints. Which samples are kept
depends on the attempts alone.

Report: §2.3, §4.4.
"""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.registry import Registry
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.snapshot import TRAJECTORIES
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.runlog import RunFolder, write_atomic
from manyeyes.core.sampler import Sampler
from manyeyes.core.seeds import key
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Policy
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.data.loader import Loader
from manyeyes.data.mixture import Mixture, constant
from manyeyes.data.plan import Planner
from manyeyes.data.quarantine import Quarantine
from manyeyes.data.source import TEXT, VISION, Source
from manyeyes.model import checkpoint as weights
from manyeyes.model.checkpoint_folder import read_config
from manyeyes.model.multimodal import K25
from manyeyes.recipes.execute import in_one_format
from manyeyes.recipes.held_out import named
from manyeyes.recipes.kept_source import KeptSources, kept_sources
from manyeyes.recipes.policy import chat_of, engine_of
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_execute import MOST_ROOMS, rooms
from manyeyes.recipes.rl_measure import RlMeasure
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.sources import SOURCES
from manyeyes.recipes.starting_model import MODEL_FOLDER
from manyeyes.rl.rft import kept_samples, right_ones
from manyeyes.train.flops import measured_peak
from manyeyes.train.loop import Trainer
from manyeyes.train.meter import StepReport
from manyeyes.train.stages import Stage
from manyeyes.train.system import System

KEPT = "kept.json"
"""What was kept and what was not, and why; written when it is known, and not made anew."""
BEFORE = "before.json"
"""Measurements before anything was learned, which the log begins with."""
STAGE = "rft"


def execute_rft(
    run: RftRun,
    folder: RunFolder,
    *,
    device: torch.device,
    report: Callable[[StepReport], None] = lambda step: None,
    announce: Callable[[str], None] = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
    data_folder: Path | None = None,
    registry: Registry | None = None,
) -> bool:
    """Sample, keep, learn, from wherever the run stands; True when it is finished.

    Raises:
        ConfigError: the folder holds another run, or a name is not known. DataError: nothing was right.
        CheckpointError: weights cannot be read, or nothing can be written.
    """
    if RftRun.from_json(folder.config()).fingerprint != run.fingerprint:
        raise ConfigError(
            f"{folder.path} holds a run of another configuration; use the settings it began with, or another folder"
        )
    wiring = _Wiring(run, folder, device, announce, data_folder, registry)
    if not folder.has_checkpoint and not asyncio.run(wiring.gather(stop)):
        return False
    return wiring.learn(report, stop)


class _Wiring:
    """The parts of one run."""

    def __init__(
        self,
        run: RftRun,
        folder: RunFolder,
        device: torch.device,
        announce: Callable[[str], None],
        data_folder: Path | None,
        registry: Registry | None,
    ) -> None:
        self.run, self.folder, self.device, self.announce = run, folder, device, announce
        self.data_folder, self.registry = data_folder, registry
        self.tokenizer = Tokenizer.load(Path(run.start_model))

    # --- attempts ---

    async def gather(self, stop: Callable[[], bool]) -> bool:
        """All attempts that are not there yet; False when it was stopped on the way."""
        model = weights.load_model(Path(self.run.start_model), device=self.device, dtype=torch.float32)
        async with self._policy(model) as host:
            before = await self._measure(host).figures(0, final=True)
            write_atomic(self.folder.path / BEFORE, json.dumps(before))
            with TrajectoryStore(self.folder.path / TRAJECTORIES, mode="append") as store:
                return await self._attempt(host, store, stop)

    async def _attempt(self, host: "_Host", store: TrajectoryStore, stop: Callable[[], bool]) -> bool:
        config = RolloutConfig(most_running=self.run.running)
        done = 0
        async with RolloutManager(
            host.models, config=config, pool=host.pool, store=store, folder=self.folder.path
        ) as manager:
            for request in self._requests(host.places):
                manager.submit(request)
            async for _ in manager.results():
                done += 1
                if done % 32 == 0 or done == self.run.tasks:
                    self.announce(f"attempted {done} of {self.run.tasks} tasks, {self.run.attempts} times each")
                if stop():
                    return False
        return True

    def _requests(self, places: Places) -> list[GroupRequest]:
        domains = places.domains(None)
        requests: list[GroupRequest] = []
        while len(requests) < self.run.tasks and (drawn := domains.draw(step=0)) is not None:
            episode = domains.episode(drawn, temperature=self.run.temperature)
            seed = key(self.run.seed, "rft/group", drawn.number) >> 66
            requests.append(GroupRequest(str(drawn.number), drawn.task, episode, self.run.attempts, seed=seed))
        return requests

    # --- examples ---

    def kept(self) -> KeptSources:
        """What is learned from. Raises DataError: nothing was right."""
        rules = dataclasses.replace(self.run.rules, row_length=self.run.row_length)
        with TrajectoryStore(self.folder.path / TRAJECTORIES, mode="read") as store:
            found = kept_samples(right_ones(store, rules), rules)
        if not found.samples:
            raise DataError(
                f"{self.run.name}: none of the attempts was worth {rules.least_reward:g}, so there is nothing to learn "
                "from; lower rules.least_reward, or take easier tasks"
            )
        tally = dict(sorted(found.tally.items()))
        write_atomic(self.folder.path / KEPT, json.dumps({"tally": tally, "names": found.names}, indent=1))
        self.announce("right attempts: " + ", ".join(f"{count} {fate}" for fate, count in tally.items()))
        return kept_sources(found.samples, part_length=self.run.row_length)

    # --- fine-tuning ---

    def learn(self, report: Callable[[StepReport], None], stop: Callable[[], bool]) -> bool:
        """The stage."""
        run, kept = self.run, self.kept()
        sources = [*kept.sources, *self._beside()]
        stage = self._stage(kept, sources)
        model = weights.load_model(Path(run.start_model), device=self.device, dtype=torch.float32)
        system = System(model, None, None)
        trainer = Trainer(
            system, (stage,), config=in_one_format(run.loop, torch.float32), seed=run.seed, folder=self.folder,
            tokenizer=self.tokenizer, open_loader=lambda stage, state: self._loader(stage, state, sources),
            evaluate=lambda *_, **__: {}, report=report, device=self.device,
            peak=measured_peak(self.device, torch.float32), fingerprint=run.fingerprint, announce=self.announce,
        )  # fmt: skip
        if trainer.resume():
            self.announce(f"going on from step {trainer.run_step} of {trainer.run_steps}")
        else:
            self.tokenizer.save(self.folder.tokenizer_path)
            self.folder.log("start", 0, device=str(self.device), dtype="torch.float32", kept=len(kept.sources))
            before = json.loads((self.folder.path / BEFORE).read_bytes())
            self.folder.log("evaluation", 0, stage=run.name, final=True, **named(before))
        if not trainer.train(stop):
            return False
        self._export(system.main)
        asyncio.run(self._measure_after(system.main))
        self.folder.log("finished", trainer.run_step, seconds=round(trainer.seconds, 1))
        return True

    def _beside(self) -> list[Source]:
        run, rules = self.run, read_config(Path(self.run.start_model)).rules
        return [
            SOURCES.source(
                name, self.tokenizer, rules=rules, part_length=run.row_length, seed=run.seed, folder=self.data_folder
            )
            for name in run.beside
        ]

    def _stage(self, kept: KeptSources, sources: list[Source]) -> Stage:
        run = self.run
        return Stage(
            name=STAGE, objective="language", trainable=("vision_tower", "mm_projector", "language_model"),
            steps=run.steps, row_length=run.row_length, rows=run.rows, micro_rows=run.micro_rows,
            mixture=self._mixture(kept, sources), schedule=run.schedule, augment=False,
        )  # fmt: skip

    def _mixture(self, kept: KeptSources, sources: list[Source]) -> Mixture:
        """Shares of tokens: what was kept as it is, and what stands beside it."""
        run = self.run
        own = {VISION: (1 - run.beside_share) * kept.vision, TEXT: (1 - run.beside_share) * (1 - kept.vision)}
        total = sum(run.beside.values())
        beside = {name: run.beside_share * weight / total for name, weight in run.beside.items()}
        shares = {source.name: own[source.domain] for source in kept.sources} | beside
        vision = sum(shares[source.name] for source in sources if source.domain == VISION)
        return constant(min(1.0, vision), weights=shares)

    def _loader(self, stage: Stage, state: Mapping[str, Any] | None, sources: list[Source]) -> Loader:
        settings: dict[str, Any] = {
            "row_length": stage.row_length,
            "seed": key(self.run.seed, f"data/{stage.name}") >> 66,
            "tokenizer": self.tokenizer.fingerprint,
        }
        if state is None:
            planner = Planner(sources, stage.mixture, **settings)
        else:
            planner = Planner.from_state(state, sources, stage.mixture, **settings)
        quarantine = Quarantine(self.folder.path / "quarantine", stage=stage.name)
        return Loader(planner, rows_per_batch=stage.rows, pad_id=self.tokenizer.pad, workers=1, quarantine=quarantine)

    def _export(self, model: K25) -> None:
        path = self.folder.path / MODEL_FOLDER
        weights.save(model, path, model.config, dtype=torch.float32, replace=True)
        self.tokenizer.save(path / "tiktoken.model")

    # --- measurements ---

    async def _measure_after(self, model: K25) -> None:
        async with self._policy(model) as host:
            await self._measure(host)(self.run.steps)

    def _measure(self, host: "_Host") -> RlMeasure:
        return RlMeasure(host.places.run, host.places, host.models, self.folder, pool=host.pool, announce=self.announce)

    @asynccontextmanager
    async def _policy(self, model: K25) -> AsyncIterator["_Host"]:
        """The model in an engine, beside the run's places."""
        run, places = self.run, Places(_as_rl(self.run), self.registry)
        try:
            async with (
                engine_of(model, self.tokenizer, cache_tokens=run.cache_tokens) as engine,
                rooms(min(run.running, MOST_ROOMS)) as pool,
            ):
                chat = chat_of(engine, self.tokenizer, model, context=run.row_length, seed=run.seed, name=run.name)
                yield _Host(places, {"live": chat, "frozen": chat}, pool)
        finally:
            await places.close()


class _Host(NamedTuple):
    """What attempts are made with."""

    places: Places
    models: Mapping[Policy, ChatModel | Sampler]
    pool: EnvironmentPool


def _as_rl(run: RftRun) -> RlRun:
    """What places and measurements read of a run."""
    return RlRun(
        name=run.name, about=run.about, hardware=run.hardware, places=run.places, domains=run.domains,
        measured=run.measured, steps=run.steps, running=run.running, evaluate_temperature=run.evaluate_temperature,
        seed=run.seed,
    )  # fmt: skip
