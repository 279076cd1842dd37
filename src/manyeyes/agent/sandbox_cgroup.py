"""`ControlGroups`: memory and processes of a whole sandbox, counted and capped by the kernel, where we may make groups.

    <our own group, or one above it>/manyeyes-<process>-<its start>/<n>

Version 1 has a tree for each resource, version 2 one for all. A group is named after the process that made it, so that
a later run finds and removes what one that was killed left behind.

Report: App. D (tools run in a sandbox).
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from manyeyes.agent.sandbox_cgroup_trees import (
    KINDS,
    PREFIX,
    belonging,
    identity,
    is_alive,
    mounted,
    parent_v1,
    parent_v2,
)
from manyeyes.agent.sandbox_limits import SandboxLimits


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """The group of one sandbox: a folder in each tree."""

    folders: tuple[Path, ...]

    @property
    def entrances(self) -> list[str]:
        """Files that a process writes 0 to in order to join."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    @property
    def processes(self) -> list[int]:
        """That are in it now."""
        found = set()
        for folder in self.folders:
            with suppress(OSError):
                found |= {int(line) for line in (folder / "cgroup.procs").read_text().split()}
        return sorted(found)

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel ended a process here for want of memory."""
        return any(_counted(folder / name, "oom_kill") > 0 for folder in self.folders for name in _OOM_FILES)

    @property
    def refused_processes(self) -> bool:
        """Whether a process could not be started here because there were too many."""
        return any(_counted(folder / "pids.events", "max") > 0 for folder in self.folders)

    def kill(self) -> None:
        """End all of it."""
        for process in self.processes:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)

    def remove(self) -> bool:
        """Remove the folders; False while something is in there."""
        gone = True
        for folder in self.folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                gone = False
        return gone


_OOM_FILES = ("memory.oom_control", "memory.events")


class ControlGroups:
    """Makes groups below the folders of one program.

    Args:
        parents: a folder in each tree, in which we may make groups.
        version: "v1" or "v2".
    """

    def __init__(self, parents: tuple[Path, ...], version: str) -> None:
        self.version = version
        self._parents = parents
        self._tops = tuple(parent / f"{PREFIX}{identity(os.getpid())}-{time.monotonic_ns()}" for parent in parents)
        self._made = 0

    @classmethod
    def find(cls) -> "ControlGroups | None":
        """Those of this machine; None where we may not make any, or not use them. Starts a process to try."""
        for found in cls.candidates(Path("/proc")):
            if found.works():
                return found
        return None

    @classmethod
    def candidates(cls, proc: Path) -> Iterator["ControlGroups"]:
        """Those that the kernel's tables promise."""
        mounts = mounted(proc / "self/mountinfo")
        belongs = belonging(proc / "self/cgroup")
        parents = [parent_v1(kind, mounts, belongs) for kind in KINDS]
        if all(parents):
            yield cls(tuple(dict.fromkeys(parent for parent in parents if parent)), "v1")
        if (parent := parent_v2(mounts, belongs)) is not None:
            yield cls((parent,), "v2")

    def works(self) -> bool:
        """Whether a process can join a group with limits."""
        try:
            group = self.make(SandboxLimits())
            join = "".join(f"echo 0 > {shlex.quote(entrance)} && " for entrance in group.entrances) + "true"
            return subprocess.run(["/bin/sh", "-c", join], stderr=subprocess.DEVNULL, check=False).returncode == 0
        except OSError:
            return False
        finally:
            self.close()

    def make(self, limits: SandboxLimits) -> ControlGroup:
        """A group with limits. Raises OSError."""
        for top in self._tops:
            if not top.is_dir():
                top.mkdir()
                if self.version == "v2":
                    _write(top / "cgroup.subtree_control", "+memory +pids")
        self._made += 1
        group = ControlGroup(tuple(top / str(self._made) for top in self._tops))
        for folder in group.folders:
            folder.mkdir()
            _set(folder, limits)
        return group

    def close(self) -> None:
        """End and remove everything of this program."""
        for top in self._tops:
            if top.is_dir():
                _sweep(top)

    def sweep_stale(self) -> int:
        """Remove what programs that are gone left behind; how many."""
        stale = [
            top
            for parent in self._parents
            for top in parent.glob(f"{PREFIX}*")
            if not is_alive(top.name.removeprefix(PREFIX))
        ]
        for top in stale:
            _sweep(top)
        return len(stale)


def _sweep(top: Path) -> None:
    """End what runs in a group and below it, and remove both."""
    groups = [ControlGroup((folder,)) for folder in (*_folders(top), top)]
    for group in groups:
        group.kill()
    for _ in range(100):  # a process that was killed is in its group until the kernel has cleared it away
        if all([group.remove() for group in groups]):
            return
        time.sleep(0.01)


def _folders(top: Path) -> list[Path]:
    try:
        return [entry for entry in top.iterdir() if entry.is_dir()]
    except OSError:
        return []


def _set(folder: Path, limits: SandboxLimits) -> None:
    """Write the limits into the files that are there; which these are, says the kind of the tree."""
    known = {
        "memory.limit_in_bytes": limits.memory,
        "memory.memsw.limit_in_bytes": limits.memory,
        "memory.swappiness": 0,
        "memory.max": limits.memory,
        "memory.swap.max": 0,
        "pids.max": limits.processes,
    }
    for name, value in known.items():
        if (folder / name).exists():
            _write(folder / name, str(value))


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _counted(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), 0)
