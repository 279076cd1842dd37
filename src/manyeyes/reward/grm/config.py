"""`GrmConfig`: how grading is done: which rubrics, how many votes, how long, and how much is shown and kept.

Report: §4.4.2, which gives none of these numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from manyeyes.core.errors import ConfigError
from manyeyes.reward.grm.evidence import EvidenceBudget
from manyeyes.reward.grm.on_verified import CAP, SHARE, on_verified
from manyeyes.reward.grm.rubric import Rubric, TaskKind
from manyeyes.reward.grm.rubrics import RUBRICS


@dataclass(frozen=True, slots=True)
class GrmConfig:
    """How grading is done.

    Attributes:
        rubrics: by kind of task.
        drawn: rubrics of these that are used for a group; every grader is asked by each.
        quorum: votes without which there is no score.
        attempts: at a verdict that can be read.
        seconds: for all votes of one score or comparison; None leaves it to the caller.
        seed: of draws and marks.
        budget: of what is shown of each work.
        kept: characters of each question and reply in the transcripts.
        share, cap: see `on_verified`.

    Raises:
        ConfigError: numbers that contradict each other.
    """

    rubrics: Mapping[TaskKind, Sequence[Rubric]] = field(default_factory=lambda: RUBRICS)
    drawn: int = 2
    quorum: int = 1
    attempts: int = 2
    seconds: float | None = 120.0
    seed: int = 0
    budget: EvidenceBudget = EvidenceBudget()
    kept: int = 4000
    share: float = SHARE
    cap: float = CAP

    def __post_init__(self) -> None:
        if min(self.drawn, self.quorum, self.attempts) < 1 or (self.seconds is not None and not self.seconds > 0):
            raise ConfigError(f"drawn, quorum and attempts must be at least 1 and seconds above 0, got {self}")
        on_verified(0.0, 0.0, share=self.share, cap=self.cap)
