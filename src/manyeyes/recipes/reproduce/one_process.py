"""One process, one run: the frame of the processes that experiments start, and what their exit status means.

    0      the run is finished
    130    it was asked to stop (SIGINT, SIGTERM, or the parent is gone) and has saved
    1      it failed; the last line says why

A second process on the same folder waits until the first has ended.

Report: none.
"""

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import torch

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.out_of_space import out_of_space_line
from manyeyes.core.runlog import RunFolder

STOPPED = 130
Work = Callable[[RunFolder, Callable[[], bool]], bool]
"""Does what lies in a folder, or goes on with it, until it is asked to stop; True when it is finished."""


def one_process(path: Path, work: Work, *, threads: int) -> NoReturn:
    """Work on a run's folder and end this process."""
    try:
        sys.exit(0 if worked(path, work, threads=threads) else STOPPED)
    except ManyeyesError as error:
        sys.exit(f"manyeyes: {error}")
    except OSError as error:
        if (line := out_of_space_line(error)) is None:
            raise
        sys.exit(f"manyeyes: {line}")


def worked(path: Path, work: Work, *, threads: int) -> bool:
    """Work on a run's folder alone, until it is finished or somebody asks to stop; True when it is finished."""
    torch.set_num_threads(threads)
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, frame: asked.append(received))
    parent = os.getppid()
    with RunFolder.open(path) as folder, (path / "worker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return work(folder, lambda: bool(asked) or os.getppid() != parent)
