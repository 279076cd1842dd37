"""What a task is waiting in: the chain of its coroutines, outermost first, the awaiting frame last.

A task that never ends is found by where it waits: `asyncio` knows, one `cr_await` after the other.

Report: App. D (hung environments).
"""

import asyncio
from pathlib import PurePath
from typing import Any, NamedTuple

DEEPEST = 64
"""Coroutines of a chain that are looked at."""


class Hang(NamedTuple):
    """A wait that takes long.

    Attributes:
        attempt: its name.
        agent: which of its agents.
        kind: what it waits for.
        seconds: how long already.
        frames: see `awaiting`.
    """

    attempt: str
    agent: str
    kind: str
    seconds: float
    frames: list[str]

    def __str__(self) -> str:
        inner = self.frames[-1] if self.frames else "no frame: the task has not begun"
        return f"{self.attempt} {self.agent}: waits for {self.kind or 'itself'} since {self.seconds:.1f} s in {inner}"


def awaiting(task: "asyncio.Task[Any]") -> list[str]:
    """The frames of a task that waits, such as "Shell.call tools/shell.py:88", outermost first."""
    frames, at = [], task.get_coro()
    while at is not None and len(frames) < DEEPEST:
        frame = getattr(at, "cr_frame", None) or getattr(at, "gi_frame", None) or getattr(at, "ag_frame", None)
        if frame is not None:
            code = frame.f_code
            place = "/".join(PurePath(code.co_filename).parts[-2:])
            frames.append(f"{code.co_qualname} {place}:{frame.f_lineno}")
        at = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None) or getattr(at, "ag_await", None)
    return frames
