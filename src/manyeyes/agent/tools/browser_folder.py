"""`BrowserFolder`: a running browser's folder for sockets and profile; those of killed runs are swept by the next one.

A living owner holds a lock on its folder, which no process number and no clock could tell as surely.

Report: none; housekeeping.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PREFIX = "manyeyes-browser-"
NEW_SECONDS = 60.0
"""A folder that is newer may be about to be locked."""


class BrowserFolder:
    """A temporary folder that only this user can read; `close` removes it."""

    def __init__(self) -> None:
        for path in _left_behind():
            shutil.rmtree(path, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove it; may be called again."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _left_behind() -> Iterator[Path]:
    """Folders of ours that nobody holds."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            about = path.lstat()
            if about.st_uid == os.geteuid() and time.time() - about.st_mtime >= NEW_SECONDS and not _held(path):
                yield path


def _held(path: Path) -> bool:
    """Whether somebody locked it. Raises OSError for what is no folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
