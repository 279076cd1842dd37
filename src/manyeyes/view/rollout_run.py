"""`ShownRollouts`: the folder of a rollout run as a page reads it, while it is written and afterwards.

    trajectories/      the store                     rollouts.jsonl     snapshots
    groups.jsonl       delivered groups              token_values/      what a trainer found for each token
    tokenizer.tiktoken (or tiktoken.model)           whose ids these are; without it ids are shown as numbers

A store alone, such as a gateway's, is shown as well.

Report: App. D (monitoring).
"""

import math
import threading
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from manyeyes.agent.rollouts.snapshot import GROUPS, ROLLOUTS, TRAJECTORIES, GroupLine
from manyeyes.core.errors import ConfigError
from manyeyes.core.tokenizer import Tokenizer, TokenizerError
from manyeyes.core.trajectory_segments import SEGMENTS
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.view.rollout_series import SnapshotSeries

VOCABULARIES = ("tokenizer.tiktoken", "tiktoken.model")
STILL_WRITTEN = 10.0
"""Seconds after the last snapshot in which a run counts as live."""
_GROUP = msgspec.json.Decoder(GroupLine)


class Place(NamedTuple):
    """A trajectory among those of its group.

    Attributes:
        group: id of the group.
        mean, deviation: of the group's rewards.
        count: rewards that it has.
        complete: whether its quorum was reached.
    """

    group: str
    mean: float
    deviation: float
    count: int
    complete: bool


class ShownRollouts:
    """See the module.

    Args:
        folder: of the run.

    Raises:
        ConfigError: it holds nothing of a rollout run.
    """

    def __init__(self, folder: Path) -> None:
        self._at = folder if (folder / SEGMENTS).is_dir() else folder / TRAJECTORIES
        if not ((self._at / SEGMENTS).is_dir() or (folder / ROLLOUTS).exists()):
            raise ConfigError(f"{folder} holds no rollouts: expected {TRAJECTORIES}/ or {ROLLOUTS} in it")
        self.folder, self.series = folder, SnapshotSeries(folder)
        self._store: TrajectoryStore | None = None
        self._tokenizer: Tokenizer | None = None
        self._unreadable = ""
        self._groups: dict[str, Place] = {}
        self._groups_read = 0
        self._opening, self._reading = threading.Lock(), threading.Lock()  # several tabs ask at once, from threads
        self.refresh()

    @property
    def store(self) -> TrajectoryStore | None:
        """Its trajectories; None as long as none is there."""
        with self._opening:
            if self._store is None and (self._at / SEGMENTS).is_dir():
                self._store = TrajectoryStore(self._at, mode="read")
            return self._store

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Whose ids these are; None where the folder does not say."""
        there = any((self.folder / name).exists() for name in VOCABULARIES)
        if there and self._tokenizer is None and not self._unreadable:
            try:
                self._tokenizer = Tokenizer.load(self.folder)
            except TokenizerError as error:
                self._unreadable = str(error)
        return self._tokenizer

    @property
    def problem(self) -> str:
        """What people should know about: damage in the store, a vocabulary that cannot be read; "" for none."""
        return " ".join(filter(None, (self.store.damage if self.store else "", self._unreadable)))

    @property
    def live(self) -> bool:
        """Whether somebody writes to it, as far as can be told from here."""
        try:
            return time.time() - (self.folder / ROLLOUTS).stat().st_mtime < STILL_WRITTEN
        except OSError:
            return False

    def refresh(self) -> None:
        """Look at what was written meanwhile."""
        with self._reading:
            self.series.refresh()
            if self.store is not None:
                self.store.refresh()
            _ = self.tokenizer  # a large one takes a second

    def group_of(self, name: str) -> Place | None:
        """A trajectory's place in its group; None while it was not delivered."""
        with self._reading:
            if name not in self._groups:
                self._read_groups()
        return self._groups.get(name)

    def close(self) -> None:
        """Leave the files."""
        if self._store is not None:
            self._store.close()

    def _read_groups(self) -> None:
        path = self.folder / GROUPS
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._groups_read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._groups_read += len(whole)
        for line in whole.splitlines():
            try:
                self._enter(_GROUP.decode(line))
            except msgspec.DecodeError:
                continue  # cut by a kill

    def _enter(self, line: GroupLine) -> None:
        rewards = [reward for reward in line.rewards if reward is not None and math.isfinite(reward)]
        mean = math.fsum(rewards) / len(rewards) if rewards else 0.0
        spread = math.sqrt(math.fsum((r - mean) ** 2 for r in rewards) / len(rewards)) if rewards else 0.0
        place = Place(line.group, mean, spread, len(rewards), line.complete)
        self._groups.update(dict.fromkeys(line.names, place))
