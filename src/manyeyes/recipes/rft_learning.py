"""The second half of an RFT run: one stage of fine-tuning on what was kept, beside what must not be forgotten.

Report: §2.3, §4.4.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from manyeyes.core.runlog import RunFolder
from manyeyes.core.seeds import key
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.loader import Loader
from manyeyes.data.mixture import Mixture, constant
from manyeyes.data.plan import Planner
from manyeyes.data.quarantine import Quarantine
from manyeyes.data.source import TEXT, VISION, Source
from manyeyes.model import checkpoint as weights
from manyeyes.model.checkpoint_folder import read_config
from manyeyes.model.multimodal import K25
from manyeyes.recipes.execute import compare_machine, in_one_format
from manyeyes.recipes.held_out import named
from manyeyes.recipes.kept_source import KeptSources
from manyeyes.recipes.rft_attempts import ATTEMPTS, measured_before
from manyeyes.recipes.rft_examples import Examples
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_run import LEARNERS
from manyeyes.recipes.sources import SOURCES
from manyeyes.recipes.starting_model import MODEL_FOLDER
from manyeyes.train.flops import measured_peak
from manyeyes.train.loop import Trainer
from manyeyes.train.meter import StepReport
from manyeyes.train.stages import Stage
from manyeyes.train.system import System

STAGE = "rft"


class Learning:
    """The stage, from wherever the run stands.

    Args:
        examples: what was kept.
        data_folder: where fetched data lies.
    """

    def __init__(
        self,
        run: RftRun,
        folder: RunFolder,
        examples: Examples,
        tokenizer: Tokenizer,
        *,
        device: torch.device,
        data_folder: Path | None,
    ) -> None:
        self.run, self.folder, self.examples, self.tokenizer = run, folder, examples, tokenizer
        self.device, self.seconds = device, 0.0
        self.sources: list[Source] = [*examples.sources.sources, *self._beside(data_folder)]
        self.stage = stage_of(run, mixture_of(run, examples.sources, self.sources))

    def train(
        self, report: Callable[[StepReport], None], announce: Callable[[str], None], stop: Callable[[], bool]
    ) -> K25 | None:
        """The model at the end, which is exported; None when it was stopped on the way."""
        run = self.run
        model = weights.load_model(Path(run.start_model), device=self.device, dtype=torch.float32)
        peak = measured_peak(self.device, torch.float32)
        trainer = Trainer(
            System(model, None, None), (self.stage,), config=in_one_format(run.loop, torch.float32), seed=run.seed,
            folder=self.folder, tokenizer=self.tokenizer, open_loader=self._loader, evaluate=lambda *_, **__: {},
            report=report, device=self.device, peak=peak, fingerprint=run.fingerprint, announce=announce,
            gone_on=lambda: compare_machine(trainer, announce),
        )  # fmt: skip
        if trainer.resume():
            announce(f"going on from step {trainer.run_step} of {trainer.run_steps}")
        else:
            self.tokenizer.save(self.folder.tokenizer_path)
            self._note_start(peak)
        if not trainer.train(stop):
            return None
        self.seconds = trainer.seconds
        self._export(model)
        return model

    def _note_start(self, peak: float) -> None:
        """The log begins anew with what the first half came to."""
        self.folder.log(
            "start", 0, device=str(self.device), dtype="torch.float32", threads=torch.get_num_threads(), peak=peak
        )
        places = json.loads((self.folder.path / ATTEMPTS).read_bytes())["places"]
        self.folder.log("rft", 0, **self.examples.figures, places=places)
        if before := measured_before(self.run, self.folder):
            self.folder.log("evaluation", 0, stage=self.run.name, final=True, **named(before))

    def _beside(self, folder: Path | None) -> list[Source]:
        run, rules = self.run, read_config(Path(self.run.start_model)).rules
        names = run.beside if run.beside_share > 0 else {}
        return [
            SOURCES.source(name, self.tokenizer, rules=rules, part_length=run.row_length, seed=run.seed, folder=folder)
            for name in names
        ]

    def _loader(self, stage: Stage, state: Mapping[str, Any] | None) -> Loader:
        settings: dict[str, Any] = {
            "row_length": stage.row_length,
            "seed": key(self.run.seed, f"data/{stage.name}") >> 66,
            "tokenizer": self.tokenizer.fingerprint,
        }
        if state is None:
            planner = Planner(self.sources, stage.mixture, **settings)
        else:
            planner = Planner.from_state(state, self.sources, stage.mixture, **settings)
        quarantine = Quarantine(self.folder.path / "quarantine", stage=stage.name)
        return Loader(planner, rows_per_batch=stage.rows, pad_id=self.tokenizer.pad, workers=1, quarantine=quarantine)

    def _export(self, model: K25) -> None:
        path = self.folder.path / MODEL_FOLDER
        weights.save(model, path, model.config, dtype=torch.float32, replace=True)
        self.tokenizer.save(path / "tiktoken.model")


def stage_of(run: RftRun, mixture: Mixture) -> Stage:
    """The run as a stage of fine-tuning."""
    return Stage(
        name=STAGE, objective="language", trainable=LEARNERS, steps=run.steps, row_length=run.row_length,
        rows=run.rows, micro_rows=run.micro_rows, mixture=mixture, schedule=run.schedule, augment=False,
    )  # fmt: skip


def mixture_of(run: RftRun, kept: KeptSources, sources: list[Source]) -> Mixture:
    """Shares of tokens: what was kept as it is, and what stands beside it."""
    own = {VISION: (1 - run.beside_share) * kept.vision, TEXT: (1 - run.beside_share) * (1 - kept.vision)}
    total = sum(run.beside.values())
    names = run.beside if run.beside_share > 0 else {}
    beside = {name: run.beside_share * weight / total for name, weight in names.items()}
    shares = {source.name: own[source.domain] for source in kept.sources} | beside
    vision = sum(shares[source.name] for source in sources if source.domain == VISION)
    return constant(min(1.0, vision), weights=shares)
