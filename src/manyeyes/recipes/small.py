"""`small`: 120M parameters (22M active) on larger pictures and more text; for one GPU, or a patient CPU.

    command      manyeyes run small           (names every file that is missing, and the commands that fetch them)
    hardware     one GPU with 16 GB: a few hours (not run here); 2 CPU cores: an hour shows the loss curve

Pictures are cut into the released model's 14-pixel patches, so one token shows 28 x 28 pixels.
"""

import dataclasses

from manyeyes.data.mixture import constant
from manyeyes.model import config as models
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes import tiny as t
from manyeyes.recipes.long_blend import long_blend
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import Component, Stage

REAL_CAPTIONS = {"openmoji_captions": 1.0, "open_clip_art_captions": 2.0, "stamps_captions": 1.0, "preview_clips": 0.2}
REAL_PICTURES = {"openmoji": 1.0, "open_clip_art": 2.0, "stamps": 1.0, "preview_clips": 0.2}
SYNTHETIC_CAPTIONS = 0.5
"""Largest share of synthetic captions; the real ones of these sources are enough for no less (decision 0017)."""
FETCHED_PAGES = {"debian_handbook": 1.0}
FETCHED_TEXT = {"python_docs": 3.0}
ALL: tuple[Component, ...] = ("vision_tower", "mm_projector", "language_model")
AT_16K = (
    HeldOut("needles_16384", "synthetic/retrieval/needles_16384", "answer", records=16, new_tokens=8, length=16_384),
    HeldOut("long_video_16384", "synthetic/video/long_1920", "answer", records=16, new_tokens=8, length=16_384),
)


def small() -> Run:
    """The recipe."""
    model = models.small()
    align = dataclasses.replace(
        model,
        text=dataclasses.replace(
            model.text,
            hidden_size=192,
            num_hidden_layers=4,
            intermediate_size=576,
            num_attention_heads=3,
            q_lora_rank=128,
            kv_lora_rank=64,
            n_routed_experts=16,
            moe_intermediate_size=96,
        ),
    )
    text = t.TEXT | FETCHED_TEXT
    captions, targets = t.CAPTIONS | REAL_CAPTIONS, t.TARGETS | REAL_CAPTIONS
    sight = t.SIGHT | REAL_PICTURES | FETCHED_PAGES
    held_out: tuple[HeldOut, ...] = tuple(
        dataclasses.replace(h, length=1024) if h.scorer == "loss" else h for h in t.HELD_OUT
    )
    short = tuple(h.name for h in held_out if not h.name.endswith("_4096"))
    rate = 1e-3
    return Run(
        name="small",
        about="120M parameters, 22M active, on fetched pictures and text",
        hardware="one GPU; on 2 CPU cores an hour is a start",
        model=model,
        align=align,
        vocabulary="learn",
        held_out=(*held_out, *AT_16K),
        stages=(
            _stage("align_lm", ("align.language_model",), 500, rate, vision=0.0, weights=text, language="align"),
            _stage("text", ("language_model",), 4000, rate, vision=0.0, weights=text, held_out=("text", "code")),
            _stage("vit", ("vision_tower", "coca"), 3000, rate, vision=1.0, weights=captions, objective="coca"),
            _stage(
                "vit_align",
                ("vision_tower", "align.mm_projector"),
                1000,
                rate,
                vision=1.0,
                weights=targets,
                language="align",
            ),
            _stage("projector", ("mm_projector",), 100, rate, vision=1.0, weights=captions, reset=("mm_projector",)),
            _stage(
                "joint",
                ALL,
                10_000,
                rate,
                vision=0.3,
                weights=text | sight,
                held_out=short,
                evaluate_every=500,
            ),
            _stage(
                "long_4k",
                ALL,
                500,
                rate / 5,
                vision=0.3,
                weights=long_blend(text | sight, 4096),
                length=4096,
                context=4096,
                yarn=4.0,
                held_out=tuple(h.name for h in held_out),
            ),
            _stage(
                "long_16k",
                ALL,
                200,
                rate / 10,
                vision=0.3,
                weights=long_blend(text | sight, 16_384),
                length=16_384,
                context=16_384,
                yarn=16.0,
                held_out=(*(h.name for h in held_out), "needles_16384", "long_video_16384"),
            ),
        ),
    )


def _stage(
    name: str,
    trainable: tuple[Component, ...],
    steps: int,
    rate: float,
    *,
    vision: float,
    weights: dict[str, float],
    length: int = 1024,
    yarn: float = 1.0,
    **settings: object,
) -> Stage:
    """A stage of steps of 16,384 tokens."""
    return Stage(
        name=name,
        objective=settings.pop("objective", "language"),  # pyright: ignore[reportArgumentType]
        trainable=trainable,
        steps=steps,
        row_length=length,
        rows=max(1, 16_384 // length),
        micro_rows=max(1, 4096 // length),
        mixture=constant(vision, weights=weights, synthetic_captions=SYNTHETIC_CAPTIONS if vision else 1.0),
        schedule=Schedule(peak=rate, warmup=min(100, steps // 10), decay=0.3),
        yarn_factor=yarn,
        yarn_original=1024,
        **settings,  # pyright: ignore[reportArgumentType]
    )
