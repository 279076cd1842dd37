"""What a child gives up between its birth and the first line of an agent's code: the sandbox within the sandbox.

    mounts       /workspace, /tmp and /inputs in memory, its own; all that children would share is covered
    processes    it is the only one of a namespace of its own: no other can be named, none can be started
    Landlock     the same paths once more (where the kernel has it)
    capabilities none left; seccomp: the sandbox's list, and no process, thread, program, socket or shared memory
    limits       address space, processor time, file size, open files

A child that cannot give up all of it ends before any code runs. No imports of this package but the entry program's,
which is a file of its own as well: both run inside the sandbox.

Report: App. D (tools run in a sandbox).
"""

import ctypes
import os
import platform
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from manyeyes.agent import sandbox_entry

OWN = {"/workspace": "mode=700,nr_inodes=4k", "/tmp": "mode=700,nr_inodes=1k", "/inputs": "mode=700,nr_inodes=256"}
"""Folders in memory that each child gets."""
COVERED = ("/proc", "/run", "/artefacts", "/dev/shm", "/dev/pts", "/workspace", "/tmp", "/inputs")
"""What children would share is shown empty: for good in the warm process, from which they inherit it."""
NEW_MOUNTS, NEW_PROCESSES = 0x20000, 0x20000000
_NO_SUID, _NO_DEVICES, _NO_PROGRAMS, _READ_ONLY, _REMOUNT = 2, 4, 8, 1, 32
_ALL_BELOW, _PRIVATE = 1 << 14, 1 << 18
_HELD = _NO_SUID | _NO_DEVICES | _NO_PROGRAMS
_CAPABILITIES_V3 = 0x20080522
_SECCOMP, _FILTER, _EPERM, _ALLOW, _KILL = 22, 2, 0x00050001, 0x7FFF0000, 0x80000000
ALONE = {
    "clone": (56, 220), "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "socketpair": (53, 199), "timer_create": (222, 107),
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "capset": (126, 91), "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "pidfd_open": (434, 434), "inotify_init": (253, -1), "inotify_init1": (294, 26), "fanotify_init": (300, 262),
    "bind": (49, 200), "connect": (42, 203), "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    "getsockopt": (55, 209), "setsockopt": (54, 208), "getsockname": (51, 204), "getpeername": (52, 205),
    "sendto": (44, 206), "recvfrom": (45, 207), "sendmsg": (46, 211), "recvmsg": (47, 212), "sendmmsg": (307, 269),
    "recvmmsg": (299, 243), "shutdown": (48, 210),
    "pipe": (22, -1), "pipe2": (293, 59), "mknod": (133, -1), "mknodat": (259, 33),
}  # fmt: skip
"""Calls refused beside `sandbox_entry.REFUSED_CALLS`, with their numbers on x86_64 and on aarch64. What starts nothing
holds its limits by itself; memory by handles would escape the size of its folders; priorities can be set for all
processes of a user, whatever the namespace. Watches of files, timers, messages and the memory of pipes are counted by
user: one child could take those of the person who runs it, and who is alone has nobody to talk to. A child has no
socket; that it may not use one either is the second line."""


def cover() -> None:
    """In the warm process, once: own mounts, in which what children would share is empty."""
    _mount("none", "/", "", _ALL_BELOW | _PRIVATE)
    for place in COVERED:
        if os.path.isdir(place):
            _mount("tmpfs", place, "tmpfs", _HELD | _READ_ONLY, "size=4k,nr_inodes=2,mode=755")


def furnish(files: Mapping[str, bytes], *, size: int) -> None:
    """In a child: folders of its own, and what the agent finds in /inputs.

    Args:
        files: by name.
        size: bytes that each folder may hold.
    """
    unshare(NEW_MOUNTS)
    for place, options in OWN.items():
        _mount("tmpfs", place, "tmpfs", _HELD, f"size={size},{options}")
    for name, content in files.items():
        Path("/inputs", name).write_bytes(content)
    _mount("none", "/inputs", "", _HELD | _READ_ONLY | _REMOUNT)
    os.chdir("/workspace")


def give_up(told: Mapping[str, Any]) -> None:
    """In a child: everything that is left; from here on nobody can be trusted.

    Args:
        told: "rlimits", "landlock" (paths, or None), "vsize": bytes of address space that were there before it.
    """
    limits = dict(told["rlimits"])
    limits["RLIMIT_AS"] += told["vsize"]
    sandbox_entry.limit(limits)
    if told["landlock"] is not None:
        sandbox_entry.only_these(told["landlock"]["read"], told["landlock"]["write"])
    _drop_capabilities()
    sandbox_entry.refuse_calls()
    _stay_alone()


def unshare(what: int) -> None:
    """Leave namespaces. Raises OSError."""
    _checked("unshare", _libc().unshare(what))


def rejoin(namespace: int) -> None:
    """Enter the process namespace of a descriptor; children are born there. Raises OSError."""
    _checked("setns", _libc().setns(namespace, NEW_PROCESSES))


def _mount(what: str, place: str, kind: str, flags: int, options: str = "") -> None:
    done = _libc().mount(what.encode(), place.encode(), kind.encode() or None, ctypes.c_ulong(flags),
                         options.encode() or None)  # fmt: skip
    _checked(f"mount on {place}", done)


def _drop_capabilities() -> None:
    header, none = struct.pack("=Ii", _CAPABILITIES_V3, 0), bytes(24)
    _checked("capset", _libc().capset(header, none))


def _stay_alone() -> None:
    """A second filter, on top of the sandbox's own."""
    program = alone_filter(platform.machine())
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    _checked("seccomp", _libc().prctl(_SECCOMP, _FILTER, header, 0, 0))


def alone_filter(processor: str) -> bytes:
    """A classic BPF program that refuses the calls of `ALONE`."""
    column, mark = sandbox_entry.PROCESSORS[processor]
    numbers = [both[column] for both in ALONE.values() if both[column] >= 0]
    lines = [(0x20, 0, 0, 4), (0x15, 1, 0, mark), (0x06, 0, 0, _KILL), (0x20, 0, 0, 0)]
    lines += [(0x15, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    lines += [(0x06, 0, 0, _ALLOW), (0x06, 0, 0, _EPERM)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _checked(what: str, done: int) -> None:
    if done != 0:
        raise OSError(f"{what}: {os.strerror(ctypes.get_errno())}")


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
