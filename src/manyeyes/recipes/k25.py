"""`k25`: the report's own run as data: 1T parameters, its lengths, its token budgets. A starting point for a cluster.

    command      manyeyes run k25 vocabulary=Kimi-K2-Base/tiktoken.model start_text=Kimi-K2-Base \
                     start_align=Moonlight-16B-A3B             (and your own sources in `data.registry`)
    hardware     the report: H800 nodes in multiples of 32; nothing of this recipe was run here beyond its configuration
    numbers      sequence lengths and tokens: report table 3. Learning rates, batch, warm-up: Kimi K2 (the report gives
                 none of its own). Vision ratio 10 %: report table 1, first row.

The text stage stands for Kimi K2: with its checkpoint as start_text that stage is skipped, and the run starts where the
report starts. No stage trains the small language model that the ViT is aligned with, so start_align must be given.
"""

from manyeyes.data.mixture import Mixture, constant
from manyeyes.model import config as models
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.long_blend import long_blend
from manyeyes.recipes.run import Run
from manyeyes.recipes.small import (
    FETCHED_PAGES,
    FETCHED_TEXT,
    REAL_CAPTIONS,
    REAL_PICTURES,
    SYNTHETIC_CAPTIONS,
)
from manyeyes.recipes.tiny import CAPTIONS, SIGHT, TARGETS, TEXT
from manyeyes.train.stages import Component, Stage

TRILLION = 10**12
ROWS = 16_384
"""Rows of 4,096 tokens in a step: 67M tokens, as Kimi K2."""
ALL: tuple[Component, ...] = ("vision_tower", "mm_projector", "language_model")


def k25() -> Run:
    """The recipe."""
    text = TEXT | FETCHED_TEXT
    ordinary = text | SIGHT | REAL_PICTURES | FETCHED_PAGES
    captions = _pictures(1.0, CAPTIONS | REAL_CAPTIONS)
    return Run(
        name="k25",
        about="the released Kimi K2.5 (1.03T parameters, 32.9B active) through the report's stages",
        hardware="a cluster; configuration only, never run here",
        model=models.k25(),
        align=models.moonlight_16b_a3b(),
        vocabulary="tiktoken.model",
        stages=(
            _stage("text", ("language_model",), 15.5, constant(0.0, weights=text), rate=2e-4, decay=0.35),
            _stage("vit", ("vision_tower", "coca"), 0.5, captions, objective="coca", rate=2e-4),
            _stage(
                "vit_align",
                ("vision_tower", "align.mm_projector"),
                0.5,
                _pictures(1.0, TARGETS | REAL_CAPTIONS),
                language="align",
                rate=2e-4,
            ),
            _stage("projector", ("mm_projector",), 0.01, captions, reset=("mm_projector",), rate=2e-4),
            _stage("joint", ALL, 15.0, _pictures(0.1, ordinary), rate=2e-4),
            _stage("long_32k", ALL, 0.5, _pictures(0.1, long_blend(ordinary, 32_768)), rate=2e-5, length=32_768),
            _stage("long_262k", ALL, 0.2, _pictures(0.1, long_blend(ordinary, 262_144)), rate=7e-6, length=262_144),
        ),
    )


def _pictures(vision: float, weights: dict[str, float]) -> Mixture:
    return constant(vision, weights=weights, synthetic_captions=SYNTHETIC_CAPTIONS)


def _stage(
    name: str,
    trainable: tuple[Component, ...],
    trillions: float,
    mixture: Mixture,
    *,
    rate: float,
    decay: float = 0.2,
    length: int = 4096,
    **settings: object,
) -> Stage:
    """A stage of so many trillion tokens in steps of 67M."""
    rows = ROWS * 4096 // length
    return Stage(
        name=name,
        objective=settings.pop("objective", "language"),  # pyright: ignore[reportArgumentType]
        trainable=trainable,
        steps=round(trillions * TRILLION / (rows * length)),
        row_length=length,
        rows=rows,
        micro_rows=1,
        mixture=mixture,
        schedule=Schedule(peak=rate, warmup=500, decay=decay, shape="cosine", end=0.1),
        context=length,
        yarn_factor=length / 4096,
        yarn_original=4096,
        **settings,  # pyright: ignore[reportArgumentType]
    )
