"""`reference_of`: the truth of a task as words that a grader can compare with; "" where it is no such thing.

Text and numbers read as a reference, and so do several of them, one a line. Anything else is how an environment knows
its task (a seed, a table, a plan); what it looks like printed is no answer, and whoever asks gets none.

Report: §4.4.2 (graders with a reference answer); which truths are shown is an open choice here.
"""

import math
from numbers import Real
from typing import Any


def reference_of(truth: Any) -> str:
    """See the module.

    Example:
        >>> reference_of("Oslo"), reference_of([3, 0.5]), reference_of({"seed": 7}), reference_of(None)
        ('Oslo', '3\\n0.5', '', '')
    """
    several = truth if isinstance(truth, list | tuple) else [truth]
    return "\n".join(map(str, several)) if all(map(_reads, several)) else ""


def _reads(one: Any) -> bool:
    """Text, or a number that is one; True and False are flags and say nothing to a reader."""
    if isinstance(one, bool) or not isinstance(one, str | Real):
        return False
    return isinstance(one, str) or math.isfinite(one)
