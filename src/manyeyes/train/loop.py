"""The loop: stage after stage, step after step, with checkpoints that a kill cannot hurt.

    for stage in stages:            enter (freeze, reset, context, optimiser with carried momentum, loader at cursor)
        for batch in loader:        learn → clip gradient → MuonClip step → QK-Clip → balancing bias → log
            now and then:           evaluate on held-out data, save a checkpoint

A record that cannot be read is logged; the first few of a stage are announced. A finite mixture that is used up ends
its stage early. A gradient that is not finite ends the run before anything is stepped or saved.
A stop request (Ctrl-C, SIGTERM) is honoured after the step that is under way, and saved. `evaluate`, `report` and
`announce` are callbacks that a recipe wires; nothing here knows what is evaluated or how progress is shown.

Report: §4.3 and table 3 (stages and what is carried over), App. C.1 (seamless resume).
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any, Protocol

import torch
from torch import Tensor

from manyeyes.core.errors import CheckpointError, ManyeyesError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.seeds import torch_seed
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.loader import LoadedBatch, Loader
from manyeyes.data.mixture import Mixture
from manyeyes.optim.muonclip import MuonClip, clip_gradient_norm
from manyeyes.train import checkpoint
from manyeyes.train.meter import StepReport, expert_load, largest, step_flops
from manyeyes.train.objectives import Learned, learn_language, learn_pairs
from manyeyes.train.stages import LoopConfig, Stage
from manyeyes.train.system import System

ANNOUNCED = 3
"""Replaced records of a stage that are announced one by one; of the others only the count, at its end."""


class Evaluate(Protocol):
    """Scores the networks on held-out data; the figures go to the log. `final` is True at a stage's end."""

    def __call__(self, system: System, stage: Stage, *, run_step: int, final: bool) -> Mapping[str, Any]:
        """Figures by name."""
        ...


OpenLoader = Callable[[Stage, Mapping[str, Any] | None], AbstractContextManager[Loader]]
"""A loader for a stage, at the planner state of a checkpoint or at its beginning."""


class Trainer:
    """Runs stages over a system, in a run folder.

    Args:
        seed: of the run; components that a stage resets draw from it.
        fingerprint: identifies what may not change during the run; a checkpoint of another one is refused.
        peak: operations a second of this machine, for MFU.
        announce: called with a line when a record is replaced or a stage ends early.
        accepted: called once, when the loader of the stage in which training begins or goes on has opened; nothing in
            the folder of a resumed run changes before.
        gone_on: called once behind it where a run goes on, when its log is that of its checkpoint.
    """

    def __init__(
        self,
        system: System,
        stages: tuple[Stage, ...],
        *,
        config: LoopConfig,
        seed: int,
        folder: RunFolder,
        tokenizer: Tokenizer,
        open_loader: OpenLoader,
        evaluate: Evaluate,
        report: Callable[[StepReport], None],
        device: torch.device,
        peak: float,
        fingerprint: str,
        announce: Callable[[str], None] = lambda line: None,
        accepted: Callable[[], None] = lambda: None,
        gone_on: Callable[[], None] = lambda: None,
    ) -> None:
        self.system, self.stages, self.config, self.seed, self.folder = system, stages, config, seed, folder
        self.tokenizer, self.open_loader, self.evaluate, self.report = tokenizer, open_loader, evaluate, report
        self.device, self.peak, self.fingerprint = device, peak, fingerprint
        self.announce, self.accepted, self.gone_on = announce, accepted, gone_on
        self.stage_number = 0
        self.step = 0
        self.seconds = 0.0
        self._planner_state: Mapping[str, Any] | None = None
        self._momentum: dict[str, Tensor] = {}
        self._saved: Mapping[str, Any] | None = None
        self._begun = False
        self._replaced = 0

    @property
    def run_step(self) -> int:
        """Optimiser steps since the run began."""
        return sum(stage.steps for stage in self.stages[: self.stage_number]) + self.step

    @property
    def run_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return sum(stage.steps for stage in self.stages)

    def resume(self) -> bool:
        """Go to the newest checkpoint, if there is one. `train` makes the log forget what was written after it, but not
        before the planner has accepted the stage's mixture.

        Raises:
            CheckpointError: checkpoints exist but cannot be read, or belong to another configuration or vocabulary.
        """
        saved = checkpoint.load_newest(self.folder.checkpoints, fingerprint=self.fingerprint)
        if saved is None:
            self.folder.rewind(0)
            return False
        self._require_vocabulary(saved.state)
        self.system.load(saved.weights)
        self._momentum = saved.optimizer
        self.stage_number, self.step = saved.state["stage"], saved.state["step"]
        self.seconds = saved.state["seconds"]
        self._planner_state = saved.state["planner"]
        for stage in self.stages[: self.stage_number]:
            self._set_context(stage)
        self._saved = saved.state
        return True

    def train(self, stop: Callable[[], bool]) -> bool:
        """Train to the end, or until `stop()`; True when the run is finished."""
        while self.stage_number < len(self.stages):
            if not self._run_stage(self.stages[self.stage_number], stop):
                return False
            self.stage_number += 1
            self.step = 0
            self._planner_state = None
            self._save()
            if self.stage_number < len(self.stages) and stop():
                return False
        self._begin()
        return True

    def _require_vocabulary(self, state: Mapping[str, Any]) -> None:
        """The embedding is nothing without the vocabulary it was trained with."""
        if state.get("tokenizer", self.tokenizer.fingerprint) != self.tokenizer.fingerprint:
            raise CheckpointError(
                f"{self.folder.tokenizer_path} is not the vocabulary that the checkpoints in {self.folder.checkpoints} "
                "were trained with; bring it back, or start anew with --fresh"
            )

    def _begin(self) -> None:
        """Once, when nothing can be refused any more: the log becomes that of the checkpoint, to be gone on with."""
        if self._begun:
            return
        self._begun = True
        self.accepted()
        if self._saved is not None:
            self.folder.rewind(self._saved["log"])
            self._note_mixture(self._saved["mixture"])
            self.gone_on()

    def _note_mixture(self, before: dict[str, Any] | None) -> None:
        """Ratios may change at a resume (the planner goes on without repeat or skip); the log says where."""
        now = self._mixture()
        if now is not None and now != before:
            stage = self.stages[self.stage_number].name
            self.folder.log("mixture", self.run_step, stage=stage, before=before, now=now)

    def _mixture(self) -> dict[str, Any] | None:
        """The current stage's mixture as plain data; None when the run is finished."""
        running = self.stage_number < len(self.stages)
        return plain(self.stages[self.stage_number].mixture) if running else None

    def _run_stage(self, stage: Stage, stop: Callable[[], bool]) -> bool:
        optimizer = self._enter(stage)
        with self.open_loader(stage, self._planner_state) as loader:
            self._begin()
            while self.step < stage.steps:
                started = time.perf_counter()
                loaded = next(loader, None)
                if loaded is None:
                    self._end_early(stage)
                    break
                self._step(stage, optimizer, loaded, started)
                self._planner_state = loaded.state
                last = self.step == stage.steps
                if last or (stage.evaluate_every and self.step % stage.evaluate_every == 0):
                    self._evaluate(stage, final=last)
                stopping = stop() and not last
                if stopping or (self.step % self.config.checkpoint_every == 0 and not last):
                    self._momentum |= optimizer.named_state()
                    self._save()
                if stopping:
                    return False
        self._count_failures(stage)
        self._momentum |= optimizer.named_state()
        return True

    def _end_early(self, stage: Stage) -> None:
        """The stage's finite mixture is used up; later stages keep their step numbers."""
        self.announce(
            f"{stage.name}: its data is used up after {self.step} of {stage.steps} steps, so the stage ends here; "
            f"with stages.{stage.name}.steps={self.step} its learning rate would come to its end too"
        )
        self.folder.log("used_up", self.run_step, stage=stage.name, stage_step=self.step)
        self._evaluate(stage, final=True)

    def _enter(self, stage: Stage) -> MuonClip:
        """Freeze, reset, set the context, and give the optimiser the momentum of what went on learning."""
        if self.step == 0:
            for component in stage.reset:
                self.system.reset(component, seed=torch_seed(self.seed, f"reset/{stage.name}"))
                self._momentum = {n: t for n, t in self._momentum.items() if not n.startswith(component + ".")}
        self._replaced = 0
        self._set_context(stage)
        self.system.train_only(stage.trainable)
        optimizer = MuonClip.from_named_parameters(
            self.system.named_parameters(stage.trainable), self.config.optimizer, model=self.system.model_of(stage)
        )
        optimizer.load_named_state(self._momentum)
        self._momentum |= optimizer.named_state()  # not held twice
        return optimizer

    def _set_context(self, stage: Stage) -> None:
        if stage.context:
            model = self.system.model_of(stage)
            model.set_context(
                model.config.with_context(stage.context, factor=stage.yarn_factor, original=stage.yarn_original)
            )

    def _step(self, stage: Stage, optimizer: MuonClip, loaded: LoadedBatch, started: float) -> None:
        self._note_failures(stage, loaded)
        optimizer.zero_grad(set_to_none=True)
        learned = self._learn(stage, loaded)
        norm = clip_gradient_norm(optimizer.parameters(), self.config.gradient_norm)
        self._require_finite(stage, norm)
        rate = stage.schedule.at(self.step, stage.steps)
        optimizer.set_learning_rate(rate)
        optimizer.step()
        clipped = self._balance_and_clip(stage, optimizer, learned)
        self.step += 1
        seconds = time.perf_counter() - started
        self.seconds += seconds
        batch = loaded.batch
        flops = step_flops(batch, stage, self.system.model_of(stage).config)
        self._log(
            loaded,
            StepReport(
                stage=stage.name,
                step=self.step,
                steps=stage.steps,
                run_step=self.run_step,
                run_steps=self.run_steps,
                tokens=batch.tokens,
                seconds=seconds,
                mfu=flops / seconds / self.peak,
                parts=learned.parts,
                max_logit=largest(learned.max_logit_LH),
                clipped=clipped,
                load=expert_load(learned.expert_counts_LE),
                learning_rate=rate,
                gradient_norm=norm,
                fill=batch.fill,
            ),
        )

    def _require_finite(self, stage: Stage, norm: float) -> None:
        """One NaN would spread over all weights, and later checkpoints would take the place of the good ones."""
        if not math.isfinite(norm):
            raise ManyeyesError(
                f"{stage.name}, step {self.run_step + 1}: the gradient is not finite (norm {norm}), so nothing was "
                "stepped or saved and the last checkpoint is intact; if it comes back after a resume, begin in another "
                f"folder with stages.{stage.name}.schedule.peak below {stage.schedule.peak:g} or loop.compute=float32"
            )

    def _note_failures(self, stage: Stage, loaded: LoadedBatch) -> None:
        step = self.run_step + 1
        for failure in loaded.failures:
            self._replaced += 1
            if self._replaced <= ANNOUNCED:
                self.announce(f"{stage.name}, step {step}: a record was replaced by padding: {failure.reason}")
            self.folder.log("quarantine", step, **(failure._asdict() | {"stage": stage.name}))

    def _count_failures(self, stage: Stage) -> None:
        if self._replaced > ANNOUNCED:
            self.announce(
                f"{stage.name}: {self._replaced:,} records were replaced by padding; quarantine/ in the run folder "
                "says which and why"
            )

    def _learn(self, stage: Stage, loaded: LoadedBatch) -> Learned:
        model = self.system.model_of(stage)
        if stage.objective == "coca":
            return learn_pairs(
                model,
                self.system.text_decoder,
                loaded.batch,
                self.tokenizer,
                siglip_weight=stage.siglip_weight,
                caption_weight=stage.caption_weight,
                device=self.device,
            )
        return learn_language(
            model,
            loaded.batch,
            micro_rows=stage.micro_rows,
            clip_threshold=self.config.optimizer.clip_threshold,
            device=self.device,
        )

    def _balance_and_clip(self, stage: Stage, optimizer: MuonClip, learned: Learned) -> int:
        if learned.expert_counts_LE is None or learned.max_logit_LH is None:
            return 0
        backbone = self.system.model_of(stage).language_model.model
        backbone.update_router_bias(learned.expert_counts_LE, stage.bias_rate)
        return optimizer.clip(learned.max_logit_LH)

    def _log(self, loaded: LoadedBatch, step: StepReport) -> None:
        self.folder.log("train", step.run_step, **step.figures, samples=digest(loaded.batch.names))
        self.report(step)

    def _evaluate(self, stage: Stage, *, final: bool) -> None:
        with torch.no_grad():
            figures = self.evaluate(self.system, stage, run_step=self.run_step, final=final)
        if figures:
            self.folder.log("evaluation", self.run_step, stage=stage.name, final=final, **figures)

    def _save(self) -> None:
        state = {
            "stage": self.stage_number,
            "step": self.step,
            "seconds": self.seconds,
            "planner": self._planner_state,
            "mixture": self._mixture(),
            "log": self.folder.position,
            "fingerprint": self.fingerprint,
            "tokenizer": self.tokenizer.fingerprint,
        }
        checkpoint.save(
            self.folder.checkpoints, self.run_step, state=state, weights=self.system.tensors(), optimizer=self._momentum
        )


def digest(names: tuple[tuple[str, ...], ...]) -> str:
    """A short hash of a step's sample names in order: two runs that saw the same data agree in it."""
    return hashlib.blake2b(repr(names).encode(), digest_size=8).hexdigest()


def plain(mixture: Mixture) -> dict[str, Any]:
    """A mixture as JSON gives it back."""
    return json.loads(json.dumps(asdict(mixture)))
