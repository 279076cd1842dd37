"""Folders through which a tool and its code hand over files: both write there, and only one of them is to be trusted.

A link that code leaves is never followed, and a folder is used for one command only: whatever a tool writes, it writes
before code has been there.

Report: App. D (tools run in a sandbox).
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

PREFIX = "eyes-"
"""Short: a socket's path has 107 bytes at most."""
ALIVE = "alive"
"""A file that is locked for as long as the run lives."""


class ExchangeFolders:
    """The exchange folders of one run, in a temporary folder that a later run removes if this one is killed."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._made = 0
        new = self.path / "new"
        self._lock = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        new.rename(self.path / ALIVE)  # under this name nobody has ever seen it without its lock

    def make(self) -> Path:
        """A new one."""
        self._made += 1
        folder = self.path / f"x{self._made}"
        folder.mkdir(mode=0o700)
        return folder

    def close(self) -> None:
        """Remove all."""
        remove_tree(self.path)
        os.close(self._lock)


def sweep_stale() -> int:
    """Remove what programs of ours that are gone left behind; how many."""
    return sum(_swept(folder) for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))


def _swept(folder: Path) -> bool:
    """Remove a folder if nobody holds its lock any more."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            return False
        lock = os.open(folder / ALIVE, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        remove_tree(folder)
        return True
    finally:
        os.close(lock)


def read_back(folder: Path, name: str, *, most: int = 65_536) -> bytes:
    """What code left in an exchange folder; b"" when that is no plain file of at most `most` bytes."""
    try:
        file = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        status = os.fstat(file)
        return os.read(file, most) if stat.S_ISREG(status.st_mode) and status.st_size <= most else b""
    finally:
        os.close(file)


def remove_tree(folder: Path) -> None:
    """Remove a folder that code could write into. Trees deeper than Python can follow are left to `rm`."""
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        subprocess.run(["rm", "-rf", "--", str(folder)], stderr=subprocess.DEVNULL, check=False)
