"""Where things are on this machine: the one place that reads environment variables and turns names into paths.

    MANYEYES_RUNS    folder of run folders         (default: ./runs)
    MANYEYES_DATA    folder of fetched data        (default: ./data)
"""

import os
from pathlib import Path

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.runlog import RunFolder, latest_run


class LocationError(ManyeyesError):
    """A run or picture that is not where the user says."""


def runs_folder() -> Path:
    """The folder of run folders."""
    return Path(os.environ.get("MANYEYES_RUNS", "runs"))


def data_folder() -> Path:
    """The folder of fetched data."""
    return Path(os.environ.get("MANYEYES_DATA", "data"))


def run_folder(name: str, *, having: str = "config.json") -> RunFolder:
    """A run by path, by name under the runs folder, or the latest one when `name` is empty.

    Raises:
        ManyeyesError: there is none.
    """
    if not name:
        return latest_run(runs_folder(), having=having)
    for path in (Path(name), runs_folder() / name):
        if path.is_dir():
            return RunFolder.open(path)
    raise LocationError(f"no run {name!r}, neither as a path nor under {runs_folder()}; `manyeyes run tiny` makes one")
