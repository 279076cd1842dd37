"""Where a run goes: the folder that holds a run of this configuration already, or a new one.

    run_of       the configuration that a folder began with, whatever kind of run it is
    run_paths    folders of the runs of a recipe, the newest first
    find_place   the one to use

A folder that is damaged, or was written by another version, holds no run that could go on, and is passed over.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from manyeyes.cli.locations import LocationError, runs_folder, short
from manyeyes.cli.run_options import Options
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder, RunFolderError, new_run_path
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run

AnyRun: TypeAlias = Run | RlRun | RftRun


class Place(NamedTuple):
    """Where a run goes, and whether it is there already."""

    path: Path
    known: bool

    @property
    def finished(self) -> bool:
        """Whether it is there and at its end. Raises RunFolderError: its log is damaged."""
        return self.known and bool(RunFolder(self.path).metrics("finished"))


def run_paths(name: str) -> list[Path]:
    """Folders under the runs folder that are called like runs of a recipe, the newest first."""
    return sorted(runs_folder().glob(f"{name}-*"), reverse=True)


def run_of(path: Path) -> AnyRun | None:
    """The run that a folder began with; None where it holds none of this version."""
    try:
        config = RunFolder.open(path).config()
        kind = {"rl": RlRun, "rft": RftRun}.get(config.get("kind", ""), Run)
        return kind.from_json(config)
    except (ConfigError, RunFolderError):
        return None


def is_finished(path: Path) -> bool:
    """Whether a run has come to its end; a log that cannot be read tells of no end."""
    try:
        return bool(RunFolder(path).metrics("finished"))
    except RunFolderError:
        return False


def holds(path: Path, run: AnyRun, *, change_mixture: bool = False) -> bool:
    """Whether a folder holds a run of this configuration; with `change_mixture`, whatever its mixtures are."""
    began = run_of(path)
    if isinstance(began, Run) and isinstance(run, Run) and change_mixture:
        return began.core_fingerprint == run.core_fingerprint
    return began is not None and type(began) is type(run) and began.fingerprint == run.fingerprint


def find_place(run: AnyRun, options: Options) -> Place:
    """The user's folder, else the newest run of this very configuration, else a new folder; touches nothing.

    Raises:
        LocationError: the user's folder holds something else.
    """
    if options.folder is not None:
        return _users_place(run, options.folder, options)
    for path in _known(run, options):
        return Place(path, known=True)
    if options.change_mixture:
        raise LocationError(f"{short(runs_folder())}: no run of {run.name} differs from this one in its mixtures alone")
    return Place(new_run_path(runs_folder(), run.name), known=False)


def _known(run: AnyRun, options: Options) -> Iterator[Path]:
    paths = [] if options.fresh else run_paths(run.name)
    return (path for path in paths if holds(path, run, change_mixture=options.change_mixture))


def _users_place(run: AnyRun, path: Path, options: Options) -> Place:
    if not (path / "config.json").exists():
        return Place(path, known=False)
    if options.fresh:
        raise LocationError(f"{path} holds a run already; with --fresh, name another --folder or remove it first")
    if not holds(path, run, change_mixture=options.change_mixture):
        mixtures = " (only mixtures may change, with --change-mixture)" if isinstance(run, Run) else ""
        raise LocationError(f"{path} holds a run of another configuration; name another --folder{mixtures}")
    return Place(path, known=True)
