"""`RunLog`: what pages read of a rollout run: `rollouts.jsonl` and `groups.jsonl`, a line at a time.

A line that cannot be written is counted and forgotten: no rollout fails because a disk is full.

Report: App. D (monitoring).
"""

import time
from pathlib import Path
from typing import Any

import msgspec

from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.snapshot import GROUPS, ROLLOUTS, GroupLine, RolloutSnapshot
from manyeyes.agent.rollouts.stats import RolloutStats
from manyeyes.core.errors import ConfigError


class RunLog:
    """Writes to a run folder.

    Args:
        folder: made when it is not there.
        stats: where lines are counted that could not be written.

    Raises:
        ConfigError: the folder cannot be written to.
    """

    def __init__(self, folder: str | Path, stats: RolloutStats) -> None:
        self.folder, self._stats, self._encoder = Path(folder), stats, msgspec.json.Encoder()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._files = {name: (self.folder / name).open("ab", buffering=0) for name in (ROLLOUTS, GROUPS)}
        except OSError as error:
            raise ConfigError(f"{self.folder}: {error.strerror}; name a folder that can be written") from error
        for file in self._files.values():
            if file.tell():
                file.write(b"\n")  # what a kill has cut stays a line of its own

    def snapshot(self, snapshot: RolloutSnapshot) -> None:
        """One more second."""
        self._write(ROLLOUTS, snapshot)

    def group(self, group: Group) -> None:
        """A group is ready."""
        line = GroupLine(
            time.time(), group.request.id, group.request.task.id, [one.name for one in group.trajectories],
            group.rewards, group.complete, dict(group.failures), group.version_span, group.seconds,
        )  # fmt: skip
        self._write(GROUPS, line)

    def close(self) -> None:
        """No more lines."""
        for file in self._files.values():
            file.close()

    def _write(self, name: str, line: Any) -> None:
        try:
            self._files[name].write(self._encoder.encode(line) + b"\n")
        except (OSError, TypeError, ValueError, OverflowError):  # a full disk; what is no JSON
            self._stats.dropped += 1
