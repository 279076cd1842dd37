"""`Cause`: why an attempt failed, decided at one place: a sick cluster and a sick prompt need opposite handling.

    data     bad_task · environment_bug                     running it again will not help
    infra    model · tool · sandbox · judge · timeout · hang · pool · store      somebody's fault: again, a few times
    cancelled                                       nobody's

    ManyeyesError
    └── AttemptFailed   ends an attempt, and says why
        └── Overdue     a wait that took too long

Every attempt has a budget of retries for each of the two kinds, and so has the run. When many attempts in a row fail
for reasons of infrastructure the breaker opens: nothing new starts for a while, then one attempt tries.

Report: App. D; the split follows NeMo RL's failure policy (facts: 2.3).
"""

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Literal, cast, get_args

from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.judge import JudgeFailed
from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.sampler import RequestError, SamplerError

Data = Literal["bad_task", "environment_bug"]
Infra = Literal["model", "tool", "sandbox", "judge", "timeout", "hang", "pool", "store"]
Cause = Literal[
    "bad_task", "environment_bug", "model", "tool", "sandbox", "judge", "timeout", "hang", "pool", "store", "cancelled"
]
Kind = Literal["data", "infra", "cancelled"]
BLAMES = {"SandboxUnavailable": "sandbox", "PoolError": "pool", "TrajectoryStoreError": "store"}
"""Causes by the name of an error's class, for errors of rooms that this one does not import."""
OF_WAIT: dict[str, Cause] = {"model": "model", "tool": "tool", "judge": "judge", "pool": "pool"}
"""By what was being waited for; any other wait is a "timeout"."""


class AttemptFailed(ManyeyesError):
    """Ends an attempt; raised by whoever knows the cause.

    Attributes:
        cause: see the module.
    """

    def __init__(self, cause: Cause, why: str) -> None:
        super().__init__(why)
        self.cause: Cause = cause


class Overdue(AttemptFailed):
    """A wait took too long."""

    def __init__(self, kind: str, seconds: float, frames: str = "") -> None:
        at = f", in {frames}" if frames else ""
        super().__init__(OF_WAIT.get(kind, "timeout"), f"no end of waiting for {kind} after {seconds:.1f} s{at}")
        self.kind = kind


def kind_of(cause: Cause) -> Kind:
    """Which budget a cause draws on.

    Example:
        >>> kind_of("hang"), kind_of("bad_task")
        ('infra', 'data')
    """
    if cause == "cancelled":
        return "cancelled"
    return "data" if cause in get_args(Data) else "infra"


def classified(error: BaseException) -> AttemptFailed:
    """Any error of an attempt as a failure with a cause; what nobody knows is a bug of the environment."""
    if isinstance(error, AttemptFailed):
        return error
    if isinstance(error, BaseExceptionGroup):
        return classified(error.exceptions[0])
    return AttemptFailed(_cause(error), f"{type(error).__name__}: {error}")


def _cause(error: BaseException) -> Cause:
    for family in type(error).__mro__:
        if family.__name__ in BLAMES:
            return cast(Cause, BLAMES[family.__name__])
    match error:
        case RequestError() | ConfigError():
            return "environment_bug"
        case SamplerError():
            return "model"
        case ModelError():
            return "model" if error.kind in ("endpoint", "quota") else "environment_bug"
        case JudgeFailed():
            return "judge"
        case _:
            return "environment_bug"


@dataclass
class RetryBudget:
    """How often failed attempts are run again: each at most so often, all of them together at most so often.

    Attributes:
        infra, data: of one attempt.
        infra_of_run, data_of_run: of all attempts together.

    Example:
        >>> budget = RetryBudget(infra=1)
        >>> tries = Counter()
        >>> budget.may_retry("model", tries), budget.may_retry("model", tries), budget.may_retry("bad_task", tries)
        (True, False, False)
    """

    infra: int = 2
    data: int = 0
    infra_of_run: float = inf
    data_of_run: float = inf
    spent: Counter[str] = field(default_factory=Counter)

    def may_retry(self, cause: Cause, tries: Counter[str]) -> bool:
        """Whether an attempt may run again; counts it when it may.

        Args:
            tries: the attempt's own retries so far, by kind.
        """
        kind = kind_of(cause)
        if kind == "cancelled":
            return False
        most, of_run = (self.infra, self.infra_of_run) if kind == "infra" else (self.data, self.data_of_run)
        if tries[kind] >= most or self.spent[kind] >= of_run:
            return False
        tries[kind] += 1
        self.spent[kind] += 1
        return True


@dataclass
class Breaker:
    """Keeps new attempts from starting while everything fails for reasons of infrastructure.

    Attributes:
        most: failures in a row that open it.
        seconds: that it stays open; doubled each time that the try after it fails, too.
        most_trips: times that it may open in a row before the run is given up.

    Example:
        >>> breaker = Breaker(most=2, seconds=10.0)
        >>> breaker.failed(0.0), breaker.failed(1.0), breaker.may_start(2.0), breaker.may_start(11.5)
        (None, None, False, True)
    """

    most: int = 64
    seconds: float = 5.0
    most_trips: int = 8
    in_a_row: int = 0
    trips: int = 0
    _until: float = -inf
    _trying: bool = False

    @property
    def given_up(self) -> bool:
        """Whether nothing will start any more."""
        return self.trips >= self.most_trips

    def may_start(self, now: float) -> bool:
        """Whether an attempt may start; while it is half open one may."""
        if self.given_up or now < self._until:
            return False
        if self.trips and self._trying:
            return False
        self._trying = self.trips > 0
        return True

    def succeeded(self) -> None:
        """An attempt came to its end."""
        self.in_a_row = self.trips = 0
        self._trying = False

    def said_nothing(self) -> None:
        """An end that says nothing of infrastructure: where it was that of the one that tries, another tries."""
        self._trying = False

    def failed(self, now: float) -> None:
        """An attempt failed for a reason of infrastructure."""
        self.in_a_row += 1
        if now < self._until:
            return  # begun before it opened: says nothing new
        if self.in_a_row >= self.most or self._trying:
            self.trips += 1
            self._until = now + self.seconds * 2 ** (self.trips - 1)
            self._trying = False
            self.in_a_row = 0
