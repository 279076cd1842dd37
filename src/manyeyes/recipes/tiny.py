"""`tiny`: every stage of the report on a laptop CPU, from nothing to a model that sees and reads, in about 15 minutes.

    command      manyeyes run tiny            (`make demo` sets everything up first)
    hardware     2 CPU cores, 4 GB of memory; a GPU is used when there is one
    data         pinned PyPI packages and exact generators; nothing else is fetched
    numbers      README, docs/experiments/tiny.json

The report trains jointly at a vision ratio of about 10 %; with a ten-millionth of its budget, `tiny` takes 80 % to
see enough pictures. The order of stages, what learns in each and what is carried over are the report's (§4.3, table 3).
"""

from manyeyes.data.mixture import constant
from manyeyes.model import config as models
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.long_blend import long_blend
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import Component, LoopConfig, Stage

TEXT = {
    "package_prose": 2.0,
    "package_repositories": 2.0,
    "package_files": 0.5,
    "country_pages": 0.5,
    "country_questions": 1.0,
    "element_pages": 0.5,
    "element_questions": 0.5,
    "airport_questions": 0.5,
    "maths_document": 1.0,
    "maths_chat": 1.0,
    "small_talk": 1.0,
    "caption_text/caption/scenes": 0.5,
    "caption_text/caption/several": 0.5,
    "caption_text/ocr/digits": 0.5,
    "caption_text/ocr/words": 0.5,
}
FEW_REAL = 0.96
"""Share of synthetic captions that `tiny` bears: two dozen real pictures are all that its packages hold."""
CAPTIONS = {
    "synthetic/caption/large": 4.0,
    "synthetic/caption/scenes": 1.0,
    "synthetic/caption/several": 0.3,
    "synthetic/ocr/digits_text": 1.5,
    "synthetic/ocr/two_digits_text": 1.0,
    "synthetic/ocr/one_digit_text": 0.5,
    "synthetic/ocr/words_text": 0.3,
    "photographs_captions": 0.2,
}
TARGETS = CAPTIONS | {
    "synthetic/perception/boxes_text": 0.5,
    "synthetic/video/motions_text": 0.3,
    "synthetic/video/events_text": 0.2,
}
"""What the ViT is aligned on (§4.3): captions, printed text, boxes, and what happens in clips."""
SIGHT = {
    "easy_vqa": 5.0,
    "synthetic/ocr/digits": 2.0,
    "synthetic/ocr/digits_text": 2.0,
    "digit_strings": 0.5,
    "synthetic/ocr/words": 0.5,
    "synthetic/caption/large": 1.0,
    "synthetic/caption/scenes": 0.5,
    "synthetic/perception/attributes": 1.0,
    "synthetic/perception/counting": 1.0,
    "synthetic/perception/grounding": 1.0,
    "synthetic/interleaved/lessons": 0.2,
    "synthetic/knowledge/problems": 0.2,
    "synthetic/video/motions": 0.2,
    "synthetic/video/long_32": 0.2,
    "synthetic/agent/clicks": 0.2,
    "photographs": 0.2,
}

HELD_OUT = (
    HeldOut("text", "package_prose", "loss", records=60),
    HeldOut("code", "package_repositories", "loss", records=60),
    HeldOut("knowledge", "country_questions", "answer", records=100),
    HeldOut("vqa", "easy_vqa", "answer", records=2000, quick=256, new_tokens=6, by_type=True),
    HeldOut("ocr", "synthetic/ocr/digits", "reading", records=500, quick=128, new_tokens=6),
    HeldOut("counting", "synthetic/perception/counting", "count", records=200, new_tokens=6),
    HeldOut("grounding", "synthetic/perception/grounding", "boxes", records=100, new_tokens=48),
    HeldOut("needles_256", "synthetic/retrieval/needles_256", "answer", records=40, new_tokens=8, length=256),
    HeldOut("needles_1024", "synthetic/retrieval/needles_1024", "answer", records=24, new_tokens=8, length=1024),
    HeldOut("needles_4096", "synthetic/retrieval/needles_4096", "answer", records=16, new_tokens=8, length=4096),
    HeldOut("long_video_256", "synthetic/video/long_32", "answer", records=40, new_tokens=8, length=256),
    HeldOut("long_video_1024", "synthetic/video/long", "answer", records=24, new_tokens=8, length=1024),
    HeldOut("long_video_4096", "synthetic/video/long_480", "answer", records=16, new_tokens=8, length=4096),
)
SEEING = ("text", "code", "knowledge", "vqa", "ocr", "counting", "grounding")
ALL: tuple[Component, ...] = ("vision_tower", "mm_projector", "language_model")
TEXT_RATE, SIGHT_RATE, JOINT_RATE = 6e-3, 8e-3, 3e-3
"""MuonClip finds these high rates best at this width and batch (docs/log.md)."""


def tiny() -> Run:
    """The recipe."""
    return Run(
        name="tiny",
        about="3.3M parameters through every stage, on real pictures and text",
        hardware="2 CPU cores, about 15 minutes",
        model=models.tiny(),
        align=models.tiny_lm(),
        held_out=HELD_OUT,
        # Matrices this small gain nothing from bf16, and fp32 is the same on every machine.
        loop=LoopConfig(compute="float32"),
        stages=(*_language(), *_vision(), *_together(), *_long()),
    )


def _language() -> tuple[Stage, ...]:
    text = constant(0.0, weights=TEXT)
    return (
        Stage(
            name="align_lm",
            objective="language",
            language="align",
            trainable=("align.language_model",),
            steps=100,
            row_length=256,
            rows=16,
            micro_rows=16,
            mixture=text,
            schedule=Schedule(TEXT_RATE, warmup=10, decay=0.3),
            held_out=("text",),
        ),
        Stage(
            name="text",
            objective="language",
            trainable=("language_model",),
            steps=180,
            row_length=256,
            rows=16,
            micro_rows=16,
            mixture=text,
            schedule=Schedule(TEXT_RATE, warmup=20, decay=0.0),
            held_out=("text", "code"),
        ),
    )


def _vision() -> tuple[Stage, ...]:
    captions = constant(1.0, weights=CAPTIONS, synthetic_captions=FEW_REAL)
    targets = constant(1.0, weights=TARGETS, synthetic_captions=FEW_REAL)
    return (
        Stage(
            name="vit",
            objective="coca",
            trainable=("vision_tower", "coca"),
            steps=420,
            row_length=256,
            rows=10,
            micro_rows=10,
            mixture=captions,
            schedule=Schedule(SIGHT_RATE, warmup=20, decay=0.2),
        ),
        Stage(
            name="vit_align",
            objective="language",
            language="align",
            trainable=("vision_tower", "align.mm_projector"),
            steps=60,
            row_length=256,
            rows=6,
            micro_rows=6,
            mixture=targets,
            schedule=Schedule(SIGHT_RATE / 4, warmup=10, decay=0.2),
        ),
        Stage(
            name="projector",
            objective="language",
            trainable=("mm_projector",),
            reset=("mm_projector",),
            steps=150,
            row_length=256,
            rows=8,
            micro_rows=8,
            mixture=captions,
            schedule=Schedule(TEXT_RATE, warmup=10, decay=0.3),
        ),
    )


def _together() -> tuple[Stage, ...]:
    return (
        Stage(
            name="joint",
            objective="language",
            trainable=ALL,
            steps=640,
            row_length=256,
            rows=8,
            micro_rows=8,
            mixture=constant(0.8, weights=TEXT | SIGHT),
            schedule=Schedule(JOINT_RATE, warmup=20, decay=0.4),
            held_out=(*SEEING, "needles_256", "long_video_256"),
            evaluate_every=160,
        ),
    )


def _long() -> tuple[Stage, ...]:
    return tuple(
        Stage(
            name=f"long_{length}",
            objective="language",
            trainable=ALL,
            steps=steps,
            row_length=length,
            rows=8192 // length,
            micro_rows=1024 // min(length, 1024),
            mixture=constant(0.6, weights=long_blend(TEXT | SIGHT, length)),
            schedule=Schedule(JOINT_RATE / 6, warmup=4, decay=0.8),
            context=length,
            yarn_factor=length / 256,
            yarn_original=256,
            held_out=held_out,
        )
        for length, steps, held_out in (
            (1024, 40, ("text", "vqa", "ocr", *_scored_up_to(1024))),
            (4096, 25, (*SEEING, *_scored_up_to(4096))),
        )
    )


def _scored_up_to(length: int) -> tuple[str, ...]:
    """Retrieval and long clips at this length, and at those that came before and should not be forgotten."""
    lengths = [shorter for shorter in (256, 1024, 4096) if shorter <= length]
    return tuple(f"{kind}_{shorter}" for kind in ("needles", "long_video") for shorter in lengths)
