"""`TimeLeft`: when a run will be done, from the speeds of its stages.

    left = (Σ over stages: steps left x seconds a step) x (1 + time between steps / time within steps)

The present stage's seconds a step are the median of its latest ones, so one slow step changes nothing. A later stage is
taken to need as many seconds a token as the run so far. The last factor is what evaluations and checkpoints cost; a gap
longer than `PAUSE` is a stop, not an evaluation.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median

from manyeyes.view.stage_plan import StagePlan

LATEST = 40
PAUSE = 1200.0


class TimeLeft:
    """Takes in steps as they end; `seconds` is the estimate at any time.

    Example:
        >>> left = TimeLeft([StagePlan("text", 10, 100), StagePlan("joint", 5, 200)])
        >>> for step in range(1, 5):
        ...     left.add("text", seconds=2.0, tokens=100, at=2.0 * step)
        >>> left.seconds("text", stage_left=6, run_left=11)
        32.0
    """

    def __init__(self, plan: Sequence[StagePlan] = ()) -> None:
        self._plan = tuple(plan)
        self._stage = ""
        self._latest: deque[float] = deque(maxlen=LATEST)
        self._steps = self._tokens = 0
        self._within = self._between = 0.0
        self._at: float | None = None

    def add(self, stage: str, *, seconds: float, tokens: int, at: float) -> None:
        """A step ended at clock time `at` after `seconds`."""
        if stage != self._stage:
            self._stage = stage
            self._latest.clear()
        self._latest.append(seconds)
        self._steps, self._tokens, self._within = self._steps + 1, self._tokens + tokens, self._within + seconds
        if self._at is not None and 0 < at - self._at - seconds < PAUSE:
            self._between += at - self._at - seconds
        self._at = at

    @property
    def spent(self) -> float:
        """Seconds that the run took so far, evaluations and checkpoints included, pauses left out."""
        return self._within + self._between

    def seconds(self, stage: str, *, stage_left: int, run_left: int) -> float | None:
        """Seconds to the end of the run; None before the first step.

        Args:
            stage_left: steps that the present stage still has.
            run_left: steps that the whole run still has.
        """
        if not self._within or not self._latest:
            return None
        later = self._later(stage)
        known = sum(plan.steps for plan in later)
        work = stage_left * median(self._latest) + sum(plan.steps * self._step_seconds(plan) for plan in later)
        work += max(0, run_left - stage_left - known) * self._within / self._steps
        return work * (1 + self._between / self._within)

    def _later(self, stage: str) -> tuple[StagePlan, ...]:
        names = [plan.name for plan in self._plan]
        return self._plan[names.index(stage) + 1 :] if stage in names else ()

    def _step_seconds(self, plan: StagePlan) -> float:
        if plan.step_tokens and self._tokens:
            return plan.step_tokens * self._within / self._tokens
        return self._within / self._steps
