"""What a step cost and how it went: the line a person reads while a run goes on.

Report: none; MFU is against the matmul rate measured on the machine at the start of the run.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from manyeyes.data.packing import Batch
from manyeyes.model.config import ModelConfig
from manyeyes.train.flops import text_flops_per_token, vision_flops_per_patch
from manyeyes.train.stages import Stage


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimiser step, for logs and progress lines.

    Attributes:
        stage, step, steps: where the run stands within its stage (step counts from 1).
        run_step, run_steps: the same over the whole run.
        tokens: tokens of this step, padding left out.
        seconds: wall time of this step.
        mfu: share of the measured matmul peak, 0 to 1.
        parts: loss parts by name.
        max_logit: largest attention logit of any head, see `packed_attention.Attended` (0 when not collected).
        clipped: heads that QK-Clip rescaled.
        load: largest share of tokens of an expert over the mean share, worst layer (1 is perfect balance).
        learning_rate, gradient_norm: of this step.
        fill: share of the rows that is not padding.
    """

    stage: str
    step: int
    steps: int
    run_step: int
    run_steps: int
    tokens: int
    seconds: float
    mfu: float
    parts: dict[str, float] = field(default_factory=dict)
    max_logit: float = 0.0
    clipped: int = 0
    load: float = 0.0
    learning_rate: float = 0.0
    gradient_norm: float = 0.0
    fill: float = 1.0

    @property
    def tokens_per_second(self) -> float:
        """Padding left out; 0 before any time has passed."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def figures(self) -> dict[str, Any]:
        """What the run's log keeps of it."""
        return {
            "stage": self.stage,
            "stage_step": self.step,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 4),
            "mfu": round(self.mfu, 4),
            "max_logit": self.max_logit,
            "clipped": self.clipped,
            "load": self.load,
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
            "fill": round(self.fill, 4),
            **self.parts,
        }


def step_flops(batch: Batch, stage: Stage, config: ModelConfig) -> float:
    """Operations of forward and backward over a batch; frozen parts cost their forward (and what flows through).

    The text side of the "coca" objective is left out: it is small beside the vision tower.
    """
    patches = sum(item.grid.patches for item in batch.media)
    segment = patches // max(len(batch.media), 1)
    per_patch = vision_flops_per_patch(config.vision, text_hidden_size=config.text.hidden_size, segment=segment)
    vision = patches * per_patch * (1.0 if "vision_tower" in stage.trainable else 1 / 3)
    if stage.objective == "coca":
        return vision
    samples = max(sum(len(names) for names in batch.names), 1)
    text = batch.tokens * text_flops_per_token(config.text, context=batch.tokens // samples // 2)
    learns = any(name.endswith("language_model") for name in stage.trainable)
    return vision + text * (1.0 if learns else 2 / 3)


def expert_load(counts_LE: Tensor | None) -> float:
    """Largest over mean tokens per expert in the worst layer."""
    if counts_LE is None or counts_LE.numel() == 0:
        return 0.0
    counts = counts_LE.float()
    return float((counts.max(1).values / counts.mean(1).clamp_min(1e-9)).max())


def largest(logit_LH: Tensor | None) -> float:
    """The largest finite entry, 0 when nothing was collected."""
    if logit_LH is None or logit_LH.numel() == 0:
        return 0.0
    return float(torch.nan_to_num(logit_LH, nan=0.0, neginf=0.0).max())
