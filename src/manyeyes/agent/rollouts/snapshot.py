"""`RolloutSnapshot`: what a rollout run is doing at one moment; one a second lies in `RUN/rollouts.jsonl`.

Counts, sums and histograms are cumulative since the run began, so that the difference of any two snapshots tells what
happened between them; what is "now" says so.

Report: App. D (monitoring of rollouts).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

ROLLOUTS, GROUPS, TRAJECTORIES = "rollouts.jsonl", "groups.jsonl", "trajectories"
"""Of a run folder: a snapshot a line; a line for each delivered group; the trajectory store."""
WAITS = ("model", "tool", "pool", "judge", "spawn", "gate")
"""What an agent may be waiting for."""
LENGTHS = tuple(2**power for power in range(6, 21))
"""Upper edges of the histogram of sampled tokens an attempt; what is longer counts under the last."""


class LoopLag(msgspec.Struct, frozen=True):
    """How late the event loop was over the last second, in seconds."""

    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class RolloutSnapshot(msgspec.Struct, omit_defaults=True):
    """What a rollout run is doing.

    Attributes:
        at: Unix seconds.
        seconds: since the run began.
        version: of the policy, as the manager was told.
        submitted, finished, failed, cancelled: attempts so far; finished ones are judged where there is a judge.
        resumed: attempts that an earlier process had finished, not run again.
        queued, running: attempts now.
        suspended: agents that wait at the gate of a suspended run, or rest before they ask again.
        waiting_for: agents now, by what they wait for (`WAITS`); an attempt has one or many of them, and one whose
            sub-agent is at work waits for its "spawn".
        groups: that were submitted.
        groups_done: that were delivered.
        turns: completions so far.
        tokens_given, tokens_sampled: of them.
        seconds_in: task-seconds so far in "sample", "tool", "judge", "wait" (spawns, gates, backing off), "pool".
        failures: by cause (`failures.Cause`), retried ones included.
        retries: attempts that were run again.
        rewards: by part, "reward" for the whole: sum and count.
        lengths: sampled tokens of finished attempts, by upper edge (`LENGTHS`).
        staleness: live sampled tokens of ended attempts by how many versions behind the newest one they were.
        pool: by kind, what `EnvironmentPool.stats` says.
        loop_lag: over the last second.
        concurrency_cap: attempts that may run now.
        dropped_records: trajectories that could not be stored, events and snapshots that could not be written.

    Example:
        >>> RolloutSnapshot(at=0.0, seconds=1.0, submitted=8, finished=5, failed=1).open
        2
    """

    at: float
    seconds: float
    version: int = 0
    submitted: int = 0
    queued: int = 0
    running: int = 0
    suspended: int = 0
    waiting_for: dict[str, int] = {}
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    resumed: int = 0
    groups: int = 0
    groups_done: int = 0
    turns: int = 0
    tokens_given: int = 0
    tokens_sampled: int = 0
    seconds_in: dict[str, float] = {}
    failures: dict[str, int] = {}
    retries: int = 0
    rewards: dict[str, tuple[float, int]] = {}
    lengths: dict[int, int] = {}
    staleness: dict[int, int] = {}
    pool: dict[str, dict[str, Any]] = {}
    loop_lag: LoopLag = LoopLag()
    concurrency_cap: int = 0
    dropped_records: int = 0

    @property
    def open(self) -> int:
        """Attempts that have not ended."""
        return self.submitted - self.finished - self.failed - self.cancelled


class GroupLine(msgspec.Struct, omit_defaults=True):
    """A line of `RUN/groups.jsonl`: a group that was delivered.

    Attributes:
        at: Unix seconds.
        group: its id.
        task: id of the task.
        names: of its trajectories.
        rewards: of each; None where it has no verdict.
        complete: whether enough of it came to a verdict.
        failures: of its attempts, by cause.
        versions: the oldest and the newest of tokens that may be trained on; None where there are none.
        seconds: from its submission to its delivery.
    """

    at: float
    group: str
    task: str
    names: list[str]
    rewards: list[float | None]
    complete: bool
    failures: dict[str, int] = {}
    versions: tuple[int, int] | None = None
    seconds: float = 0.0


def snapshots(folder: str | Path) -> Iterator[RolloutSnapshot]:
    """Those of a run folder, oldest first; a line that was cut is left out."""
    yield from _lines(Path(folder) / ROLLOUTS, msgspec.json.Decoder(RolloutSnapshot))


def group_lines(folder: str | Path) -> Iterator[GroupLine]:
    """The delivered groups of a run folder, in order; a line that was cut is left out."""
    yield from _lines(Path(folder) / GROUPS, msgspec.json.Decoder(GroupLine))


def _lines(path: Path, decoder: "msgspec.json.Decoder[Any]") -> Iterator[Any]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError:
                continue  # cut by a kill, and another process went on behind it
