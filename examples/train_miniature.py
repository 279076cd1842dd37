"""A whole run in seconds: a recipe of two stages, written, trained, and asked, all from Python.

    python examples/train_miniature.py FOLDER

The same call again goes on where it was stopped, or says that it is finished. Four steps teach nothing; raise `steps`.
"""

import sys
from pathlib import Path

import torch

from manyeyes.core.runlog import RunFolder
from manyeyes.data.mixture import constant
from manyeyes.model.config import tiny
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.execute import execute
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import Stage
from manyeyes.view.report import write_report

TEXT = {"maths_document": 1.0, "small_talk": 1.0}
SIGHT = {"synthetic/ocr/digits": 1.0, "synthetic/perception/counting": 1.0}


def recipe(steps: int) -> Run:
    """Text alone, then text and pictures at a constant ratio."""
    learns_text = Stage(
        name="text", objective="language", trainable=("language_model",), steps=steps, row_length=128, rows=2,
        micro_rows=2, mixture=constant(0.0, weights=TEXT), schedule=Schedule(6e-3, warmup=1),
    )  # fmt: skip
    learns_to_see = Stage(
        name="joint", objective="language", trainable=("vision_tower", "mm_projector", "language_model"), steps=steps,
        row_length=128, rows=2, micro_rows=2, mixture=constant(0.5, weights=TEXT | SIGHT),
        schedule=Schedule(6e-3, warmup=1, decay=0.5), held_out=("ocr",),
    )  # fmt: skip
    ocr = HeldOut("ocr", "synthetic/ocr/digits", "reading", records=4, new_tokens=4)
    return Run("miniature", "two stages", "any", tiny(), (learns_text, learns_to_see), held_out=(ocr,))


def main(path: Path, steps: int = 2) -> None:
    """Train or go on in the folder, then write its page."""
    run = recipe(steps)
    folder = RunFolder.open(path) if (path / "config.json").exists() else RunFolder.create(path, run.to_json())
    execute(
        run, folder, device=torch.device("cpu"), announce=print,
        report=lambda step: print(f"{step.stage} {step.step}/{step.steps}: loss {step.parts['loss']:.3f}"),
    )  # fmt: skip
    print(f"page: {write_report(folder)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
