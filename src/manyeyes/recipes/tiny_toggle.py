"""`tiny.toggle`: brief and unconstrained phases take turns; the same run with toggle=null learns without a budget.

    command      manyeyes run tiny.toggle     (goes on from the newest finished run of `tiny.joint_rl`)
    hardware     2 CPU cores
    data         exact text problems; some families are measured that are not trained on
    numbers      docs/experiments

Report: §4.4.2 (Toggle, Eq. 2), Fig. 5.
"""

from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.tiny_places import measured, thought_place
from manyeyes.rl.toggle import ToggleRule

TRAINED = ("sum", "chain", "equation", "story", "trace", "update", "table", "branch", "call")
"""Mathematics and programming, as in the report."""
TRANSFERRED = ("largest", "smallest", "most", "hops", "prices", "count", "parity")
TASKS = 12
"""Of each family, so that tasks come again and meet the budget that was estimated when they came first (Eq. 2)."""


def tiny_toggle() -> RlRun:
    """The recipe."""
    return RlRun(
        name="tiny.toggle",
        about="token-efficient RL: budgets hold in every other phase",
        hardware="2 CPU cores, about 5 minutes",
        after="tiny.joint_rl",
        places=tuple(thought_place(family, size=TASKS) for family in TRAINED),
        measured=measured(tuple(map(thought_place, TRAINED + TRANSFERRED)), count=64, quick=16),
        steps=30,
        groups=16,
        attempts=8,
        row_length=2048,
        micro_rows=1,
        context=1024,
        drop_equal=True,
        schedule=Schedule(5e-4, warmup=2, decay=0.3),
        toggle=ToggleRule(every=5, threshold=0.5),
        evaluate_every=10,
    )
