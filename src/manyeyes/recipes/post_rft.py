"""Rejection sampling of `small` and `k25`, between visual and joint RL: right attempts become fine-tuning data.

    command      manyeyes run small.rft, k25.rft
    hardware     as the other recipes of post-training at their scale; neither was run here
    data         attempts at pictures and text problems; three tenths of the tokens are dialogues of fine-tuning

The report prints no numbers for it; those here are a start, and no more.

Report: §2.3 (rejection sampling back into fine-tuning).
"""

from manyeyes.optim.schedule import Schedule
from manyeyes.recipes import post_places, tiny_sft
from manyeyes.recipes.post_training import K25, SMALL, Scale
from manyeyes.recipes.rft_run import RftRun
from manyeyes.rl.rft import RftRules

GROUPS = 64
"""Batches of RL whose tasks are attempted."""


def rft(scale: Scale) -> RftRun:
    """Pictures and text; a quarter of fine-tuning's steps at half its rate."""
    tokens, tasks = scale.answer_tokens, GROUPS * scale.groups
    return RftRun(
        name=f"{scale.base}.rft", about="right attempts at pictures and text become fine-tuning data",
        hardware=scale.hardware, after=f"{scale.base}.vision_rl",
        places=(
            *post_places.sights(side=scale.side, answer_tokens=tokens, size=tasks),
            *post_places.thoughts(answer_tokens=tokens, size=tasks),
        ),
        tasks=tasks, attempts=scale.attempts, rules=RftRules(per_task=1), beside=dict(tiny_sft.DIALOGUES),
        beside_share=0.3, steps=scale.sft_steps // 4, row_length=scale.row_length, rows=scale.sft_rows, micro_rows=1,
        schedule=Schedule(scale.rate / 2, warmup=20, decay=0.5, shape="cosine", end=0.1), running=scale.running,
        cache_tokens=scale.cache_tokens,
    )  # fmt: skip


def small_rft() -> RftRun:
    """`small.rft`."""
    return rft(SMALL)


def k25_rft() -> RftRun:
    """`k25.rft`."""
    return rft(K25)
