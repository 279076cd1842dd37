"""Where things are on this machine: the one place that reads environment variables and turns names into paths.

    MANYEYES_RUNS    folder of run folders         (default: ./runs)
    MANYEYES_DATA    folder of fetched data        (default: ./data)

`LocationError`, a `ManyeyesError`, says that a run, model or picture is not where the user says.
"""

import os
from pathlib import Path

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.runlog import RunFolder, RunFolderError, latest_run

MODEL = "model"
"""Where a finished run leaves its weights, within its folder."""


class LocationError(ManyeyesError):
    """A run, model or picture that is not where the user says."""


def runs_folder() -> Path:
    """The folder of run folders."""
    return Path(os.environ.get("MANYEYES_RUNS") or "runs")


def data_folder() -> Path:
    """The folder of fetched data."""
    return Path(os.environ.get("MANYEYES_DATA") or "data")


def run_folder(name: str, *, having: str = "config.json") -> RunFolder:
    """A run by path, by name under the runs folder, or the latest one when `name` is empty.

    Args:
        having: a glob that must match inside the run, when it is to be the latest one.

    Raises:
        ManyeyesError: there is none.
    """
    if not name:
        return latest_run(runs_folder(), having=having)
    for path in (Path(name), runs_folder() / name):
        if path.is_dir():
            return RunFolder.open(path)
    raise LocationError(f"no run {name!r}, neither as a path nor under {runs_folder()}; `manyeyes run tiny` makes one")


def finished_run(name: str) -> RunFolder:
    """A run that has its model, by path or name; the latest such run when `name` is empty.

    Raises:
        ManyeyesError: there is none, or it has not come to its end.
    """
    try:
        run = run_folder(name, having=f"{MODEL}/config.json")
    except RunFolderError:
        if name:
            raise
        raise LocationError(
            f"no finished run under {runs_folder()} yet; `manyeyes run tiny` trains one, --model names another place"
        ) from None
    if not (run.path / MODEL / "config.json").is_file():
        raise LocationError(f"{run.path} has no model yet, its training is unfinished; `manyeyes run` goes on with it")
    return run


def model_folder(name: str) -> Path:
    """The checkpoint folder that a name means: such a folder itself, or the model of a finished run.

    Raises:
        ManyeyesError: there is none.
    """
    path = Path(name)
    if name and path.is_dir() and not _is_run(path):
        return path
    return finished_run(name).path / MODEL


def short(path: Path) -> str:
    """The path as a user would type it: from here, where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _is_run(path: Path) -> bool:
    return any((path / name).exists() for name in ("metrics.jsonl", "checkpoints"))
