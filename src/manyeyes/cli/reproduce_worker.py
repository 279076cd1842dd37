"""One process, one run of post-training: does what lies in a run folder, or goes on with it.

    python -m manyeyes.cli.reproduce_worker FOLDER

A parent starts it and reads the folder's log. It ends with 0 when the run is finished, with 130 when it was asked to
stop (SIGINT, SIGTERM, or the parent is gone) and saved. A second worker on the same folder waits for the first.
"""

import fcntl
import os
import signal
import sys
from pathlib import Path

import torch

from manyeyes.cli.locations import data_folder
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.out_of_space import out_of_space_line
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.post_perform import perform

STOPPED = 130


def main(path: Path) -> int:
    """Work to the end; returns the exit status."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, frame: asked.append(received))
    parent = os.getppid()
    with RunFolder.open(path) as folder, (path / "worker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        finished = perform(
            folder, announce=lambda line: print(line, flush=True), data_folder=data_folder(),
            stop=lambda: bool(asked) or os.getppid() != parent,
        )  # fmt: skip
    return 0 if finished else STOPPED


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except ManyeyesError as error:
        sys.exit(f"manyeyes: {error}")
    except OSError as error:
        if (line := out_of_space_line(error)) is None:
            raise
        sys.exit(f"manyeyes: {line}")
