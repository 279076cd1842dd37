"""`Delivery`: groups from their submission to their delivery: every attempt goes into its group, once.

    put      an attempt that was run is over: into the store, into the counts, into its group
    known    the store has it from an earlier run
    drop     it never started
    close    the last one of a group: the group is ready to be taken

Report: App. D.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from manyeyes.agent.clock import StopClock
from manyeyes.agent.rollouts.admission import Admission
from manyeyes.agent.rollouts.attempt import Attempt
from manyeyes.agent.rollouts.deadline_wheel import DeadlineWheel
from manyeyes.agent.rollouts.failures import Cause
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.open_group import OpenGroup, Stragglers
from manyeyes.agent.rollouts.run_log import RunLog
from manyeyes.agent.rollouts.stats import RolloutStats
from manyeyes.agent.rollouts.ticker import RATE, ticks
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.trajectory import Trajectory

STALE = "stale: it began with weights that are too old by now"
STRAGGLER = "straggler: its group does not need it any more"


class Store(Protocol):
    """Where finished trajectories go; see `core.trajectory_store.TrajectoryStore`."""

    def append(self, trajectory: Trajectory) -> Any:
        """Keep one; one with pictures is handed over in a thread. Never called twice at once."""
        ...

    def get(self, name: str) -> Trajectory:
        """One that was kept."""
        ...

    def __contains__(self, name: object) -> bool: ...


class Delivery:
    """See the module.

    Args:
        straggler_seconds: see `RolloutConfig`.
        cancel: ends an attempt that runs.
        changed: called when a group is ready.

    Attributes:
        groups: that are not over, by id.
        ready: that are over and not taken.
        version: of the policy.
    """

    def __init__(
        self,
        admission: Admission,
        stats: RolloutStats,
        wheel: DeadlineWheel,
        clock: StopClock,
        *,
        store: Store | None,
        log: RunLog | None,
        straggler_seconds: float,
        cancel: Callable[[Attempt, str], None],
        changed: Callable[[], None],
    ) -> None:
        self._admission, self._stats, self._wheel, self._clock = admission, stats, wheel, clock
        self._store, self._log, self._cancel, self._changed = store, log, cancel, changed
        self._straggler_seconds = straggler_seconds
        self.groups: dict[str, OpenGroup] = {}
        self.ready: deque[Group] = deque()
        self.version = 0
        self._shelving: deque[tuple[Attempt, Trajectory, str]] = deque()
        self._shelver: asyncio.Task[None] | None = None

    def open(self, group: OpenGroup) -> None:
        """A group was submitted."""
        self.groups[group.request.id] = group
        self._stats.submitted += group.request.size
        self._stats.groups += 1
        self._admission.push(group)

    def take(self) -> Group:
        """The next group that is ready; void when it is too old by now, which is the hard bound on staleness."""
        group = self.ready.popleft()
        gate = self._admission.staleness
        if gate is None or not group.complete:
            return group
        if (span := group.version_span) is not None and gate.too_old(span[0]):
            group.complete, group.stale = False, True
            gate.accepted -= 1
        return group

    def put(self, attempt: Attempt, trajectory: Trajectory, cause: str, *, keep: bool) -> None:
        """An attempt that was run is over.

        Args:
            cause: why it failed; "" when it did not.
            keep: whether it goes into the store: it is not run again then.
        """
        if keep and self._store is not None:
            if self._shelving or any(node.media for node in trajectory.nodes):
                self._shelve(attempt, trajectory, cause)
                return
            self._kept(self._failure(self._store, trajectory))
        self._into_group(attempt, trajectory, cause, naturally=cause != "cancelled")

    def known(self, attempt: Attempt) -> bool:
        """Whether an earlier run has made an attempt, whose trajectory is put into its group then."""
        trajectory = self._stored(attempt.name)
        if trajectory is None:
            return False
        self._stats.resumed += 1
        cause = trajectory.masked.partition(":")[0] if trajectory.stop in ("failed", "cancelled") else ""
        self._into_group(attempt, trajectory, cause, naturally=False)  # reading them all at once would hold up the rest
        return True

    def call_off(self, group: OpenGroup, why: str) -> None:
        """All attempts of a group that are not over end now."""
        group.called_off = group.called_off or why
        self.drop(group, "cancelled", why)
        for attempt in list(group.running.values()):
            self._cancel(attempt, why)

    def drop(self, group: OpenGroup, cause: Cause, why: str) -> None:
        """Attempts that have not started end without it."""
        for number in self._admission.dropped(group):
            trajectory = Trajectory(group.request.name_of(number), group.request.task.id, masked=f"{cause}: {why}")
            trajectory.stop = "cancelled" if cause == "cancelled" else "failed"
            self._count(trajectory, cause)
            group.put(number, trajectory, cause)
        if group.done and group.request.id in self.groups:
            self._close(group)

    def sweep(self) -> None:
        """End groups under way whose tokens are too old for training already."""
        gate = self._admission.staleness
        for group in list(self.groups.values()) if gate is not None else ():
            oldest = [one.oldest for one in (group, *group.running.values()) if one.oldest >= 0]
            if gate is not None and oldest and gate.too_old(min(oldest)):
                self.call_off(group, STALE)

    def _into_group(self, attempt: Attempt, trajectory: Trajectory, cause: str, *, naturally: bool) -> None:
        group: OpenGroup = attempt.group
        group.running.pop(attempt.number, None)
        self._admission.ended(naturally=naturally)
        group.put(attempt.number, trajectory, cause)
        if not cause and attempt.oldest >= 0:
            group.oldest = attempt.oldest if group.oldest < 0 else min(group.oldest, attempt.oldest)
        try:
            self._count(trajectory, cause)
        finally:
            self._after(group)

    def _after(self, group: OpenGroup) -> None:
        """One more attempt of a group is over."""
        if group.done:
            self._close(group)
        elif group.good >= group.request.needed and group.stragglers is None:
            group.stragglers = Stragglers(lambda: self.call_off(group, STRAGGLER))
            self._wheel.arm(group.stragglers, int(self._clock() * RATE) + ticks(self._straggler_seconds))

    def _close(self, group: OpenGroup) -> None:
        if group.stragglers is not None:
            self._wheel.disarm(group.stragglers)
        closed = group.closed(self._clock(), stale=group.called_off == STALE)
        self._admission.closed(group, accepted=closed.complete)
        del self.groups[group.request.id]
        self._stats.groups_done += 1
        self.ready.append(closed)
        if self._log is not None:
            self._log.group(closed)
        self._changed()

    def _count(self, trajectory: Trajectory, cause: str) -> None:
        stats = self._stats
        if not cause:
            stats.finished += 1
            stats.judged(trajectory)
        elif cause == "cancelled":
            stats.cancelled += 1
        else:
            stats.failed += 1
        if cause:
            stats.failures[cause] += 1
        stats.ended(trajectory, self.version)

    def _shelve(self, attempt: Attempt, trajectory: Trajectory, cause: str) -> None:
        """As `put`, in a thread and in turn, for pictures take long. Until then the attempt counts as running."""
        self._shelving.append((attempt, trajectory, cause))
        if len(self._shelving) == 1:
            self._shelver = asyncio.get_running_loop().create_task(self._shelve_all())

    async def _shelve_all(self) -> None:
        assert self._store is not None, "asked where there is a store"
        while self._shelving:
            attempt, trajectory, cause = self._shelving[0]
            self._kept(await asyncio.to_thread(self._failure, self._store, trajectory))
            self._shelving.popleft()
            asyncio.get_running_loop().call_soon(self._shelved, attempt, trajectory, cause)

    def _shelved(self, attempt: Attempt, trajectory: Trajectory, cause: str) -> None:
        self._into_group(attempt, trajectory, cause, naturally=cause != "cancelled")

    def _kept(self, failure: Exception | None) -> None:
        """A store that fails is counted, and the attempt is none the worse for it."""
        if failure is not None:
            self._stats.dropped += 1
            self._stats.failures["store"] += 1

    @staticmethod
    def _failure(store: Store, trajectory: Trajectory) -> Exception | None:
        """Into the store; why that failed."""
        try:
            store.append(trajectory)
        except Exception as error:  # whatever a store or a disk does, no rollout is lost by it
            return error
        return None

    def _stored(self, name: str) -> Trajectory | None:
        """What an earlier run has made of an attempt."""
        if self._store is None or name not in self._store:
            return None
        try:
            return self._store.get(name)
        except (ManyeyesError, OSError):
            self._stats.failures["store"] += 1
            return None
