"""`GroupRequest` and `Group`: K attempts at one task, asked for together and delivered together.

Report: §4.4.2 (K rollouts of a task), App. D.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class GroupRequest:
    """What is asked for.

    Attributes:
        id: unique in a run, the same when the run is resumed.
        task: what is to be done.
        episode: where: an `Environment`, a `TokenEnvironment`, or any `Episode`.
        size: attempts.
        priority: lower goes first.
        seed: of everything that is drawn in it.
        quorum: attempts with a verdict that make it complete; all when left out.

    Example:
        >>> request = GroupRequest("17", Task("maze", "…"), episode=None, size=4)
        >>> request.name_of(3), request.needed
        ('maze/17/3', 4)
    """

    id: str
    task: Task
    episode: Any
    size: int
    priority: int = 0
    seed: int = 0
    quorum: int | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"group {self.id}: expected at least one attempt, got {self.size}")
        if self.quorum is not None and not 1 <= self.quorum <= self.size:
            raise ConfigError(f"group {self.id}: a quorum of {self.quorum} is not between 1 and {self.size} attempts")

    @property
    def needed(self) -> int:
        """Attempts with a verdict that make it complete."""
        return self.size if self.quorum is None else self.quorum

    def name_of(self, attempt: int) -> str:
        """Of the trajectory of an attempt."""
        return f"{self.task.id}/{self.id}/{attempt}"


@dataclass(slots=True)
class Group:
    """What came of it.

    Attributes:
        request: what was asked for.
        trajectories: each attempt exactly once, those that failed or were cancelled included, in order.
        complete: whether enough of them came to their end, and none of its tokens is too old.
        stale: whether it is not complete because its tokens are too old.
        failures: of its attempts that did not come to their end, by cause; and of its group judge.
        seconds: from its submission to its delivery.
    """

    request: GroupRequest
    trajectories: list[Trajectory] = field(default_factory=list)
    complete: bool = False
    stale: bool = False
    failures: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def rewards(self) -> list[float | None]:
        """Of each attempt; None where it has no verdict."""
        return [trajectory.reward for trajectory in self.trajectories]

    @property
    def version_span(self) -> tuple[int, int] | None:
        """The oldest and the newest version of tokens that may be trained on; None where there are none."""
        spans = [
            (int(node.versions.min()), int(node.versions.max()))
            for trajectory in self.trajectories
            for number, node in enumerate(trajectory.nodes)
            if len(node.versions) and trajectory.trainable(number)
        ]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None
