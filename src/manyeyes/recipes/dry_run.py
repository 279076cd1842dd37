"""`dry_run`: everything about a run that can be checked and counted without its weights, on the meta device.

The networks are built without memory, the optimiser takes its parameters, every source and environment is looked up by
its name, and what training needs is added up. So a configuration for a cluster can be tried on a laptop. Nothing is
multiplied: the arithmetic of a step is the same code at every size, and is tested at small ones.

Report: §4.1, §4.3, §4.4 (the stages at full size).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from manyeyes.agent.missing_package import MissingPackage
from manyeyes.agent.registry import Registry
from manyeyes.core.errors import ConfigError
from manyeyes.model.coca import CocaConfig, build_coca
from manyeyes.model.config import ModelConfig
from manyeyes.model.multimodal import build
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MUON, MuonClip
from manyeyes.recipes import recipe
from manyeyes.recipes.readiness import check_names
from manyeyes.recipes.rft_checks import check_rft
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_checks import check_rl, places_of
from manyeyes.recipes.rl_run import LEARNERS, RlRun
from manyeyes.recipes.rl_sources import require_place
from manyeyes.recipes.run import Run
from manyeyes.train.in_order import workers_for
from manyeyes.train.stages import Stage
from manyeyes.train.system import System

GIB, MIB = 1 << 30, 1 << 20
META, CPU = torch.device("meta"), torch.device("cpu")
_STATE = {True: 4, False: 8}
"""Bytes of optimiser state for a parameter: one fp32 moment under Muon, two under AdamW."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one stage or RL run needs and does.

    Attributes:
        name: of the stage, or of the run.
        parameters, trainable: of its networks.
        muon: trainable ones that Muon updates; AdamW has the rest.
        state_bytes: fp32 weights of all networks, gradients and optimiser state of the trainable ones.
        step_tokens: tokens of a step; for RL, those of its rows when every attempt fills one.
        steps: how many.
        aside_bytes: gradients that micro-batches which go side by side on a CPU hold beside those (`train.in_order`).
        engine_bytes: of RL: fp32 weights of the engines in this process, and their caches of latents.
    """

    name: str
    parameters: int
    trainable: int
    muon: int
    state_bytes: int
    step_tokens: int
    steps: int
    engine_bytes: int = 0
    aside_bytes: int = 0

    @property
    def line(self) -> str:
        """For people."""
        engines = f"; {_bytes(self.engine_bytes)} for engines and their caches" if self.engine_bytes else ""
        aside = f" (on a CPU {_bytes(self.aside_bytes)} more, `train.in_order`)" if self.aside_bytes else ""
        return (
            f"{self.name:<16} {self.parameters:>21,} parameters, {self.trainable:,} learn ({self.muon:,} by Muon); "
            f"{_bytes(self.state_bytes)} of weights, gradients and optimiser state{aside}{engines}; "
            f"{self.steps:,} steps of {self.step_tokens:,} tokens"
        )


def _bytes(count: int) -> str:
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / MIB:,.0f} MiB"


class Found(NamedTuple):
    """What a dry run found.

    Attributes:
        needs: of each stage.
        missing: packages that environments need and this machine has not.
    """

    needs: list[Need]
    missing: list[str]


def dry_run(run: Run | RlRun | RftRun, registry: Registry | None = None) -> Found:
    """What each stage of a run needs.

    Raises:
        ManyeyesError: whatever would end the run at its beginning, but for files, packages and checkpoints that are not
            there.
    """
    if isinstance(run, Run):
        return Found(list(_stages(run)), [])
    registry = registry or Registry()
    if isinstance(run, RlRun):
        check_rl(run, registry, tasks=False)
    else:
        check_rft(run, registry, tasks=False)
    missing = _missing(run, registry)
    return Found([_reinforcement(run) if isinstance(run, RlRun) else _rejection(run)], missing)


def model_of(run: Run | RlRun | RftRun) -> ModelConfig:
    """The configuration that a run trains: its own, or that of the recipe that it goes on from.

    Raises:
        ConfigError: it goes on from nothing that is known.
    """
    if isinstance(run, Run):
        return run.model
    if not run.after:
        raise ConfigError(f"{run.name} goes on from no recipe (`after`), so its model is not known before it runs")
    return model_of(recipe(run.after))


def _stages(run: Run) -> Iterator[Need]:
    check_names(run)
    for stage in run.started().stages:
        system = _system(run, stage)
        trainable = dict(system.named_parameters(stage.trainable))
        optimizer = MuonClip.from_named_parameters(trainable.items(), run.loop.optimizer)
        whole = sum(parameter.numel() for _, parameter in system.named_parameters())
        yield _need(stage.name, whole, optimizer, stage.rows * stage.row_length, stage.steps)


def _system(run: Run, stage: Stage) -> System:
    """The networks of a stage, without memory."""
    coca = build_coca(CocaConfig.beside(run.model), device=META) if stage.objective == "coca" else None
    align = None if run.align is None or stage.language == "main" else build(run.align, device=META)
    return System(build(run.model, device=META), align, coca)


def _missing(run: RlRun | RftRun, registry: Registry) -> list[str]:
    """Packages of environments that are not installed; names and options that are wrong are raised."""
    missing: list[str] = []
    for spec, split in places_of(run if isinstance(run, RlRun) else run.as_rl()):
        try:
            require_place(registry, spec, split)
        except MissingPackage as error:
            missing.append(str(error))
    return list(dict.fromkeys(missing))


def _reinforcement(run: RlRun) -> Need:
    tokens = run.groups * run.attempts * run.row_length
    return _learned(run, run.optimizer, tokens, engines=(not run.engine) + run.has_frozen)


def _rejection(run: RftRun) -> Need:
    return _learned(run, run.loop.optimizer, run.rows * run.row_length, engines=1)


def _learned(run: RlRun | RftRun, optimizer: MuonClipConfig, tokens: int, *, engines: int) -> Need:
    config = model_of(run)
    if run.row_length > (longest := _context(run)):
        raise ConfigError(
            f"{run.name}: rows of {run.row_length} tokens are longer than the model's context of {longest}"
        )
    parameters = dict(build(config, device=META).named_parameters())
    learners = run.trainable if isinstance(run, RlRun) else LEARNERS
    for name, parameter in parameters.items():
        parameter.requires_grad_(name.partition(".")[0] in learners)
    whole = sum(parameter.numel() for parameter in parameters.values())
    need = _need(run.name, whole, MuonClip.from_named_parameters(parameters.items(), optimizer), tokens, run.steps)
    return replace(need, engine_bytes=engines * 4 * (whole + _cached(config) * run.cache_tokens))


def _cached(config: ModelConfig) -> int:
    """Numbers that an engine's cache holds of a token (`inference.latent_store`)."""
    return config.text.num_hidden_layers * (config.text.kv_lora_rank + config.text.qk_rope_head_dim)


def _context(run: Run | RlRun | RftRun) -> int:
    """The longest context that a run or one before it makes."""
    own = [stage.context for stage in run.stages] if isinstance(run, Run) else []
    before = _context(recipe(run.after)) if run.after else 0
    here = run.model.text.max_position_embeddings if isinstance(run, Run) and not run.after else 0
    return max([*own, before, here])


def _need(name: str, whole: int, optimizer: MuonClip, tokens: int, steps: int) -> Need:
    counts = {True: 0, False: 0}
    for group in optimizer.param_groups:
        counts[group["kind"] == MUON] += sum(parameter.numel() for parameter in group["params"])
    trainable = sum(counts.values())
    state = 4 * whole + 4 * trainable + sum(_STATE[muon] * count for muon, count in counts.items())
    workers = workers_for(CPU, trained=(one for group in optimizer.param_groups for one in group["params"]))
    aside = 4 * trainable * workers if workers > 1 else 0
    return Need(name, whole, trainable, counts[True], state, tokens, steps, aside_bytes=aside)
