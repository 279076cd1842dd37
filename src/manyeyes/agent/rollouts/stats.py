"""`RolloutStats`: what a rollout run counts while it goes on; a snapshot is a copy of it.

Report: App. D (monitoring).
"""

import time
from bisect import bisect_left
from collections import Counter
from typing import Any

from manyeyes.agent.rollouts.snapshot import LENGTHS, WAITS, LoopLag, RolloutSnapshot
from manyeyes.core.trajectory import Trajectory

SPENT_IN = {"model": "sample", "tool": "tool", "judge": "judge", "pool": "pool", "spawn": "wait", "gate": "wait"}
"""Names of `RolloutSnapshot.seconds_in` by what was waited for."""


class RolloutStats:
    """Counts. Cheap to add to: everything here is done many times a turn or an attempt.

    Attributes:
        waiting: agents now, by what they wait for.
        spent: agent-seconds by what was waited for.
        others: as in `RolloutSnapshot`.
    """

    __slots__ = (
        "cancelled", "dropped", "failed", "failures", "finished", "given", "groups", "groups_done", "lengths",
        "resumed", "retries", "rewards", "sampled", "spent", "staleness", "submitted", "turns", "waiting",
    )  # fmt: skip

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {kind: 0 for kind in WAITS}
        self.spent: dict[str, float] = {kind: 0.0 for kind in WAITS}
        self.submitted = self.finished = self.failed = self.cancelled = self.resumed = self.retries = 0
        self.groups = self.groups_done = self.turns = self.given = self.sampled = self.dropped = 0
        self.failures: Counter[str] = Counter()
        self.lengths: Counter[int] = Counter()
        self.staleness: Counter[int] = Counter()
        self.rewards: dict[str, tuple[float, int]] = {}

    def judged(self, trajectory: Trajectory) -> None:
        """An attempt has its verdict."""
        parts = trajectory.rewards if trajectory.reward is None else trajectory.rewards | {"reward": trajectory.reward}
        for part, value in parts.items():
            total, count = self.rewards.get(part, (0.0, 0))
            self.rewards[part] = (total + value, count + 1)

    def ended(self, trajectory: Trajectory, version: int) -> None:
        """An attempt came to its end: how long it was, and how old its tokens are."""
        sampled, agents = 0, trajectory.agents
        for node in trajectory.nodes:
            count = len(node.versions)
            sampled += count
            # versions only grow within a node; one that spans two counts under its oldest
            if count and agents[node.agent].policy == "live":
                self.staleness[max(0, version - int(node.versions[0]))] += count
        self.lengths[LENGTHS[min(bisect_left(LENGTHS, sampled), len(LENGTHS) - 1)]] += 1

    def snapshot(
        self, *, seconds: float, version: int, queued: int, running: int, suspended: int, cap: int, lag: LoopLag,
        pool: dict[str, dict[str, Any]],
    ) -> RolloutSnapshot:  # fmt: skip
        """Everything at this moment."""
        spent: dict[str, float] = {}
        for kind, one in self.spent.items():
            spent[SPENT_IN[kind]] = spent.get(SPENT_IN[kind], 0.0) + one
        return RolloutSnapshot(
            at=time.time(), seconds=seconds, version=version, submitted=self.submitted, queued=queued, running=running,
            suspended=suspended, waiting_for=dict(self.waiting), finished=self.finished, failed=self.failed,
            cancelled=self.cancelled, resumed=self.resumed, groups=self.groups, groups_done=self.groups_done,
            turns=self.turns, tokens_given=self.given, tokens_sampled=self.sampled, seconds_in=dict(spent),
            failures=dict(self.failures), retries=self.retries, rewards=dict(self.rewards), lengths=dict(self.lengths),
            staleness=dict(self.staleness), pool=pool, loop_lag=lag, concurrency_cap=cap, dropped_records=self.dropped,
        )  # fmt: skip
