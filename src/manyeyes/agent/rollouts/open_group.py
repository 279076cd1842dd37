"""`OpenGroup`: a group that is not delivered: which attempts were started, and what came of those that ended.

Report: App. D.
"""

from collections.abc import Callable
from typing import Any

from manyeyes.agent.rollouts.attempt import Attempt
from manyeyes.agent.rollouts.deadline_wheel import Deadline
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.core.trajectory import Trajectory


class OpenGroup:
    """See the module.

    Attributes:
        request: what was asked for.
        episode: what its attempts live through.
        at: when it was submitted, by the run's clock.
        started: attempts that were started or ended before they were.
        ended: attempts that came to their end.
        good: those of them that ended as they should.
        running: by number.
        called_off: why it was cancelled; "" while it is not.
        stragglers: deadline of those that are left behind.
        gated: whether the staleness gate counts it.
        oldest: version of the oldest live token of those that ended as they should; -1 while there is none.
    """

    __slots__ = (
        "at", "called_off", "ended", "episode", "gated", "good", "group", "oldest", "request", "running", "started",
        "stragglers", "trajectories",
    )  # fmt: skip

    def __init__(self, request: GroupRequest, episode: Any, at: float) -> None:
        self.request, self.episode, self.at = request, episode, at
        self.group = Group(request)
        self.trajectories: list[Trajectory | None] = [None] * request.size
        self.started = self.ended = self.good = 0
        self.oldest = -1
        self.running: dict[int, Attempt] = {}
        self.called_off, self.gated = "", False
        self.stragglers: Stragglers | None = None

    @property
    def waits(self) -> bool:
        """Whether attempts of it are to be started."""
        return self.started < self.request.size

    @property
    def done(self) -> bool:
        """Whether all attempts have ended."""
        return self.ended == self.request.size

    def put(self, number: int, trajectory: Trajectory, cause: str) -> None:
        """An attempt came to its end.

        Args:
            cause: why it failed; "" when it did not.
        """
        assert self.trajectories[number] is None, "every attempt ends once"
        self.trajectories[number] = trajectory
        self.ended += 1
        if cause:
            self.group.failures[cause] += 1
        else:
            self.good += 1

    def closed(self, now: float, *, stale: bool) -> Group:
        """The group as it is delivered."""
        group = self.group
        group.trajectories = [one for one in self.trajectories if one is not None]
        group.stale = stale
        group.complete = self.good >= self.request.needed and not stale
        group.seconds = now - self.at
        return group


class Stragglers(Deadline):
    """When those end that a group does not need any more."""

    __slots__ = ("_late",)

    def __init__(self, late: Callable[[], None]) -> None:
        super().__init__()
        self._late = late

    def expire(self) -> None:
        """See `Deadline.expire`."""
        self._late()
