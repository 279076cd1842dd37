"""`tiny`: every stage of the report on a laptop CPU, from nothing to a model that sees and reads, in about 15 minutes.

    command      manyeyes run tiny            (`make demo` sets everything up first)
    hardware     2 CPU cores, 4 GB of memory; a GPU is used when there is one
    data         pinned PyPI packages and exact generators; nothing else is fetched

The report trains at a vision ratio of about 10 %; with a budget a billionth of its own, `tiny` takes 60 % to see enough
pictures. Expected numbers and the page they come from: README, docs/report-map.md.
"""

from manyeyes.data.mixture import constant
from manyeyes.model import config as models
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import Stage

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
}
CAPTIONS = {"synthetic/caption/scenes": 3.0, "synthetic/ocr/digits": 2.0, "synthetic/ocr/words": 0.5, "photographs": 0.5}
SIGHT = {
    "easy_vqa": 4.0,
    "synthetic/ocr/digits": 3.0,
    "digit_strings": 0.5,
    "synthetic/ocr/words": 0.5,
    "synthetic/caption/scenes": 0.5,
    "synthetic/perception/attributes": 1.0,
    "synthetic/perception/counting": 1.0,
    "synthetic/perception/grounding": 1.0,
    "photographs": 0.2,
}

HELD_OUT = (
    HeldOut("text", "package_prose", "loss", records=60),
    HeldOut("code", "package_repositories", "loss", records=60),
    HeldOut("knowledge", "country_questions", "answer", records=200),
    HeldOut("vqa", "easy_vqa", "answer", records=2000, quick=256, new_tokens=6, by_type=True),
    HeldOut("ocr", "synthetic/ocr/digits", "reading", records=500, quick=128),
    HeldOut("counting", "synthetic/perception/counting", "count", records=300),
    HeldOut("grounding", "synthetic/perception/grounding", "boxes", records=200, new_tokens=40),
)


def tiny() -> Run:
    """The recipe."""
    rate = 2e-3
    return Run(
        name="tiny",
        about="3.3M parameters through every stage, on real pictures and text",
        hardware="2 CPU cores, about 15 minutes",
        model=models.tiny(),
        align=models.tiny_lm(),
        held_out=HELD_OUT,
        stages=(
            Stage(
                name="align_lm", objective="language", language="align", trainable=("align.language_model",), steps=80,
                row_length=256, rows=16, micro_rows=16, mixture=constant(0.0, weights=TEXT),
                schedule=Schedule(peak=rate, warmup=10, decay=0.3), held_out=("text",),
            ),
            Stage(
                name="text", objective="language", trainable=("language_model",), steps=200, row_length=256, rows=16,
                micro_rows=16, mixture=constant(0.0, weights=TEXT), schedule=Schedule(peak=rate, warmup=20, decay=0.0),
                held_out=("text", "code"), evaluate_every=100,
            ),
            Stage(
                name="vit", objective="coca", trainable=("vision_tower", "coca"), steps=200, row_length=256, rows=8,
                micro_rows=8, mixture=constant(1.0, weights=CAPTIONS), schedule=Schedule(peak=rate, warmup=20, decay=0.2),
            ),
            Stage(
                name="vit_align", objective="language", language="align",
                trainable=("vision_tower", "align.mm_projector"), steps=100, row_length=256, rows=8, micro_rows=8,
                mixture=constant(1.0, weights=CAPTIONS), schedule=Schedule(peak=rate, warmup=10, decay=0.2),
            ),
            Stage(
                name="projector", objective="language", trainable=("mm_projector",), reset=("mm_projector",), steps=30,
                row_length=256, rows=8, micro_rows=8, mixture=constant(1.0, weights=CAPTIONS),
                schedule=Schedule(peak=rate, warmup=5, decay=0.2),
            ),
            Stage(
                name="joint", objective="language", trainable=("vision_tower", "mm_projector", "language_model"),
                steps=600, row_length=256, rows=16, micro_rows=16, mixture=constant(0.6, weights=TEXT | SIGHT),
                schedule=Schedule(peak=rate, warmup=20, decay=0.4), held_out=tuple(h.name for h in HELD_OUT),
                evaluate_every=100,
            ),
        ),
    )  # fmt: skip
