"""Which model a run of post-training starts from: the one that is named, else the newest finished run of its recipe."""

import dataclasses
from pathlib import Path

from manyeyes.cli.locations import MODEL, LocationError, model_folder, runs_folder
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder, RunFolderError
from manyeyes.recipes import recipe
from manyeyes.recipes.run import Run
from manyeyes.recipes.starting_model import with_start


def newest_model(after: str, *, wanted_by: str) -> Path:
    """The model of the newest finished run of a recipe.

    Raises:
        LocationError: there is none yet.
    """
    for path in sorted(runs_folder().glob(f"{after}-*"), reverse=True):
        if (path / MODEL / "config.json").is_file():
            return path / MODEL
    raise LocationError(
        f"{wanted_by} goes on from a finished run of {after}, and there is none under {runs_folder()}; `manyeyes run "
        f"{after}` trains one, start_model=FOLDER names another model"
    )


def started_from(run: Run, folder: Path | None) -> Run:
    """The run with the model that it starts from, as path and configuration.

    Args:
        folder: where the user wants the run, which may be under way there.

    Raises:
        ManyeyesError: there is no such model; or `model` was changed, which is the checkpoint's.
    """
    if not (run.start_model or run.after):
        return run
    usual = recipe(run.name)
    if isinstance(usual, Run) and run.model != usual.model:
        raise ConfigError(f"{run.name} starts from a model and has its configuration; leave model.* out")
    if run.start_model:
        return _from_named(run, folder)
    if folder is not None and (began := _begun(folder)) is not None:
        return dataclasses.replace(run, start_model=began.start_model, model=began.model)
    return with_start(run, newest_model(run.after, wanted_by=run.name))


def _from_named(run: Run, folder: Path | None) -> Run:
    """From the model itself, or, where that is gone, as a run that began from it: to go on takes no more."""
    try:
        return with_start(run, model_folder(run.start_model))
    except LocationError:
        path = Path(run.start_model).resolve()
        names = (str(path), str(path / MODEL))
        places = [*([folder] if folder else []), *sorted(runs_folder().glob(f"{run.name}-*"), reverse=True)]
        began = next((one for one in map(_begun, places) if one is not None and one.start_model in names), None)
        if began is None:
            raise
        return dataclasses.replace(run, start_model=began.start_model, model=began.model)


def _begun(folder: Path) -> Run | None:
    """The run of a folder, where that holds a whole one."""
    try:
        return Run.from_json(RunFolder.open(folder).config())
    except (ConfigError, RunFolderError):
        return None
