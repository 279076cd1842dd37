"""`right_of`: what a verdict says of rightness, for judges that put something on top of another judge's reward.

A reward with a grader's share or a penalty in it no longer tells who was right. Such a judge hands on the part `right`,
which whoever asks for right attempts (`rl.right`: curriculum, Toggle, rejection sampling, figures) reads first.

Report: §4.4.2 ("correct" answers of Eq. 2; rewards with several parts).
"""

import math

from manyeyes.agent.judge import Verdict

RIGHT = "right"
"""Name of the part by which a judge says it; the same word as `rl.right.PART`."""
BESIDE = "together/"
"""What the parts of a group judge begin with (`agent.group_judge`)."""
GIVEN = f"{BESIDE}reward"
"""The part that holds the reward which a group judge gave."""
ALONE = f"{BESIDE}alone"
"""The part that holds an attempt's reward from before it stood beside others; absent where it had none."""


def right_of(verdict: Verdict, *, least: float = 1.0) -> float:
    """The verdict's own part `right` where it names one; else 1 for a reward of at least `least`, and 0 below.

    Example:
        >>> right_of(Verdict(0.95, {"near": 0.9, "right": 1.0})), right_of(Verdict(0.95, {"near": 0.95}))
        (1.0, 0.0)
    """
    said = verdict.parts.get(RIGHT)
    return float(verdict.reward >= least) if said is None or not math.isfinite(said) else said
