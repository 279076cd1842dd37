"""Processes and memory of one sandbox, counted from outside: what stands in for control groups where there are none.

Limits of single processes remain, and do not bind all of them together; for root, the kernel does not even limit how
many processes there are. So they are counted while a command runs, by the process namespace that they share.

Report: App. D (tools run in a sandbox).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from manyeyes.agent.sandbox_limits import SandboxLimits

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def too_many(outer: int, limits: SandboxLimits) -> str:
    """Why a command must stop; "" when it may go on.

    Args:
        outer: process number of bubblewrap, whose child is the first process inside.
        limits: for all processes together.
    """
    inside = _namespace(child) if (child := _child(outer)) else ""
    if not inside or inside == _namespace("self"):
        return ""
    processes = memory = 0
    for process in _everyone():
        if _namespace(process) == inside:
            processes, memory = processes + 1, memory + _own_memory(process)
    if processes > limits.processes:
        return f"it had more than {limits.processes:,} processes"
    if memory > limits.memory:
        return f"it used more than {limits.memory:,} bytes of memory"
    return ""


def _everyone() -> Iterator[str]:
    return (name for name in os.listdir("/proc") if name.isdigit())


def _child(process: int) -> str:
    with suppress(OSError, IndexError):
        return Path(f"/proc/{process}/task/{process}/children").read_text().split()[0]
    return ""


def _namespace(process: str) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/{process}/ns/pid")
    return ""


def _own_memory(process: str) -> int:
    """Bytes that it shares with nobody, or about that."""
    with suppress(OSError, ValueError, IndexError):
        resident, shared = Path(f"/proc/{process}/statm").read_text().split()[1:3]
        return max(0, int(resident) - int(shared)) * PAGE
    return 0
