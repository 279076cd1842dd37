"""`tiny.rft`: right answers of the policy that learned to see become examples for fine-tuning.

    command      manyeyes run tiny.rft        (goes on from the newest finished run of `tiny.vision_rl`)
    hardware     2 CPU cores
    data         attempts at the pictures and text problems of `tiny.joint_rl`, each task a new one; three tenths of the
                 tokens are dialogues of `tiny.sft`
    numbers      docs/experiments

Report: §2.3 (rejection sampling back into fine-tuning).
"""

from dataclasses import replace

from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.tiny_joint_rl import SIGHTS, THOUGHTS
from manyeyes.recipes.tiny_places import measured
from manyeyes.rl.rft import RftRules

PLACES = tuple(replace(place, tasks=place.tasks | {"size": None}) for place in (*SIGHTS, *THOUGHTS))
ROW_LENGTH = 1024
"""An orchestrator's dialogue (`sft/parl`) has up to a thousand tokens."""


def tiny_rft() -> RftRun:
    """The recipe."""
    return RftRun(
        name="tiny.rft",
        about="right attempts at pictures and text become fine-tuning data",
        hardware="2 CPU cores, about 5 minutes",
        after="tiny.vision_rl",
        places=PLACES,
        tasks=1024,
        attempts=4,
        rules=RftRules(per_task=1),
        beside={"sft/zero_vision": 1.0, "sft/thinking": 1.0, "sft/thinking_tools": 0.5, "sft/parl": 1.0},
        beside_share=0.3,
        steps=80,
        row_length=ROW_LENGTH,
        rows=8,
        micro_rows=2,
        measured=measured(PLACES, count=64, quick=64),
    )
