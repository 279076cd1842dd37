"""A run is a list of stages; a stage is data: what learns, from which mixture, at which length, under which loss.

Stages of the report (§4.3, table 3) and what they become here:

    text base      language model alone, next token                                (the role of Kimi K2)
    vit            MoonViT-3D + a CoCa text decoder: SigLIP + caption loss          (CoCa)
    vit_align      MoonViT-3D + projector into a small frozen language model,
                   caption loss only                                               (the role of Moonlight-16B-A3B)
    projector      a new projector into the big language model, nothing else learns
    joint          everything, constant vision ratio
    long context   everything, YaRN, two lengths

State that a stage does not reset is carried over: weights, momentum of parameters that go on learning, expert biases.
This module imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from manyeyes.core.errors import ConfigError
from manyeyes.data.mixture import Mixture
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.schedule import Schedule

Component = Literal[
    "vision_tower", "mm_projector", "language_model", "align.mm_projector", "align.language_model", "coca"
]
Objective = Literal["language", "coca"]
ComputeDtype = Literal["auto", "bfloat16", "float32"]
_IDLE: dict[str, frozenset[str]] = {
    "main": frozenset({"align.mm_projector", "align.language_model"}),
    "align": frozenset({"mm_projector", "language_model"}),
}
_LEAST_OF_LOOP = {"gradient_norm": 0, "checkpoint_every": 1}
_LEAST_OF_STAGE = {
    "steps": 1, "row_length": 2, "rows": 1, "micro_rows": 1, "context": 0, "yarn_factor": 1, "yarn_original": 1,
    "bias_rate": 0, "siglip_weight": 0, "caption_weight": 0, "evaluate_every": 0,
}  # fmt: skip
"""The smallest value of each number; all must be finite."""


def check_ranges(config: object, where: str, least: Mapping[str, float]) -> None:
    """Refuse numbers that are too small or not finite; fields that are None are left alone.

    Args:
        where: what the message calls the config.
        least: the smallest allowed value by field.

    Raises:
        ConfigError: naming the field, its range and its value.
    """
    for name, smallest in least.items():
        value = getattr(config, name)
        if value is not None and not smallest <= value < inf:
            finite = " and finite" if isinstance(value, float) else ""
            raise ConfigError(f"{where}: {name} must be at least {smallest:g}{finite}, got {value}")


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """What holds for every stage of a run.

    Attributes:
        optimizer: MuonClip's settings.
        gradient_norm: gradients are scaled down to this global norm.
        checkpoint_every: steps between checkpoints; one is written at each stage's end in any case.
        compute: number format of the arithmetic over fp32 weights; "auto" is bf16 where the hardware multiplies it
            fast, else fp32. What it was at the start holds to the end of a run.
    """

    optimizer: MuonClipConfig = field(default_factory=MuonClipConfig)
    gradient_norm: float = 1.0
    checkpoint_every: int = 200
    compute: ComputeDtype = "auto"

    def __post_init__(self) -> None:
        check_ranges(self, "loop", _LEAST_OF_LOOP)
        if not self.gradient_norm > 0:
            raise ConfigError(f"loop: gradient_norm must be above 0, got {self.gradient_norm}")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of training.

    Attributes:
        name: short and unique within the run.
        objective: "language" (next token) or "coca" (SigLIP + caption).
        trainable: the components that learn.
        steps: optimiser steps.
        row_length: tokens in one packed row.
        rows: packed rows in one optimiser step, over all ranks.
        micro_rows: rows in one forward and backward pass.
        mixture: which sources it draws from, and how much of each; every source that a segment weighs takes part.
        schedule: learning rate over the stage's steps.
        language: which language model takes part: the main one or the small one for alignment.
        reset: components that start anew at this stage.
        context: longest position the rotary tables are made for; 0 leaves them as they are.
        yarn_factor: YaRN's factor from this stage on; 1 is plain RoPE.
        yarn_original: context that the model was trained with before YaRN.
        bias_rate: step of the loss-free balancing bias u.
        siglip_weight, caption_weight: the two parts of the "coca" objective.
        augment: whether records are augmented.
        held_out: names of the held-out sets that are scored in this stage.
        evaluate_every: steps between evaluations on held-out data; 0 evaluates at the end of the stage only.
    """

    name: str
    objective: Objective
    trainable: tuple[Component, ...]
    steps: int
    row_length: int
    rows: int
    micro_rows: int
    mixture: Mixture
    schedule: Schedule
    language: Literal["main", "align"] = "main"
    reset: tuple[Component, ...] = ()
    context: int = 0
    yarn_factor: float = 1.0
    yarn_original: int | None = None
    bias_rate: float = 1e-3
    siglip_weight: float = 1.0
    caption_weight: float = 1.0
    augment: bool = True
    held_out: tuple[str, ...] = ()
    evaluate_every: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, f"stage {self.name}", _LEAST_OF_STAGE)
        if self.rows % self.micro_rows:
            raise ConfigError(f"stage {self.name}: rows={self.rows} is not a multiple of micro_rows={self.micro_rows}")
        if not self.trainable:
            raise ConfigError(f"stage {self.name}: trainable names no component, so nothing would be learned")
        if idle := sorted(set(self.trainable) & _IDLE[self.language]):
            raise ConfigError(f"stage {self.name}: with language={self.language!r}, {', '.join(idle)} cannot learn")

    @property
    def tokens(self) -> int:
        """Tokens of the whole stage, padding included."""
        return self.steps * self.rows * self.row_length

    @property
    def text_only(self) -> bool:
        """Whether its mixture never asks for vision."""
        return all(segment.vision == 0.0 for segment in self.mixture.segments)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all sources that the mixture weighs, sorted."""
        return tuple(sorted({name for segment in self.mixture.segments for name in segment.weights}))
