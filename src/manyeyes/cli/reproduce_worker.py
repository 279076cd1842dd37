"""One process, one run of post-training: does what lies in a run folder, or goes on with it.

    python -m manyeyes.cli.reproduce_worker FOLDER

A parent starts it and reads the folder's log; `one_process` says how it ends.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from manyeyes.cli.locations import data_folder
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.one_process import one_process
from manyeyes.recipes.reproduce.post_perform import perform


def work(folder: RunFolder, stop: Callable[[], bool]) -> bool:
    """See `perform`."""
    return perform(folder, announce=lambda line: print(line, flush=True), data_folder=data_folder(), stop=stop)


if __name__ == "__main__":
    one_process(Path(sys.argv[1]), work, threads=int(os.environ.get("OMP_NUM_THREADS", "1")))
