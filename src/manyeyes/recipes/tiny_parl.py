"""`tiny.parl`: an orchestrator learns to divide its work; sub-agents are frozen checkpoints of before.

    command      manyeyes run tiny.parl       (goes on from the newest finished run of `tiny.toggle`)
    hardware     2 CPU cores
    data         invented worlds with exact answers; each task exceeds what one agent can do within the budget
    numbers      docs/experiments

Report: §3 (PARL reward, critical steps as the budget), Fig. 4, Fig. 8.
"""

import dataclasses

from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.rl_run import Measured, PlaceSpec, RlRun
from manyeyes.swarm.parl import Fade, ParlRule

WIDE = PlaceSpec(
    "wide", "agentic", "parl", world={"enough": 6, "sub_temperature": 0.3}, tasks={"rows": [4, 8]}, answer_tokens=560
)
HELD_OUT = dataclasses.replace(WIDE, tasks={"rows": [4, 12]})


def tiny_parl() -> RlRun:
    """The recipe."""
    return RlRun(
        name="tiny.parl",
        about="parallel agents: an orchestrator is trained, its sub-agents are frozen",
        hardware="2 CPU cores, about 25 minutes",
        after="tiny.toggle",
        places=(WIDE,),
        measured=(Measured(HELD_OUT, count=48, quick=24),),
        steps=40,
        groups=4,
        attempts=8,
        row_length=4096,
        micro_rows=1,
        context=1536,
        schedule=Schedule(1.3e-3, warmup=2, decay=0.3),
        parl=ParlRule(Fade(0.4, until=26), Fade(0.3, until=26)),
        evaluate_every=10,
    )
