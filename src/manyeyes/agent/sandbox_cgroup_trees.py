"""Where on this machine this program may make control groups, from the kernel's tables; and how it names them.

Report: App. D (tools run in a sandbox).
"""

import os
from pathlib import Path
from typing import NamedTuple

PREFIX = "manyeyes-"
KINDS = ("memory", "pids")


class Mount(NamedTuple):
    """One mounted tree: where, which folder of it is mounted there, and what it counts ("" for version 2)."""

    place: Path
    root: str
    counts: tuple[str, ...]


def identity(process: int) -> str:
    """A process and when it started: numbers of processes are used again."""
    return f"{process}-{_started(process)}"


def is_alive(name: str) -> bool:
    """Whether the process that a name begins with is the one that chose it."""
    process, _, rest = name.partition("-")
    return process.isdigit() and _started(int(process)) == rest.partition("-")[0] != ""


def _started(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def mounted(mountinfo: Path) -> list[Mount]:
    """Trees of control groups in a table of mounts."""
    found = []
    for line in mountinfo.read_text().splitlines() if mountinfo.exists() else ():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ")[:3]
        root, place = left.split(" ")[3:5]
        if kind in ("cgroup", "cgroup2"):
            found.append(Mount(Path(place), root, tuple(options.split(",")) if kind == "cgroup" else ()))
    return found


def belonging(file: Path) -> dict[str, str]:
    """Where this process is in each tree, by what it counts; "" is version 2."""
    found = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        _, counts, path = line.split(":", 2)
        found |= dict.fromkeys(counts.split(","), path)
    return found


def parent_v1(kind: str, mounts: list[Mount], belongs: dict[str, str]) -> Path | None:
    """Our own group in the tree of one kind, when we may make groups in it."""
    for mount in mounts:
        if kind in mount.counts and kind in belongs:
            folder = _within(mount, belongs[kind])
            return folder if _may_make_groups(folder) else None
    return None


def parent_v2(mounts: list[Mount], belongs: dict[str, str]) -> Path | None:
    """The lowest group from ours upwards that hands both kinds on; a group with processes in it mostly does not."""
    for mount in mounts:
        if mount.counts or "" not in belongs:
            continue
        own = _within(mount, belongs[""])
        for folder in (own, *own.parents):
            if not folder.is_relative_to(mount.place):
                break
            if _hands_on(folder) and _may_make_groups(folder) and os.access(folder / "cgroup.procs", os.W_OK):
                return folder
    return None


def _hands_on(folder: Path) -> bool:
    try:
        return set(KINDS) <= set((folder / "cgroup.subtree_control").read_text().split())
    except OSError:
        return False


def _within(mount: Mount, path: str) -> Path:
    """Where a group is on disk; a container may show a part of the tree only."""
    below = path.removeprefix(mount.root) if mount.root != "/" and path.startswith(mount.root) else path
    return mount.place / below.lstrip("/")


def _may_make_groups(folder: Path) -> bool:
    """Whether it works, not whether it should."""
    trial = folder / f"{PREFIX}{identity(os.getpid())}-trial"
    try:
        trial.mkdir(exist_ok=True)
        trial.rmdir()
    except OSError:
        return False
    return True
