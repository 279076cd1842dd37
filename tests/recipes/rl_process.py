"""A small run of RL in a process of its own: `python -m tests.recipes.rl_process FOLDER START LOOP`."""

import sys
from pathlib import Path

import torch

from manyeyes.recipes.rl_execute import execute_rl
from manyeyes.recipes.rl_parts import BlindRule, Measured
from manyeyes.recipes.rl_run import RlRun
from manyeyes.rl.curriculum import CurriculumRule
from manyeyes.rl.toggle import ToggleRule

from .post_worlds import LOOKS, PLACE, REGISTRY, folder_of, little_run

STEPS = 14


def run_of(start: Path, loop: str) -> RlRun:
    """With all that has a state."""
    return little_run(
        start, places=(PLACE, LOOKS), measured=(Measured(LOOKS, count=6, quick=2),), blind=BlindRule(), loop=loop,
        curriculum=CurriculumRule(patience=1, rest=1), toggle=ToggleRule(every=2, threshold=0.1), steps=STEPS,
        checkpoint_every=2,
    )  # fmt: skip


def main(path: Path, start: Path, loop: str) -> None:
    """To its end, or to whatever ends it."""
    torch.set_num_threads(1)
    run = run_of(start, loop)
    with folder_of(path, run.to_json()) as folder:
        execute_rl(run, folder, device=torch.device("cpu"), registry=REGISTRY)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
