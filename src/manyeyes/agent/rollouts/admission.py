"""`Admission`: which attempt starts next, and whether one may: priority, cap, burst, staleness, breaker.

Report: App. D.
"""

import heapq
from collections.abc import Iterator
from itertools import count

from manyeyes.agent.rollouts.concurrency import AdaptiveCap, Burst, EngineSample
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.failures import Breaker
from manyeyes.agent.rollouts.open_group import OpenGroup
from manyeyes.agent.rollouts.staleness import StalenessGate


class Admission:
    """See the module. Knows nothing of tasks and loops.

    Attributes:
        queued: attempts that wait.
        running: attempts under way.
        breaker: shut while everything fails.
        staleness: None where nobody asks.
    """

    def __init__(self, config: RolloutConfig) -> None:
        self._most, self.queued, self.running = config.most_running, 0, 0
        self.breaker = Breaker(config.breaker, config.breaker_seconds, config.breaker_trips)
        self.staleness = StalenessGate(config.batch, config.max_staleness) if config.batch else None
        self._burst = Burst(config.burst, left=config.burst)
        floor = min(config.least_running, config.most_running)
        start = max(floor, config.most_running // 4)
        self._adaptive = AdaptiveCap(floor, config.most_running, start) if config.adaptive else None
        self._queue: list[tuple[int, int, OpenGroup]] = []
        self._begun: list[tuple[int, int, OpenGroup]] = []
        """Groups that the staleness gate counts already: they are not held up by one that it does not let begin."""
        self._numbers = count()

    @property
    def cap(self) -> int:
        """Attempts that may run now."""
        return self._adaptive.cap if self._adaptive is not None else self._most

    def push(self, group: OpenGroup) -> None:
        """A group wants to start."""
        self.queued += group.request.size
        heapq.heappush(self._queue, (group.request.priority, next(self._numbers), group))

    def tick(self) -> None:
        """A tick has passed."""
        self._burst.tick()

    def take(self, sample: EngineSample) -> None:
        """The engines say how they are."""
        if self._adaptive is not None:
            self._adaptive.take(sample, running=self.running)

    def starting(self, now: float) -> Iterator[tuple[OpenGroup, int]]:
        """Attempts that start now: group and number."""
        while (group := self._next()) is not None and self._may_start(now):
            if self.staleness is not None and not group.gated:
                self.staleness.start()
                group.gated = True
                heapq.heappush(self._begun, (group.request.priority, next(self._numbers), group))
            number = group.started
            group.started += 1
            self.queued -= 1
            self.running += 1
            yield group, number

    def dropped(self, group: OpenGroup) -> list[int]:
        """Attempts of a group that will not start any more."""
        numbers = list(range(group.started, group.request.size))
        group.started = group.request.size
        self.queued -= len(numbers)
        return numbers

    def waiting(self) -> list[OpenGroup]:
        """Groups of which attempts are to be started."""
        return [group for *_, group in self._queue if group.waits]

    def ended(self, *, naturally: bool) -> None:
        """An attempt is over; one that ended by itself leaves its place to the next at once."""
        self.running -= 1
        if naturally:
            self._burst.refund()

    def closed(self, group: OpenGroup, *, accepted: bool) -> None:
        """A group is over."""
        if self.staleness is not None and group.gated:
            self.staleness.end(accepted=accepted)

    def _next(self) -> OpenGroup | None:
        """Of which group an attempt starts next: the first, or the first that has begun where no other may."""
        group, gate = _first(self._queue), self.staleness
        if group is None or gate is None or group.gated or gate.capacity(most_running=self.cap):
            return group
        return _first(self._begun)

    def _may_start(self, now: float) -> bool:
        if self.running >= self.cap or self._burst.left < 1:
            return False
        return self.breaker.may_start(now) and self._burst.take()


def _first(queue: list[tuple[int, int, OpenGroup]]) -> OpenGroup | None:
    while queue and not queue[0][2].waits:
        heapq.heappop(queue)
    return queue[0][2] if queue else None
