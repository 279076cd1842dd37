"""What folders hold that code writes into: measured while it runs, because a folder of the host has no quota.

Measured are blocks on disk, not lengths, so that a file with holes counts what it takes. Links are not followed, and a
tree that is too deep to be walked counts as full: code must not hide what it writes.

Report: App. D (tools run in a sandbox).
"""

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from manyeyes.agent.sandbox_limits import SandboxLimits

DEEPEST = 64
"""Folders within folders."""
MOST_WATCHED = 5_000
"""Files whose changes are told."""
MOST_TOLD = 100
TIDY_SECONDS = 10.0
"""That a command has which finds a tree too deep: enough to remove it, too little to fill the disk in its shade."""
BLOCK = 512
"""Bytes in which `st_blocks` counts, whatever the file system."""


class Held(NamedTuple):
    """What a folder holds; `too_deep` when that cannot be said."""

    bytes: int = 0
    files: int = 0
    too_deep: bool = False


class Seen(NamedTuple):
    """One entry of a folder, met on the way."""

    name: str
    status: os.stat_result


def held(folder: Path, *, most: int) -> Held:
    """Measure; stops counting at `most` files, which is then what it says."""
    size = files = 0
    try:
        for entry in _entries(folder):
            size, files = size + entry.status.st_blocks * BLOCK, files + 1
            if files > most:
                break
    except _TooDeep:
        return Held(size, files, True)
    return Held(size, files)


class _TooDeep(Exception):
    """Folders within folders without end."""


def _entries(folder: Path) -> Iterator[Seen]:
    """All entries below, in no order; what disappears meanwhile is left out."""
    left = [("", 0)]
    while left:
        below, depth = left.pop()
        if depth > DEEPEST:
            raise _TooDeep
        try:
            scanned = os.scandir(folder / below)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                raise _TooDeep from None
            continue
        with scanned:
            for entry in scanned:
                name = f"{below}{entry.name}"
                try:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        left.append((f"{name}/", depth + 1))
                except OSError:
                    continue
                yield Seen(name, status)


class FolderMeter:
    """Measures folders for many watches: one that all of them share is not walked by each.

    It spends one part in `SHARE` of the time at most on one folder, however many ask; in between they hear what was
    found last. For threads.
    """

    SHARE = 10

    def __init__(self) -> None:
        self._found: dict[Path, tuple[float, Held]] = {}
        self._lock = threading.Lock()

    def held(self, folder: Path, *, most: int) -> Held:
        """As `held`, perhaps from a moment ago."""
        with self._lock:
            good_until, found = self._found.get(folder, (0.0, Held()))
            began = time.monotonic()
            if began < good_until:
                return found
            found = held(folder, most=most)
            ended = time.monotonic()
            self._found[folder] = (ended + self.SHARE * (ended - began), found)
            return found


class DiskWatch:
    """Whether one command may go on, from what its folders hold.

    Args:
        work, artefacts: on this machine.
        exchange: counts with `work`.
        meter: shared with other watches.
        limits: what may be there. Who finds more there already may not add to it.
    """

    def __init__(
        self, work: Path, artefacts: Path, exchange: Path, *, meter: FolderMeter, limits: SandboxLimits
    ) -> None:
        self._folders = {
            "/workspace": ((work, exchange), limits.work_bytes),
            "/artefacts": ((artefacts,), limits.artefact_bytes),
        }
        self._meter, self._limits = meter, limits
        self._first: dict[str, Held] = {}
        self._began = time.monotonic()

    def look(self) -> str:
        """Why the command must stop; "" when it may go on. Slow for many files: call it in a thread."""
        reasons = [self._judge(name, *about) for name, about in self._folders.items()]
        return next((reason for reason in reasons if reason), "")

    def _judge(self, name: str, folders: tuple[Path, ...], most: int) -> str:
        parts = [self._meter.held(folder, most=2 * self._limits.files) for folder in folders]
        now = Held(sum(p.bytes for p in parts), sum(p.files for p in parts), any(p.too_deep for p in parts))
        first = self._first.setdefault(name, now)
        if now.too_deep:
            waited = time.monotonic() - self._began
            in_time = first.too_deep and waited < TIDY_SECONDS
            return "" if in_time else f"{name} has folders more than {DEEPEST} deep; remove them first"
        if now.files > max(self._limits.files, first.files):
            return f"{name} holds more than {self._limits.files:,} files"
        if now.bytes > max(most, first.bytes):
            return f"{name} holds {now.bytes:,} bytes; {most:,} are allowed"
        free = _free(folders[0])
        if free < self._limits.free_bytes and now.bytes > first.bytes:
            return f"only {free:,} bytes are left on the disk below {name}"
        return ""


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


Snapshot = dict[str, tuple[int, int, int]]


def snapshot(folder: Path) -> Snapshot:
    """When each file was last changed; of the first `MOST_WATCHED` only."""
    found: Snapshot = {}
    try:
        for name, status in _entries(folder):
            if stat.S_ISREG(status.st_mode):
                found[name] = (status.st_mtime_ns, status.st_size, status.st_ino)
            if len(found) >= MOST_WATCHED:
                break
    except _TooDeep:
        pass
    return found


def changed(before: Snapshot, after: Snapshot, *, top: str) -> list[str]:
    """Names of files that are new or other than before, sorted, the first `MOST_TOLD`.

    Example:
        >>> changed({"a": (1, 1, 1)}, {"a": (1, 1, 1), "b": (1, 1, 2)}, top="/artefacts")
        ['/artefacts/b']
    """
    names = sorted(name for name, state in after.items() if before.get(name) != state and _can_be_told(name))
    return [f"{top}/{name}" for name in names[:MOST_TOLD]]


def _can_be_told(name: str) -> bool:
    """Code may give a file a name that is no text."""
    return name.isprintable()
