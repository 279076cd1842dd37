"""One process, one run: trains the run whose configuration lies in a folder, or goes on with it.

    python -m manyeyes.recipes.reproduce.worker FOLDER

A parent starts it and reads the folder's log; `one_process` says how it ends.
"""

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch

from manyeyes.core.runlog import RunFolder
from manyeyes.core.seeds import key
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.caption_cap import within_caps
from manyeyes.data.loader import LoadedBatch, Loader
from manyeyes.data.plan import Planner
from manyeyes.data.quarantine import Quarantine
from manyeyes.data.registry import REGISTRY
from manyeyes.data.source import DOMAINS
from manyeyes.model import checkpoint as weights
from manyeyes.model.coca import CocaConfig
from manyeyes.recipes.execute import compute_dtype, in_one_format
from manyeyes.recipes.reproduce.one_process import one_process
from manyeyes.recipes.reproduce.table1 import Budget
from manyeyes.recipes.reproduce.table1_scores import Table1Scores
from manyeyes.recipes.run import Run
from manyeyes.train.loop import Trainer
from manyeyes.train.stages import Stage
from manyeyes.train.system import System

NO_PEAK = math.inf
"""Nobody reads the MFU of these runs, so the machine is not measured; it logs as 0."""


def work(folder: RunFolder, stop: Callable[[], bool]) -> bool:
    """Train to the end, if that is not done yet."""
    return bool(folder.metrics("finished")) or train(folder, stop=stop)


def train(folder: RunFolder, *, stop: Callable[[], bool]) -> bool:
    """Train the folder's run from wherever it stands; True when it is finished.

    Raises:
        ManyeyesError: the configuration is of another version, or the ViT's checkpoint is missing.
    """
    config = folder.config()
    run, budget = Run.from_json(config["run"]), msgspec.convert(config["budget"], Budget)
    tokenizer, device = Tokenizer.tiny(), torch.device("cpu")
    coca = CocaConfig.beside(run.model) if any(stage.objective == "coca" for stage in run.stages) else None
    dtype = compute_dtype(run, folder, device)
    system = System.build(run.model, None, coca, seed=run.seed, device=device, compute_dtype=dtype)
    sources = _Sources(run, tokenizer, folder)
    trainer = Trainer(
        system, run.stages, config=in_one_format(run.loop, dtype), seed=run.seed, folder=folder, tokenizer=tokenizer,
        open_loader=sources.loader, evaluate=Table1Scores(run, budget, tokenizer, drawn=sources.drawn),
        report=lambda step: None, device=device, peak=NO_PEAK, fingerprint=run.fingerprint, announce=print,
    )  # fmt: skip
    if not trainer.resume() and run.start_vision:
        weights.load_into(system.main, folder.path / run.start_vision, only=("vision_tower.",))
    if not trainer.train(stop):
        return False
    weights.save(system.main, folder.path / "model", system.main.config, dtype=torch.float32, replace=True)
    folder.log("finished", trainer.run_step, seconds=round(trainer.seconds, 1), **sources.drawn)
    return True


class _Sources:
    """Opens loaders, and knows how many tokens of each domain they have drawn."""

    def __init__(self, run: Run, tokenizer: Tokenizer, folder: RunFolder) -> None:
        self.run, self.tokenizer, self.folder = run, tokenizer, folder
        self.drawn: dict[str, int] = {domain: 0 for domain in DOMAINS}

    def loader(self, stage: Stage, state: Mapping[str, Any] | None) -> "_Counted":
        sources = [
            REGISTRY.source(
                name, self.tokenizer, rules=self.run.model.rules, part_length=stage.row_length, seed=self.run.seed,
                augmentation=self.run.augmentation if stage.augment else None,
            )
            for name in stage.sources
        ]  # fmt: skip
        settings: dict[str, Any] = {
            "row_length": stage.row_length,
            "seed": key(self.run.seed, f"data/{stage.name}") >> 66,
            "tokenizer": self.tokenizer.fingerprint,
        }
        mixture = within_caps(stage.mixture, [REGISTRY[name] for name in stage.sources])
        if state is None:
            planner = Planner(sources, mixture, **settings)
        else:
            planner = Planner.from_state(state, sources, mixture, **settings)
        quarantine = Quarantine(self.folder.path / "quarantine", stage=stage.name)
        return _Counted(
            planner, rows_per_batch=stage.rows, pad_id=self.tokenizer.pad, quarantine=quarantine, drawn=self.drawn
        )


class _Counted(Loader):
    """A loader that keeps `drawn` up to date."""

    def __init__(
        self, planner: Planner, *, rows_per_batch: int, pad_id: int, quarantine: Quarantine, drawn: dict[str, int]
    ) -> None:
        super().__init__(planner, rows_per_batch=rows_per_batch, pad_id=pad_id, workers=1, quarantine=quarantine)
        self._drawn = drawn

    def __next__(self) -> LoadedBatch:
        loaded = super().__next__()
        for domain in self._drawn:
            of_domain = [tokens for kind, _, _, tokens in loaded.state["sources"].values() if kind == domain]
            self._drawn[domain] = sum(of_domain)
        return loaded


if __name__ == "__main__":
    one_process(Path(sys.argv[1]), work, threads=1)
