"""`tiny.joint_rl`: pictures and text learned together, by capability: knowledge, reasoning and coding have both.

    command      manyeyes run tiny.joint_rl   (goes on from the newest finished run of `tiny.rft`)
    hardware     2 CPU cores
    data         exact generators of pictures and of text problems
    numbers      docs/experiments

The report's fourth ability, agentic, is what `tiny.parl` learns.

Report: §2.3 (joint multimodal RL, domains by abilities).
"""

from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.rl_parts import BlindRule, PtxSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.tiny_places import by_ability, measured, sight_place, thought_place
from manyeyes.rl.curriculum import CurriculumRule

TASKS = 32
"""Of each place: few enough to come again, or the curriculum would know none of them."""
SIGHTS = by_ability(
    (
        *(sight_place(kind, size=TASKS) for kind in ("count", "locate", "bars", "share", "dice", "gauge")),
        *(sight_place(kind, tools=False, size=TASKS) for kind in ("tallest", "print")),
    )
)
THOUGHTS = tuple(
    thought_place(family, size=TASKS) for family in ("sum", "chain", "equation", "story", "most", "trace", "update")
)
KEPT = PtxSpec({"sft/parl": 1.0}, weight=0.2, rows=1)
"""Orchestrators' dialogues, which no place of this stage asks for and `tiny.parl` begins with."""


def tiny_joint_rl() -> RlRun:
    """The recipe."""
    return RlRun(
        name="tiny.joint_rl",
        about="pictures and text together, by capability",
        hardware="2 CPU cores, about 5 minutes",
        after="tiny.rft",
        places=(*SIGHTS, *THOUGHTS),
        measured=(*measured(SIGHTS, count=100, quick=48), *measured(THOUGHTS)),
        steps=60,
        groups=16,
        attempts=8,
        row_length=2048,
        micro_rows=1,
        context=512,
        drop_equal=True,
        schedule=Schedule(5e-4, warmup=4, decay=0.0),
        curriculum=CurriculumRule(),
        blind=BlindRule(),
        ptx=KEPT,
        evaluate_every=20,
    )
