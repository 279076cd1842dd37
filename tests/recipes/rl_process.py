"""A small run in a process of its own: `python -m tests.recipes.rl_process FOLDER START KIND`.

    sync, async     RL with all that has a state
    under_way       asynchronous RL with answers so long that attempts are under way whenever it is saved
    frozen          RL whose attempts start sub-agents: a small frozen checkpoint first, then a larger one
    rft             rejection sampling

What it announces is added to `said.txt` in the folder.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from manyeyes.recipes.rft_execute import execute_rft
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_execute import execute_rl
from manyeyes.recipes.rl_parts import BlindRule, Frozen, Measured
from manyeyes.recipes.rl_run import RlRun
from manyeyes.rl.curriculum import CurriculumRule
from manyeyes.rl.rft import RftRules
from manyeyes.rl.toggle import ToggleRule
from manyeyes.train.stages import LoopConfig

from .post_worlds import ASKS, LOOKS, PLACE, REGISTRY, folder_of, little_run

STEPS = 14
TASKS, ATTEMPTS, UPDATES = 24, 4, 12
"""Of rejection sampling."""
SMALL = "small"
"""Folder of a smaller checkpoint, beside the one that a run starts from."""
SAID = "said.txt"


def run_of(start: Path, kind: str) -> RlRun | RftRun:
    """What is run."""
    if kind == "rft":
        return RftRun(
            "rft", "", "", (replace(PLACE, answer_tokens=16),), start_model=str(start), tasks=TASKS, attempts=ATTEMPTS,
            beside_share=0.0, rules=RftRules(whole=False), steps=UPDATES, row_length=64, rows=4, micro_rows=1,
            running=2, cache_tokens=4096,
            measured=(Measured(PLACE, count=4, quick=2),), loop=LoopConfig(compute="float32", checkpoint_every=2),
        )  # fmt: skip
    if kind == "frozen":
        frozen = (Frozen(0, str(start.parent / SMALL)), Frozen(5, str(start)))
        return little_run(start, places=(ASKS,), measured=(), frozen=frozen, steps=9, checkpoint_every=2)
    if kind == "under_way":
        slow = replace(PLACE, answer_tokens=40)
        return little_run(start, places=(slow,), measured=(), loop="async", steps=STEPS, running=3, checkpoint_every=1)
    return little_run(
        start, places=(PLACE, LOOKS), measured=(Measured(LOOKS, count=6, quick=2),), blind=BlindRule(),
        loop="async" if kind == "async" else "sync", curriculum=CurriculumRule(patience=1, rest=1),
        toggle=ToggleRule(every=2, threshold=0.1), steps=STEPS, checkpoint_every=2,
    )  # fmt: skip


def main(path: Path, start: Path, kind: str) -> None:
    """To its end, or to whatever ends it."""
    torch.set_num_threads(1)
    run, device = run_of(start, kind), torch.device("cpu")

    def announce(line: str) -> None:
        with (path / SAID).open("a") as said:
            said.write(f"{line}\n")

    with folder_of(path, run.to_json()) as folder:
        if isinstance(run, RftRun):
            execute_rft(run, folder, device=device, announce=announce, registry=REGISTRY)
        else:
            execute_rl(run, folder, device=device, announce=announce, registry=REGISTRY)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
