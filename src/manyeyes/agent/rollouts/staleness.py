"""`StalenessGate`: how many groups may start so that none of them is too old when the trainer gets to it.

    capacity = min( most_running - running,  (max_staleness + version + 1) · batch - (accepted + running) )

A trainer at version v takes `batch` groups a step. Whatever starts now is trained on at the version which comes after
all groups that are accepted or under way. On a resumed run `accepted` begins at version · batch, or a burst follows.
The gate keeps work from being thrown away; `too_old` is what guarantees the bound, because a group may take longer
than foreseen.

Report: App. D; the formula is AReaL's (facts: 2.4).
"""

from dataclasses import dataclass

from manyeyes.core.errors import ConfigError


@dataclass
class StalenessGate:
    """A pure state machine over groups.

    Attributes:
        batch: groups that a step of the trainer takes.
        max_staleness: versions that a token may be behind when it is trained on.
        version: of the policy.
        accepted: groups that were delivered for training.
        running: groups under way.

    Example:
        >>> gate = StalenessGate(batch=4, max_staleness=1)
        >>> gate.capacity(most_running=100)
        8
        >>> gate.start()
        >>> gate.capacity(most_running=100)
        7
    """

    batch: int
    max_staleness: int
    version: int = 0
    accepted: int = 0
    running: int = 0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.max_staleness < 0:
            raise ConfigError(
                f"a staleness gate needs a batch of at least 1 and a staleness of at least 0, "
                f"got {self.batch} and {self.max_staleness}"
            )

    def capacity(self, *, most_running: int) -> int:
        """Groups that may start now."""
        fresh = (self.max_staleness + self.version + 1) * self.batch - (self.accepted + self.running)
        return max(0, min(most_running - self.running, fresh))

    def start(self) -> None:
        """A group is under way."""
        self.running += 1

    def end(self, *, accepted: bool) -> None:
        """It is over; accepted when it goes to the trainer."""
        self.running -= 1
        self.accepted += accepted

    def publish(self, version: int) -> None:
        """The policy has new weights."""
        self.version = version

    def resume(self, version: int) -> None:
        """Begin where an interrupted run stopped."""
        self.version, self.accepted, self.running = version, version * self.batch, 0

    def too_old(self, oldest: int) -> bool:
        """Whether a group with a token of that version must not be trained on any more."""
        return self.version - oldest > self.max_staleness
