"""`TrajectoryStore`: finished trajectories on disk, appended and never changed.

    segments/00000.seg ...   what happened, frame after frame; the only truth
    index.sqlite             a row for each trajectory, made of the segments
    blobs/<sha256>           pictures and long texts, once however often they occur

A trajectory has reached the kernel when `append` returns, and lies on the disk `SYNC_SECONDS` later: `kill -9` loses
none, a power failure at most those. One process writes; others read meanwhile (`refresh` shows them what is new).

    ManyeyesError
    ├── TrajectoryStoreError    a store that cannot be read or written
    └── WireError               a trajectory that has no bytes (core.trajectory_wire)

Report: App. D (trajectories are recorded; partial rollouts and resumed runs find them again).
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_blobs import BLOBS, Blobs
from manyeyes.core.trajectory_index import BEGINNING, INDEX, TrajectoryIndex, Wanted
from manyeyes.core.trajectory_segments import (
    SEGMENTS,
    Frame,
    Place,
    Scan,
    TrajectoryStoreError,
    body,
    frame_at,
    framed,
    segment_numbers,
    segment_path,
)
from manyeyes.core.trajectory_summary import TrajectorySummary, WireError, summary_line, summary_of
from manyeyes.core.trajectory_wire import PictureName, pictures_of, read, written
from manyeyes.core.trajectory_writer import SegmentWriter, claim

__all__ = ["TrajectoryStore", "TrajectoryStoreError", "TrajectorySummary", "Wanted", "WireError"]

SEGMENT_BYTES = 2**28
"""A segment that would become longer is followed by another one."""
BATCH = 256
"""Trajectories that wait for their entry in the index, at most."""
_SUMMARIES = msgspec.msgpack.Decoder(TrajectorySummary)


class TrajectoryStore:
    """See the module. Several threads may use it.

    Args:
        folder: made when it is not there, unless it is only read.
        mode: "append" writes and reads; "read" never writes, not even the index.
        segment_bytes: of a full segment.
        now: the clock, Unix seconds.

    Raises:
        TrajectoryStoreError: there is no store to read, it is damaged, or another process is writing to it.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with TrajectoryStore(folder.name) as store:
        ...     _ = store.append(Trajectory("maze/1/0", "maze/1", reward=1.0, stop="done"))
        ...     [found.name for found in store.find(min_reward=0.5)], "maze/1/0" in store
        (['maze/1/0'], True)
        >>> folder.cleanup()
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        mode: Literal["append", "read"] = "append",
        segment_bytes: int = SEGMENT_BYTES,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self.mode = Path(folder), mode
        self._now, self._blobs = now, Blobs(self.folder)
        self._lock, self._entering = threading.RLock(), threading.Lock()
        self._pending: dict[str, tuple[Frame, TrajectorySummary]] = {}
        self._writer: SegmentWriter | None = None
        self._claimed = -1
        self._seen = BEGINNING
        self.damage = ""
        """In a store that is read: what was found damaged; what stands behind it is not shown."""
        if mode == "append":
            self._open_for_writing(segment_bytes)
        else:
            self._open_for_reading()

    def append(self, trajectory: Trajectory) -> TrajectorySummary:
        """Keep a trajectory. New pictures are encoded here (35 ms for a screenshot): a thread may do that.

        Returns:
            What a list shows of it.

        Raises:
            TrajectoryStoreError: one of that name is there, or the disk is full or gone; nothing of it is kept.
            WireError: its events hold something that is no JSON, or its names are too long for a list.
        """
        summary, line = summary_line(summary_of(trajectory, stored=self._now()))
        content = written(trajectory, self._blobs.keep)
        frame = framed(line, content.arrays, content.head)
        with self._lock:
            if self._writer is None:
                raise TrajectoryStoreError(f"{self.folder}: was opened for reading, or is closed")
            if trajectory.name in self:
                raise TrajectoryStoreError(f"{self.folder}: holds {trajectory.name} already; names must be unique")
            place = self._writer.append(frame)
            self._pending[trajectory.name] = (Frame(place, line, len(content.arrays), len(content.head), 0), summary)
            self._writer.sync_soon(now=len(self._pending) >= BATCH)
        return summary

    def get(self, name: str, *, pictures: bool = True) -> Trajectory:
        """A trajectory. Its arrays are read-only views of what was read.

        Args:
            name: of the trajectory.
            pictures: without them nodes have no media, and nothing is decoded.

        Raises:
            TrajectoryStoreError: there is none of that name, or it was damaged.
        """
        arrays, head = body(self.folder, self._place(name))
        found = read(arrays, head, self._blobs.read, pictures=pictures)
        if found.name != name:
            raise TrajectoryStoreError(f"{self.folder / INDEX}: is not of these segments; remove it, it is made again")
        return found

    def pictures(self, name: str) -> list[tuple[PictureName, ...]]:
        """For each node of a trajectory the blobs of its pictures.

        Raises:
            TrajectoryStoreError: there is none of that name, or it was damaged.
        """
        return pictures_of(body(self.folder, self._place(name))[1])

    def summary(self, name: str) -> TrajectorySummary:
        """What a list shows of a trajectory.

        Raises:
            TrajectoryStoreError: there is none of that name, or it was damaged.
        """
        return _SUMMARIES.decode(frame_at(self.folder, self._place(name)).summary)

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return name in self._pending or (isinstance(name, str) and self._index.place(name) is not None)

    def __len__(self) -> int:
        return self.count()

    def names(self) -> Iterator[str]:
        """In the order in which they were stored."""
        self._enter()
        return iter(self._index.names())

    def find(
        self,
        *,
        task: str | None = None,
        environment: str | None = None,
        stop: str | None = None,
        failure: str | None = None,
        min_reward: float | None = None,
        max_reward: float | None = None,
        version: int | None = None,
        limit: int | None = None,
        order: str = "oldest",
    ) -> list[TrajectorySummary]:
        """Trajectories by what the index knows; see `Wanted`, and `matching` for all of it."""
        return self.matching(Wanted(
            task, environment, stop, failure, None, min_reward, max_reward, version, None, order, limit
        ))  # fmt: skip

    def matching(self, wanted: Wanted) -> list[TrajectorySummary]:
        """Those that are wanted.

        Raises:
            ConfigError: there is no such order.
        """
        self._enter()
        return self._index.find(wanted)

    def count(self, wanted: Wanted | None = None) -> int:
        """How many there are, whatever the limit says."""
        self._enter()
        return self._index.count(wanted or Wanted())

    def values(self, column: str) -> dict[str, int]:
        """How many trajectories there are for each "task", "environment", "stop" or "failure"."""
        self._enter()
        return self._index.values(column)

    def blob(self, name: str) -> bytes:
        """The content of a blob: a PNG, or a text.

        Raises:
            TrajectoryStoreError: there is none.
        """
        return self._blobs.read(name)

    def refresh(self) -> int:
        """In a store that is read: look for what its writer has appended; returns how many are new."""
        with self._lock:
            return self._scan(cut=False) if self.mode == "read" else 0

    def sync(self) -> None:
        """In a store that is written: wait until everything appended lies on the disk."""
        with self._lock:
            if self._writer is not None:
                self._writer.sync()

    def close(self) -> None:
        """Leave the store; what was appended lies on the disk."""
        with self._lock:  # nobody is in the middle of a frame
            writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.close()
                with suppress(TrajectoryStoreError):  # the next one who opens the store makes up for it
                    self._enter(writer.durable)
        finally:
            self._index.close()
            if self._claimed >= 0:
                os.close(self._claimed)
            self._claimed = -1

    def __enter__(self) -> "TrajectoryStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_for_writing(self, segment_bytes: int) -> None:
        try:
            for name in (SEGMENTS, BLOBS):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrajectoryStoreError(f"{self.folder}: {error.strerror}; name a folder that can be written") from error
        self._claimed = claim(self.folder)
        try:
            try:
                self._index = self._index_on_disk()
                self._scan(cut=True)
            except sqlite3.DatabaseError:  # damaged: the segments say the same
                with suppress(sqlite3.Error):
                    self._index.close()
                self._remove_index()
                self._index, self._seen = self._index_on_disk(), BEGINNING
                self._scan(cut=True)
            self._writer = SegmentWriter(
                self.folder, self._seen, segment_bytes=segment_bytes, before=self._blobs.sync, after=self._settle
            )  # fmt: skip
            self._index.add([], covered=self._writer.durable)
        except BaseException:
            os.close(self._claimed)
            raise

    def _open_for_reading(self) -> None:
        if not (self.folder / SEGMENTS).is_dir():
            raise TrajectoryStoreError(f"{self.folder}: no store of trajectories (no folder {SEGMENTS}) is there")
        self._index = TrajectoryIndex(None)
        try:
            if (self.folder / INDEX).exists():
                self._index.copy_of(self.folder / INDEX)
            self._scan(cut=False)
        except sqlite3.DatabaseError:  # damaged, or where no file may be made: the segments say the same
            self._index.close()
            self._index, self._seen = TrajectoryIndex(None), BEGINNING
            self._scan(cut=False)

    def _index_on_disk(self) -> TrajectoryIndex:
        path = self.folder / INDEX
        try:
            return TrajectoryIndex(path)
        except sqlite3.DatabaseError:
            self._remove_index()
        try:
            return TrajectoryIndex(path)
        except sqlite3.Error as error:
            raise TrajectoryStoreError(f"{path}: {error}; name a folder that can be written") from error

    def _remove_index(self) -> None:
        for ending in ("", "-wal", "-shm"):
            (self.folder / (INDEX + ending)).unlink(missing_ok=True)

    def _scan(self, *, cut: bool) -> int:
        """Enter what the index has not; with `cut`, drop the piece of a frame that a process left when it died."""
        start = max(self._seen, self._index.covered)
        if start.segment not in segment_numbers(self.folder) or _size(self.folder, start) < start.offset:
            self._index.clear()  # the index of other segments
            start = BEGINNING
        self._index.forget_from(start)
        numbers = [number for number in segment_numbers(self.folder) if number >= start.segment]
        count, self._seen = 0, start
        for number in numbers:
            scan = Scan(self.folder, start if number == start.segment else Place(number, 0), last=number == numbers[-1])
            count += self._take(scan, strict=cut)
            self._seen = Place(number, scan.good)
            if cut and scan.good < scan.path.stat().st_size:
                os.truncate(scan.path, scan.good)
        return count

    def _take(self, scan: Scan, *, strict: bool) -> int:
        """Enter a segment; returns how many it gave. Who only reads is content with what stands before damage."""
        found = []
        try:
            for frame in scan.frames():
                found.append((frame, _SUMMARIES.decode(frame.summary)))
        except TrajectoryStoreError as error:
            if strict:
                raise
            self.damage = str(error)
        try:
            self._index.add(found)
        except sqlite3.IntegrityError as error:
            raise TrajectoryStoreError(f"{scan.path}: holds a trajectory twice; was a file copied?") from error
        return len(found)

    def _place(self, name: str) -> Place:
        with self._lock:
            pending = self._pending.get(name)
            place = pending[0].place if pending else self._index.place(name)
        if place is None:
            raise TrajectoryStoreError(f"{self.folder}: no trajectory {name!r}")
        return place

    def _settle(self) -> None:
        """In the writer's thread, with new bytes on the disk."""
        with suppress(TrajectoryStoreError):  # what matters is stored; the index follows when it can
            self._enter()

    def _enter(self, durable: Place | None = None) -> None:
        """Bring the index up to date."""
        with self._entering:
            with self._lock:
                rows = list(self._pending.values())
                durable = durable or (self._writer.durable if self._writer is not None else None)
            if not rows:
                return
            try:
                self._index.add(rows, covered=durable)
            except sqlite3.Error as error:
                raise TrajectoryStoreError(f"{self.folder / INDEX}: {error}; free some space, try again") from error
            with self._lock:
                for _, summary in rows:
                    del self._pending[summary.name]


def _size(folder: Path, place: Place) -> int:
    return segment_path(folder, place.segment).stat().st_size
