"""`tiny.vision_rl`: outcome rewards on pictures, from the checkpoint that was fine-tuned without any.

    command      manyeyes run tiny.vision_rl  (goes on from the newest finished run of `tiny.sft`)
    hardware     2 CPU cores
    data         pictures drawn by code, with exact truths
    numbers      docs/experiments

Grounding and counting, charts and documents, vision-critical STEM; with code in a sandbox and by looking alone. Tasks
that the fine-tuned model solves with a blank picture are dropped from training before the first step: 1,536 short
attempts. Held-out tasks stay whole: those that a model of before has missed would flatter whatever comes after it.

Report: §2.2 (visual RL from zero-vision SFT), Fig. 2.
"""

from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.rl_parts import BlindRule, PtxSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.tiny_places import measured, sight_place

MEASURED_WITH_CODE = ("count", "locate", "bars", "share", "dice", "gauge")
LOOKED_AT = ("tallest", "print")
"""No program of fine-tuning answers these: they are looked at."""
TASKS = 96
"""Of each place: each comes about twice in the run."""
PLACES = (
    *(sight_place(kind, size=TASKS) for kind in MEASURED_WITH_CODE),
    *(sight_place(kind, tools=False, weight=2.0, size=TASKS) for kind in LOOKED_AT),
)
KEPT = PtxSpec(
    {"sft/thinking": 2.0, "sft/thinking_talk": 1.0, "sft/thinking_tools": 1.0, "sft/parl": 1.0}, weight=0.2, rows=1
)
"""Text that no picture asks for; without it a model of this size loses two fifths of its right answers to text."""


def tiny_vision_rl() -> RlRun:
    """The recipe."""
    return RlRun(
        name="tiny.vision_rl",
        about="visual RL of tiny, with code in a sandbox and by looking",
        hardware="2 CPU cores, about 15 minutes",
        after="tiny.sft",
        places=PLACES,
        measured=measured(PLACES, count=100, quick=48),
        steps=100,
        groups=16,
        attempts=8,
        row_length=2048,
        micro_rows=1,
        context=512,
        drop_equal=True,
        blind=BlindRule(),
        ptx=KEPT,
        schedule=Schedule(8e-4, warmup=5, decay=0.8),
        evaluate_every=20,
    )
