"""`tiny.rft`: right answers of the policy that learned to see become examples for fine-tuning.

    command      manyeyes run tiny.rft        (goes on from the newest finished run of `tiny.vision_rl`)
    hardware     2 CPU cores
    data         attempts at pictures and text problems; three tenths of the tokens are dialogues of `tiny.sft`
    numbers      docs/experiments

Report: §2.3 (rejection sampling back into fine-tuning).
"""

from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.tiny_joint_rl import SIGHTS, THOUGHTS
from manyeyes.recipes.tiny_places import measured
from manyeyes.rl.rft import RftRules


def tiny_rft() -> RftRun:
    """The recipe."""
    return RftRun(
        name="tiny.rft",
        about="right attempts at pictures and text become fine-tuning data",
        hardware="2 CPU cores, about 5 minutes",
        after="tiny.vision_rl",
        places=(*SIGHTS, *THOUGHTS),
        tasks=1024,
        attempts=4,
        rules=RftRules(per_task=1),
        beside={"sft/zero_vision": 1.0, "sft/thinking": 1.0, "sft/thinking_tools": 0.5, "sft/parl": 1.0},
        beside_share=0.3,
        steps=80,
        row_length=512,
        rows=16,
        micro_rows=4,
        measured=measured((*SIGHTS, *THOUGHTS), count=64, quick=64),
    )
