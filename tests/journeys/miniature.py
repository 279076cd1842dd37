"""A whole run in miniature: every kind of stage, a model of a few thousand parameters, seconds on one core.

python tests/journeys/miniature.py FOLDER [THREADS]     trains or resumes it there
"""

import dataclasses
import sys
from pathlib import Path

from manyeyes.core.runlog import RunFolder
from manyeyes.data.mixture import constant
from manyeyes.model.config import ModelConfig, tiny
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import LoopConfig, Stage

TEXT = {"maths_document": 1.0, "small_talk": 1.0}
SIGHT = {"synthetic/ocr/digits": 1.0, "synthetic/perception/counting": 1.0, "synthetic/video/motions": 1.0}
CAPTIONS = {"synthetic/caption/scenes": 1.0}
ALL = ("vision_tower", "mm_projector", "language_model")


def model(width: int = 32) -> ModelConfig:
    """`tiny` shrunk to a few thousand parameters."""
    config = tiny()
    text = dataclasses.replace(
        config.text,
        hidden_size=width,
        num_hidden_layers=2,
        intermediate_size=64,
        num_attention_heads=2,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
        n_routed_experts=4,
        moe_intermediate_size=16,
    )
    vision = dataclasses.replace(
        config.vision, vt_hidden_size=32, vt_num_hidden_layers=1, vt_num_attention_heads=2, vt_intermediate_size=32
    )
    return dataclasses.replace(config, text=text, vision=vision)


def run(seed: int = 0) -> Run:
    """Six stages of a few steps."""

    def stage(name: str, **settings: object) -> Stage:
        defaults = dict(
            name=name,
            objective="language",
            trainable=ALL,
            steps=4,
            row_length=192,
            rows=2,
            micro_rows=1,
            mixture=constant(0.5, weights=TEXT | SIGHT),
            schedule=Schedule(peak=2e-3, warmup=2),
            evaluate_every=3,
        )
        return Stage(**(defaults | settings))  # pyright: ignore[reportArgumentType]

    captions = constant(1.0, weights=CAPTIONS)
    return Run(
        name="miniature",
        about="test",
        hardware="any",
        model=model(),
        align=model(16),
        seed=seed,
        held_out=(HeldOut("ocr", "synthetic/ocr/digits", "reading", records=4, quick=2, new_tokens=4),),
        loop=LoopConfig(checkpoint_every=2),
        stages=(
            stage(
                "align_lm",
                language="align",
                trainable=("align.language_model",),
                steps=2,
                mixture=constant(0.0, weights=TEXT),
            ),  # fmt: skip
            stage("vit", objective="coca", trainable=("vision_tower", "coca"), mixture=captions),
            stage("vit_align", language="align", trainable=("vision_tower", "align.mm_projector"), mixture=captions),
            stage("projector", trainable=("mm_projector",), reset=("mm_projector",), steps=2, mixture=captions),
            stage("joint", steps=6, held_out=("ocr",)),
            stage("long", row_length=384, context=384, yarn_factor=2.0, yarn_original=192, rows=1),
        ),
    )


def main() -> None:
    """Train or resume in the folder named on the command line."""
    import torch

    from manyeyes.recipes.execute import execute

    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    path = Path(sys.argv[1])
    folder = RunFolder.open(path) if (path / "config.json").exists() else RunFolder.create(path, run().to_json())
    execute(run(), folder, device=torch.device("cpu"), report=lambda step: print(step.run_step, flush=True))


if __name__ == "__main__":
    main()
