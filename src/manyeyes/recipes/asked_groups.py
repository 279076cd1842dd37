"""`asked`: groups of attempts that a recipe wants beside its loop: held-out tasks, blind tasks, tasks of RFT.

    requests ── as many as there is room for ──▶ manager ──▶ groups, as they end

`EndedAttempts` is the store that they are found in again. What failed for reasons of infrastructure is not among them,
so whoever asks again makes it again: a sandbox that died must not stand for an answer for ever.

Report: App. D (partial rollouts and resumed runs find trajectories again).
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.rl.loop_arrival import arriving

FAILED = "failed"
"""How an attempt ended that came to no end of its own."""


async def asked(
    manager: RolloutManager, requests: Iterable[GroupRequest], *, stop: Callable[[], bool] = lambda: False
) -> AsyncIterator[Group]:
    """Groups as they are over, until all are, or somebody wants to stop; never more under way than there is room for.

    Args:
        stop: asked again and again; once True it stays True.

    Raises:
        ManyeyesError: nothing starts any more, because too many attempts in a row failed.
    """
    waiting = deque(requests)
    while True:
        while waiting and manager.has_room(waiting[0]):
            manager.submit(waiting.popleft())
        if (group := await arriving(manager, stop)) is None:
            return
        yield group


def failed(groups: Iterable[Group]) -> list[Trajectory]:
    """Attempts that came to no end of their own."""
    return [one for group in groups for one in group.trajectories if one.stop == FAILED]


def why_failed(one: Trajectory) -> str:
    """For people."""
    return f"{one.name}: {one.agents[0].reason or one.masked}"


class EndedAttempts:
    """A store of attempts as the rollout manager sees it, without those that failed: these are not kept."""

    def __init__(self, store: TrajectoryStore) -> None:
        self._store = store

    def append(self, trajectory: Trajectory) -> Any:
        """Keep one that has ended. Raises as `TrajectoryStore.append`."""
        return None if trajectory.stop == FAILED else self._store.append(trajectory)

    def get(self, name: str) -> Trajectory:
        """One that was kept."""
        return self._store.get(name)

    def __contains__(self, name: object) -> bool:
        """Whether it is there and has ended; a store of an earlier version holds others, too."""
        return name in self._store and self._store.summary(str(name)).stop != FAILED
