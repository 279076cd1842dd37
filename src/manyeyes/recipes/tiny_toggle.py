"""`tiny.toggle`: brief and unconstrained phases take turns; the same run with toggle=null learns without a budget.

    command      manyeyes run tiny.toggle     (goes on from the newest finished run of `tiny.joint_rl`)
    hardware     2 CPU cores
    data         exact text problems; some families are measured that are not trained on
    numbers      docs/experiments

Eleven phases, of which the first and the last are brief, so the model of the last step is that of a brief phase, as far
along the schedule as that of a run without Toggle. Held-out tasks are asked at the end of each phase. A task's
budget holds from a quarter of its attempts right: `tiny` solves a third of these problems, and half of the attempts
right would leave most tasks without a budget.
`model_unconstrained` in the run's folder has the weights with which the last unconstrained phase ended.

Report: §4.4.2 (Toggle, Eq. 2), Fig. 5.
"""

from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.tiny_joint_rl import KEPT
from manyeyes.recipes.tiny_places import measured, thought_place
from manyeyes.rl.toggle import ToggleRule

TRAINED = ("sum", "chain", "equation", "story", "trace", "update", "table", "branch", "call")
"""Mathematics and programming, as in the report."""
TRANSFERRED = ("largest", "smallest", "most", "hops", "prices", "count", "parity")
EVERY = 5
"""Steps of a phase."""
TASKS = 12
"""Of each family, so that tasks come again and meet the budget that was estimated when they came first (Eq. 2)."""


def tiny_toggle() -> RlRun:
    """The recipe."""
    return RlRun(
        name="tiny.toggle",
        about="token-efficient RL: budgets hold in every other phase",
        hardware="2 CPU cores, about 3 minutes",
        after="tiny.joint_rl",
        places=tuple(thought_place(family, size=TASKS) for family in TRAINED),
        measured=measured(tuple(map(thought_place, TRAINED + TRANSFERRED)), count=64, quick=16),
        steps=11 * EVERY,
        groups=16,
        attempts=8,
        row_length=2048,
        micro_rows=1,
        context=1024,
        drop_equal=True,
        schedule=Schedule(3e-4, warmup=2, decay=0.3),
        ptx=KEPT,
        toggle=ToggleRule(every=EVERY, threshold=0.25),
        evaluate_every=EVERY,
    )
