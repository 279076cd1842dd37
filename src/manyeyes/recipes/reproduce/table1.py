"""Table 1 of the report at small scale: does it matter when vision enters pre-training, at equal budgets?

    command      manyeyes reproduce table1
    hardware     2 CPU cores, about 40 minutes (--minutes scales it, --quick takes a minute or two and means nothing)
    arms         early: 10 % vision from the start; mid: 20 % from half of the tokens on; late: 50 % from 80 % on
    equal        tokens drawn of text and vision (seen: to 4 %, docs/log.md), their order; in a seed weights, questions
    shared       a short CoCa stage of the ViT, as the report's ViT comes pre-trained

All networks learn in all arms. The learning rate is constant up to its last tenth, so the late arm sees most of its
vision tokens at full rate. A run's budget follows from `--minutes` alone, never from the machine's speed.
Report: §2.1, Table 1, Figure 9, App. B.1.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from manyeyes.core.errors import ConfigError
from manyeyes.data.mixture import Mixture, constant, early, late, mid
from manyeyes.model import config as models
from manyeyes.model.config import ModelConfig, TextConfig, VisionConfig
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.run import Run
from manyeyes.train.stages import LoopConfig, Stage

ARMS: dict[str, Callable[[int], Mixture]] = {"early": early, "mid": mid, "late": late}
"""From the number of tokens of a run to its mixture."""

TEXT = {
    "package_prose": 1.5,
    "package_repositories": 2.0,
    "country_pages": 1.0,
    "country_questions": 1.0,
    "element_pages": 0.75,
    "element_questions": 0.5,
    "maths_chat": 2.0,
    "maths_document": 0.5,
}
VISION = {
    "synthetic/caption/several": 2.5,
    "synthetic/caption/scenes": 1.0,
    "synthetic/ocr/one_digit_text": 0.5,
    "synthetic/ocr/two_digits_text": 1.0,
    "synthetic/ocr/digits_text": 1.0,
    "synthetic/ocr/digits": 0.5,
    "photographs": 1.5,
    "digits": 0.5,
    "easy_vqa": 1.0,
}
"""Small pictures of which much is said: a tenth of a small budget has to teach what is asked."""
CAPTIONS = {
    "synthetic/caption/scenes": 2.0,
    "synthetic/caption/several": 1.0,
    "synthetic/ocr/one_digit_text": 0.5,
    "synthetic/ocr/two_digits_text": 1.0,
    "synthetic/ocr/digits_text": 1.0,
    "photographs_captions": 1.0,
}
"""Documents alone: a ViT is trained on captions, not on conversations."""

RATE = 6e-3
"""Highest learning rate, of the ViT stage and of all arms; as in `tiny`."""
VIT = "vit"
ROW_LENGTH = 256
FILL = 0.998
"""Share of the rows that is not padding, measured; the mixtures' turning points are counted in real tokens."""
WAITING = 9_000
"""Tokens that are drawn and still wait for a row when a run ends, measured."""
PROBES = 60
"""Evaluations of the held-out text loss in a run; every `FULL`th one asks the questions too."""
FULL = 5


@dataclass(frozen=True, slots=True)
class Budget:
    """How much every run of the experiment learns from.

    Attributes:
        steps: optimiser steps of an arm, a multiple of `PROBES`.
        rows: rows of a step.
        vit_steps, vit_rows: the same of the shared ViT stage.
        questions: questions of a category at the end of a run; `quick` are asked on the way.
        documents: held-out texts of each kind, of up to a row, whose loss is measured.
    """

    steps: int
    rows: int = 8
    vit_steps: int = 360
    vit_rows: int = 6
    questions: int = 400
    quick: int = 150
    documents: int = 16

    def __post_init__(self) -> None:
        if self.steps < PROBES or self.steps % PROBES:
            raise ConfigError(f"steps must be a positive multiple of {PROBES}, got {self.steps}")

    @property
    def tokens(self) -> int:
        """Tokens that a run draws, padding left out."""
        return round(self.steps * self.rows * ROW_LENGTH * FILL) + WAITING

    @classmethod
    def of_minutes(cls, minutes: float) -> "Budget":
        """What two cores of 2020's laptops learn from in so many minutes: 9 runs, two at a time, after the ViT stage.

        Raises:
            ConfigError: too short for a run to mean anything.
        """
        if not 5 <= minutes <= 10_000:
            raise ConfigError(f"--minutes must be 5 to 10000, got {minutes:g}; --quick shows that everything works")
        steps = round(STEPS_A_MINUTE * minutes / PROBES) * PROBES
        return cls(steps=max(steps, PROBES), vit_steps=max(20, round(6 * minutes)))


STEPS_A_MINUTE = 48
"""Steps of one run for each minute of the whole experiment: 0.17 s a step and 100 s of scoring (measured)."""
QUICK = Budget(steps=PROBES, rows=1, vit_steps=4, questions=16, quick=8, documents=1)


def vit_run(budget: Budget) -> Run:
    """The shared start: the ViT alone, SigLIP and caption loss."""
    return _run(
        Stage(
            name=VIT, objective="coca", trainable=("vision_tower", "coca"), steps=budget.vit_steps,
            row_length=ROW_LENGTH, rows=budget.vit_rows, micro_rows=budget.vit_rows,
            mixture=constant(1.0, weights=CAPTIONS),
            schedule=Schedule(peak=RATE, warmup=min(20, budget.vit_steps // 4), decay=0.2),
        ),
        name=VIT, seed=0, start_vision="",
    )  # fmt: skip


def arm_run(arm: str, seed: int, budget: Budget) -> Run:
    """One run of the experiment; its ViT starts from the ViT stage's checkpoint in the folder beside its own."""
    return _run(
        Stage(
            name="joint", objective="language", trainable=("vision_tower", "mm_projector", "language_model"),
            steps=budget.steps, row_length=ROW_LENGTH, rows=budget.rows, micro_rows=budget.rows,
            mixture=weighed(ARMS[arm](budget.tokens)),
            schedule=Schedule(peak=RATE, warmup=min(50, budget.steps // 10), decay=0.1),
            evaluate_every=budget.steps // PROBES,
        ),
        name=arm, seed=seed, start_vision=f"../{VIT}/model",
    )  # fmt: skip


def weighed(mixture: Mixture) -> Mixture:
    """The same turning points and ratios over the experiment's sources."""
    segments = tuple(dataclasses.replace(segment, weights=TEXT | VISION) for segment in mixture.segments)
    return dataclasses.replace(mixture, segments=segments)


def _run(stage: Stage, *, name: str, seed: int, start_vision: str) -> Run:
    return Run(
        name=name, about="one run of Table 1 at small scale", hardware="one CPU core", model=model(), stages=(stage,),
        seed=seed, start_vision=start_vision, loop=LoopConfig(checkpoint_every=200, compute="float32"),
    )  # fmt: skip


def model() -> ModelConfig:
    """About 0.8M parameters: `tiny` at half its width and depth, so that nine runs see enough tokens within an hour."""
    tiny = models.tiny()
    text: TextConfig = dataclasses.replace(
        tiny.text, hidden_size=64, num_hidden_layers=2, intermediate_size=192, num_attention_heads=2, q_lora_rank=48,
        kv_lora_rank=32, moe_intermediate_size=64,
    )  # fmt: skip
    vision: VisionConfig = dataclasses.replace(
        tiny.vision, vt_hidden_size=64, vt_num_hidden_layers=3, vt_num_attention_heads=2, vt_intermediate_size=192
    )
    return ModelConfig(text, vision, tiny.rules)


def identity(budget: Budget) -> str:
    """Changes with anything that changes what is computed; runs of equal identity may stand in one table."""
    runs = [vit_run(budget), *(arm_run(arm, 0, budget) for arm in ARMS)]
    text = " ".join([*(run.fingerprint for run in runs), repr(budget)])
    return hashlib.sha256(text.encode()).hexdigest()[:8]
