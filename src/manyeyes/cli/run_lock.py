"""One process at a time writes into a run folder: two would rewind each other's log.

The lock is the kernel's, on a file that stays: it is free as soon as its process ends, however it ends.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manyeyes.cli.locations import LocationError

try:
    import fcntl
except ImportError:  # Windows: no advisory locks of this kind, runs are not guarded there
    fcntl = None

NAME = ".lock"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Holds the run folder for this process.

    Raises:
        LocationError: another process trains in it, or it cannot be written.
    """
    try:
        handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise LocationError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        if fcntl is not None:
            _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # pyright: ignore[reportOptionalMemberAccess]
    except BlockingIOError:
        raise LocationError(
            f"{folder}: another process is training this run; `manyeyes watch` follows it, --fresh starts a second one"
        ) from None
    except OSError:  # a file system without locks
        return
