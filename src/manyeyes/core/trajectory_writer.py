"""`SegmentWriter`: puts frames behind the last one of a store, and sees to it that they reach the disk soon.

What was appended has reached the kernel: `kill -9` loses nothing. A thread waits for the disk at most every
`SYNC_SECONDS`, so that a slow one holds up no rollout; what it refused comes up at the next append.

Report: none.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from manyeyes.core.trajectory_blobs import sync_path, unwritable
from manyeyes.core.trajectory_segments import Place, TrajectoryStoreError, segment_path

if sys.platform != "win32":
    import fcntl

SYNC_SECONDS = 0.2
"""Longest time that an appended frame may wait for the disk."""
LOCK = "writer.lock"


class SegmentWriter:
    """See the module. Whoever appends sees to it that only one thread does.

    Args:
        folder: of the store.
        end: where the last segment ends.
        segment_bytes: a segment that would become longer is followed by another one.
        before: called in front of each wait for the disk: what frames refer to must lie there first.
        after: called behind those of the thread.

    Raises:
        TrajectoryStoreError: the segment cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        end: Place,
        *,
        segment_bytes: int,
        before: Callable[[], None],
        after: Callable[[], None],
    ) -> None:
        self.folder, self.end, self.durable = folder, end, end
        self._segment_bytes, self._before, self._after = segment_bytes, before, after
        self._file = self._opened(end.segment)
        self._moves = threading.Lock()
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="trajectories")
        self._flushing: Future[None] | None = None
        self._began = time.monotonic()
        self.sync()

    def append(self, frame: bytes) -> Place:
        """Put a frame behind the last one; returns where.

        Raises:
            TrajectoryStoreError: the disk is full or gone; nothing of the frame is kept.
        """
        if self._flushing is not None and self._flushing.done():
            flushed, self._flushing = self._flushing, None
            flushed.result()
        if self.end.offset and self.end.offset + len(frame) > self._segment_bytes:
            self._next_segment()
        place = self.end
        self._write(frame)
        return place

    def sync_soon(self, *, now: bool = False) -> None:
        """Have the thread wait for the disk, if it has not done so lately (or, with `now`, in any case)."""
        if self._flushing is not None and not self._flushing.done():
            return
        if now or time.monotonic() - self._began > SYNC_SECONDS:
            self._began = time.monotonic()
            self._flushing = self._flusher.submit(self._flush_and_tell, self.end, os.dup(self._file))

    def sync(self) -> None:
        """Wait until everything appended lies on the disk."""
        self._flush(self.end, self._file)

    def close(self) -> None:
        """Leave the segment; what was appended lies on the disk."""
        self._flusher.shutdown(wait=True)
        try:
            self.sync()
        finally:
            os.close(self._file)

    def _write(self, frame: bytes) -> None:
        done = 0
        try:
            while done < len(frame):
                done += os.write(self._file, frame[done:] if done else frame)
            self.end = Place(self.end.segment, self.end.offset + len(frame))
        except BaseException as error:  # Ctrl-C too: the next frame must not stand behind a piece of this one
            os.ftruncate(self._file, self.end.offset)
            if isinstance(error, OSError):
                raise unwritable(segment_path(self.folder, self.end.segment), error) from error
            raise

    def _next_segment(self) -> None:
        """A segment that others follow lies on the disk whole: only the last one may end in a piece of a frame."""
        self.sync()
        file = self._opened(self.end.segment + 1)
        os.close(self._file)
        self._file, self.end = file, Place(self.end.segment + 1, 0)

    def _opened(self, number: int) -> int:
        path = segment_path(self.folder, number)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            sync_path(path.parent)  # its name is to outlive a power failure, too
        except OSError as error:
            raise unwritable(path, error) from error
        return file

    def _flush_and_tell(self, end: Place, file: int) -> None:
        try:
            self._flush(end, file)
        finally:
            os.close(file)
        self._after()

    def _flush(self, end: Place, file: int) -> None:
        try:
            self._before()
            os.fsync(file)
        except OSError as error:
            raise unwritable(segment_path(self.folder, end.segment), error) from error
        with self._moves:
            self.durable = max(self.durable, end)


def claim(folder: Path) -> int:
    """Keep other writers out until the answer is closed: two would write into each other's frames.

    The kernel unlocks when a process dies.

    Raises:
        TrajectoryStoreError: another process is writing there, or the folder cannot be written.
    """
    try:
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise TrajectoryStoreError(f"{folder}: {error.strerror}; name a folder that can be written") from error
    if sys.platform == "win32":
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise TrajectoryStoreError(f"{folder}: another process is writing to this store") from None
    except OSError:
        pass  # a file system without locks: better unguarded than unusable
    return file
