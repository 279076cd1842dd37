"""Where a run is wired: sources to planner to loader, networks to trainer, held-out sets to figures, weights to disk.

`execute` starts a run or goes on with one, whatever ended it; the same call always finishes the same work. A resumed
run keeps the configuration it began with, but for one thing that may be changed on purpose: the mixtures.

Report: App. C.1 (ratios are adjusted on demand; an interrupted run goes on exactly).
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.seeds import key
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.caption_cap import within_caps
from manyeyes.data.loader import Loader
from manyeyes.data.plan import Planner
from manyeyes.data.quarantine import Quarantine
from manyeyes.data.source import Source
from manyeyes.data.text_only import TextOnly
from manyeyes.model import checkpoint as weights
from manyeyes.model.coca import CocaConfig
from manyeyes.model.precision import default_dtype
from manyeyes.recipes.evaluation import Evaluation
from manyeyes.recipes.mixture_change import refuse_past_changes
from manyeyes.recipes.readiness import check_names
from manyeyes.recipes.rl_machine import compare_start
from manyeyes.recipes.run import Run
from manyeyes.recipes.sources import SOURCES
from manyeyes.recipes.starting_model import MODEL_FOLDER
from manyeyes.recipes.starting_points import start_from
from manyeyes.recipes.vocabularies import vocabulary_of
from manyeyes.train.flops import measured_peak
from manyeyes.train.loop import Trainer
from manyeyes.train.meter import StepReport
from manyeyes.train.stages import LoopConfig, Stage
from manyeyes.train.system import System


def execute(
    run: Run,
    folder: RunFolder,
    *,
    device: torch.device,
    report: Callable[[StepReport], None] = lambda step: None,
    announce: Callable[[str], None] = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
    data_folder: Path | None = None,
    change_mixture: bool = False,
) -> bool:
    """Train a run to its end, from wherever it stands; True when it is finished.

    Args:
        report: called after each step.
        announce: called with a line when something else happens (a stage begins, an evaluation is done).
        stop: asked after each step; True saves and returns.
        data_folder: where fetched data lies.
        change_mixture: let `run` have other mixtures than the folder's run began with; it goes on from where it stands,
            no sample is repeated and none skipped. Once the planner of the stage that it stands in has accepted
            its own, the folder's `config.json` holds all the new ones.

    Raises:
        ConfigError: the folder holds a run of another configuration; a changed mixture names an unknown source or is
            that of a stage that is over. The folder stays as it was.
        DataError: the planner cannot go on with a changed mixture. The folder stays as it was.
        CheckpointError: no checkpoint can be read, or none can be written.
    """
    if run.replaced:
        announce(f"skipped, a checkpoint takes its place: stage {', '.join(run.replaced)}")
    run = run.started()
    changed = settle(run, folder, change_mixture=change_mixture)
    tokenizer = vocabulary_of(run, folder, data_folder=data_folder, announce=announce)
    dtype = compute_dtype(run, folder, device)
    peak = measured_peak(device, dtype)
    coca = CocaConfig.beside(run.model) if any(stage.objective == "coca" for stage in run.stages) else None
    system = System.build(run.model, run.align, coca, seed=run.seed, device=device, compute_dtype=dtype)
    sources = _Sources(run, tokenizer, folder, data_folder)
    evaluation = Evaluation(run, tokenizer, folder, announce=announce, data_folder=data_folder)
    trainer = Trainer(
        system,
        run.stages,
        config=in_one_format(run.loop, dtype),
        seed=run.seed,
        folder=folder,
        tokenizer=tokenizer,
        open_loader=sources.loader,
        evaluate=evaluation,
        report=report,
        device=device,
        peak=peak,
        fingerprint=run.core_fingerprint,
        announce=announce,
        accepted=(lambda: folder.write_config(run.to_json())) if changed else (lambda: None),
        gone_on=lambda: compare_machine(trainer, announce),
    )
    if trainer.resume():
        refuse_past_changes(Run.from_json(folder.config()).started(), run, current=trainer.stage_number)
        announce(f"going on from step {trainer.run_step} of {trainer.run_steps}")
    else:
        start_from(run, system)
        folder.log("start", 0, peak=peak, device=str(device), dtype=str(dtype), threads=torch.get_num_threads())
    if not trainer.train(stop):
        return False
    export(run, system, tokenizer, folder)
    folder.log("finished", trainer.run_step, seconds=round(trainer.seconds, 1))
    return True


def compare_machine(trainer: Trainer, announce: Callable[[str], None]) -> None:
    """Where there is something left to compute: say what last bits depend on and is not as it was."""
    if trainer.run_step < trainer.run_steps:
        here = {"device": str(trainer.device), "threads": torch.get_num_threads()}
        compare_start(trainer.folder, trainer.run_step, announce, **here)


def settle(run: Run, folder: RunFolder, *, change_mixture: bool) -> bool:
    """Whether the run's mixtures differ from those that the folder's run has, and may; writes nothing.

    Raises:
        ConfigError: the folder's run is another one, or the change names an unknown source.
    """
    began = Run.from_json(folder.config()).started()
    if began.fingerprint == run.fingerprint:
        return False
    if began.core_fingerprint != run.core_fingerprint:
        raise ConfigError(
            f"{folder.path} holds a run of another configuration; use the settings it began with, or another folder"
        )
    if not change_mixture:
        raise ConfigError(
            f"{folder.path} holds this run with another mixture; to go on with the new one, say --change-mixture"
        )
    check_names(run)
    return True


def compute_dtype(run: Run, folder: RunFolder, device: torch.device) -> torch.dtype:
    """The format that the run began in; at its start the one that its configuration names, or the device's own."""
    began = folder.metrics("start")
    if began:
        return getattr(torch, str(began[-1].values["dtype"]).removeprefix("torch."))
    return default_dtype(device) if run.loop.compute == "auto" else getattr(torch, run.loop.compute)


def in_one_format(loop: LoopConfig, dtype: torch.dtype) -> LoopConfig:
    """The loop with Newton-Schulz in the run's own format, unless its configuration names one."""
    if loop.optimizer.ns_dtype != "auto":
        return loop
    name = "bfloat16" if dtype == torch.bfloat16 else "float32"
    return dataclasses.replace(loop, optimizer=dataclasses.replace(loop.optimizer, ns_dtype=name))


def export(run: Run, system: System, tokenizer: Tokenizer, folder: RunFolder) -> Path:
    """The finished model in the official layout: config.json, safetensors with official names, the vocabulary."""
    path = folder.path / MODEL_FOLDER
    weights.save(system.main, path, system.main.config, dtype=torch.float32, replace=True)
    tokenizer.save(path / "tiktoken.model")
    return path


class _Sources:
    """Opens a stage's loader; collections are opened once and kept."""

    def __init__(self, run: Run, tokenizer: Tokenizer, folder: RunFolder, data_folder: Path | None) -> None:
        self.run, self.tokenizer, self.folder, self.data_folder = run, tokenizer, folder, data_folder
        self._opened: dict[tuple[str, int, bool, bool], Source] = {}

    def loader(self, stage: Stage, state: Mapping[str, Any] | None) -> Loader:
        seed = key(self.run.seed, f"data/{stage.name}") >> 66
        sources = [self._source(name, stage) for name in stage.sources]
        mixture = within_caps(stage.mixture, [SOURCES[name] for name in stage.sources])
        settings: dict[str, Any] = {
            "row_length": stage.row_length,
            "seed": seed,
            "tokenizer": self.tokenizer.fingerprint,
        }
        if state is None:
            planner = Planner(sources, mixture, **settings)
        else:
            planner = Planner.from_state(state, sources, mixture, **settings, allow=("sources",))
        quarantine = Quarantine(self.folder.path / "quarantine", stage=stage.name)
        return Loader(planner, rows_per_batch=stage.rows, pad_id=self.tokenizer.pad, workers=1, quarantine=quarantine)

    def _source(self, name: str, stage: Stage) -> Source:
        """A source of a stage; in a stage that never asks for vision every sample is looked at (`data.text_only`)."""
        wanted = (name, stage.row_length, stage.augment, stage.text_only)
        if wanted not in self._opened:
            source = SOURCES.source(
                name,
                self.tokenizer,
                rules=self.run.model.rules,
                part_length=stage.row_length,
                seed=self.run.seed,
                augmentation=self.run.augmentation if stage.augment else None,
                folder=self.data_folder,
            )
            self._opened[wanted] = TextOnly(source, self.tokenizer) if stage.text_only else source
        return self._opened[wanted]
