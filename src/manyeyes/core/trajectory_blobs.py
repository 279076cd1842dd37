"""What trajectories share: pictures and long texts, each a file under the hash of its content.

Report: none.
"""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from manyeyes.core.out_of_space import out_of_space
from manyeyes.core.trajectory_segments import TrajectoryStoreError

BLOBS = "blobs"
MOST_KNOWN = 2**16
"""Names that are remembered as written, so that the disk is not asked; a run of any length holds no more."""


class Blobs:
    """A folder of them; may be used from several threads.

    Args:
        folder: of the store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / BLOBS
        self._known: set[str] = set()
        self._unsynced: list[Path] = []
        self._noting, self._syncing = threading.Lock(), threading.Lock()

    def keep(self, name: str, content: Callable[[], bytes]) -> None:
        """Write a blob unless it is there.

        Raises:
            TrajectoryStoreError: the disk is full or gone.
        """
        if name in self._known:
            return
        path = self.path(name)
        if not _is_whole(path):
            part = path.with_name(f".{name}.{os.getpid()}.{threading.get_ident()}.part")
            try:
                part.write_bytes(content())
                part.replace(path)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise unwritable(path, error) from error
            with self._noting:
                self._unsynced.append(path)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known.add(name)

    def read(self, name: str) -> bytes:
        """The content of a blob.

        Raises:
            TrajectoryStoreError: there is none.
        """
        path = self.path(name)
        try:
            return path.read_bytes()
        except OSError as error:
            raise TrajectoryStoreError(f"{path}: {error.strerror}; the store is incomplete") from error

    def path(self, name: str) -> Path:
        """The file of a blob.

        Raises:
            TrajectoryStoreError: this is no name of a blob, such as one that leads out of the folder.
        """
        if not (len(name) == 64 and all(letter in "0123456789abcdef" for letter in name)):
            raise TrajectoryStoreError(f"{name[:80]!r} is no name of a blob: expected 64 hexadecimal digits")
        return self.folder / name

    def sync(self) -> None:
        """Wait until what was written lies on the disk; what the disk refused is tried again the next time."""
        with self._syncing:  # who comes second must not go on before the first is done
            with self._noting:
                pending = list(self._unsynced)
            for path in [*pending, self.folder] if pending else []:
                sync_path(path)
            with self._noting:
                del self._unsynced[: len(pending)]


def _is_whole(path: Path) -> bool:
    """Whether it is there; a power failure may leave its name alone, and no blob is empty."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def sync_path(path: Path) -> None:
    """Wait until a file, or the names in a folder, lie on the disk."""
    if sys.platform == "win32" and path.is_dir():
        return  # there a folder cannot be opened
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def unwritable(path: Path, error: OSError) -> TrajectoryStoreError:
    """What a write that failed says."""
    why = out_of_space(error) or error.strerror
    return TrajectoryStoreError(f"{path}: {why}; free some space and resume the run")
