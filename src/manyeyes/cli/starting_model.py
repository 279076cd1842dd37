"""Which model a run of post-training starts from.

    named             start_model=FOLDER
    under way         that of the newest run that differs in nothing else and is not finished: the same command goes on
    newest            that of the newest finished run of the recipe before it, as the recipe has it

A run that was changed (an ablation, fewer steps), or that began with a model of another recipe than the one before it,
is no such run: whoever wants to start from it names it.
"""

import dataclasses
from pathlib import Path

from manyeyes.cli.locations import MODEL, LocationError, model_folder, runs_folder, short
from manyeyes.cli.run_options import Options
from manyeyes.cli.run_place import AnyRun, is_finished, run_of, run_paths
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolderError
from manyeyes.recipes import RECIPES, recipe
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run
from manyeyes.recipes.starting_model import with_start

OWN = ("seed", "vocabulary", "start_text", "start_vision", "start_align", "start_model", "frozen_model", "frozen")
"""What a run may have of its own and still be the recipe's: its seed, and what it was given to start with; models that
the recipe takes from runs of other recipes are to be of such (`_begins_as_shipped`)."""


def newest_model(after: str, *, wanted_by: str) -> Path:
    """The model of the newest finished run of a recipe that was made as the recipe has it.

    Raises:
        LocationError: there is none yet.
    """
    finished = [path for path in run_paths(after) if (path / MODEL / "config.json").is_file() and is_finished(path)]
    for path in finished:
        if is_as_shipped(path, after):
            return path / MODEL
    other = f"; {short(finished[0])} is one with other settings than the recipe has" if finished else ""
    example = f"start_model={short(finished[0])}" if finished else "start_model=FOLDER"
    raise LocationError(
        f"{wanted_by} goes on from a finished run of {after}, and there is none under {runs_folder()}{other}; "
        f"`manyeyes run {after}` trains one, {example} names {'it' if finished else 'another model'}"
    )


def is_as_shipped(path: Path, name: str) -> bool:
    """Whether a folder's run computes what the recipe says, but for what is its own (`OWN`)."""
    began, usual = run_of(path), recipe(name)
    if began is None or type(began) is not type(usual):
        return False
    own = {field.name for field in dataclasses.fields(usual)} & {*OWN, *(("model",) if usual.after else ())}
    made = dataclasses.replace(usual, **{field: getattr(began, field) for field in own})
    same = (made.started() if isinstance(made, Run) else made).fingerprint == began.fingerprint
    return same and _begins_as_shipped(began, usual)


def _begins_as_shipped(began: AnyRun, usual: AnyRun) -> bool:
    """Whether its models are those of runs that the recipe names."""
    asked = [(usual.after, began.start_model)] if usual.after else []
    if isinstance(began, RlRun) and isinstance(usual, RlRun):
        if len(_frozen(began)) != len(_frozen(usual)):
            return False
        asked += zip(_frozen(usual), _frozen(began), strict=True)
    return all(model == name or _is_model_of(model, name) for name, model in asked)


def _is_model_of(model: str, name: str) -> bool:
    """Whether a checkpoint folder is that of a run of a recipe; where the run is gone, its folder's name tells."""
    path = Path(model)
    if not model or path.name != MODEL:
        return not model
    began = run_of(path.parent)
    return path.parent.name.startswith(f"{name}-") if began is None else began.name == name


def started_from(run: AnyRun, options: Options) -> AnyRun:
    """The run with the model that it starts from, as path and, where it takes that over, configuration.

    Raises:
        ManyeyesError: there is no such model; or `model` was changed, which is the checkpoint's.
    """
    if not (run.start_model or run.after):
        if isinstance(run, Run):
            return run
        raise ConfigError(f"{run.name} learns from what a model does; name one as start_model=FOLDER")
    if isinstance(run, Run) and run.model != _usual_model(run):
        raise ConfigError(f"{run.name} starts from a model and has its configuration; leave model.* out")
    if run.start_model:
        return _goes_on(_from_named(run, options.folder), options)
    if (began := _under_way(run, options)) is not None:
        return with_start_of(run, began)
    return with_model(run, newest_model(run.after, wanted_by=run.name))


def with_model(run: AnyRun, model: Path) -> AnyRun:
    """The run as it begins from a checkpoint folder. Raises CheckpointError: it cannot be read."""
    if isinstance(run, Run):
        return with_start(run, model)
    return dataclasses.replace(run, start_model=str(model.resolve()))


def with_start_of(run: AnyRun, began: AnyRun) -> AnyRun:
    """The run as it begins from where another one began."""
    if isinstance(run, Run) and isinstance(began, Run):
        return dataclasses.replace(run, start_model=began.start_model, model=began.model)
    if isinstance(run, RlRun) and isinstance(began, RlRun):
        run = _with_frozen_of(run, began)
    return dataclasses.replace(run, start_model=began.start_model)


def newer_start(run: AnyRun) -> Path | None:
    """The model that the run would start from if it began now; None where that is the one it began with."""
    if not run.after:
        return None
    try:
        newest = newest_model(run.after, wanted_by=run.name).resolve()
    except LocationError:
        return None
    return None if str(newest) == run.start_model else newest


def with_frozen(run: RlRun) -> RlRun:
    """The run with its frozen sub-agents as paths; the name of a recipe means its newest finished run.

    Raises:
        ManyeyesError: there is no such model.
    """

    def path(name: str) -> str:
        found = newest_model(name, wanted_by=run.name) if name in RECIPES else model_folder(name)
        return str(found.resolve())

    later = tuple(dataclasses.replace(one, model=path(one.model)) for one in run.frozen)
    return dataclasses.replace(run, frozen=later, frozen_model=run.frozen_model and path(run.frozen_model))


def _with_frozen_of(run: RlRun, began: RlRun) -> RlRun:
    """Where it names recipes, the models that another run found for them; otherwise its own, as paths."""
    known = {name: there for name, there in zip(_frozen(run), _frozen(began), strict=False) if name in RECIPES}
    later = tuple(dataclasses.replace(one, model=known.get(one.model, one.model)) for one in run.frozen)
    first = known.get(run.frozen_model, run.frozen_model)
    return with_frozen(dataclasses.replace(run, frozen=later, frozen_model=first))


def _frozen(run: RlRun) -> tuple[str, ...]:
    return (run.frozen_model, *(one.model for one in run.frozen))


def _usual_model(run: Run) -> object:
    usual = recipe(run.name)
    return usual.model if isinstance(usual, Run) else None


def _goes_on(run: AnyRun, options: Options) -> AnyRun:
    """A run whose start is named: with the frozen sub-agents of the run that it goes on with, if it does."""
    if not isinstance(run, RlRun) or not any(name in RECIPES for name in _frozen(run)):
        return run
    began = _under_way(run, options, start=run.start_model)
    return _with_frozen_of(run, began) if isinstance(began, RlRun) else run


def _under_way(run: AnyRun, options: Options, *, start: str = "") -> AnyRun | None:
    """What began in the user's folder; else the newest run that differs in its start alone, if it is not finished.

    Args:
        start: that it began with, where one is named.
    """
    if options.folder is not None:
        there = run_of(options.folder)
        return there if there and type(there) is type(run) and start in ("", there.start_model) else None
    for path in () if options.fresh else run_paths(run.name):
        if (began := _alike(run, path, options)) is not None and start in ("", began.start_model):
            return None if is_finished(path) else began
    return None


def _alike(run: AnyRun, path: Path, options: Options) -> AnyRun | None:
    """The run of a folder, where it differs from this one in its start alone; one whose models are gone does not."""
    began = run_of(path)
    if began is None or type(began) is not type(run):
        return None
    try:
        here = with_start_of(run, began)
    except (LocationError, RunFolderError):
        return None
    if isinstance(here, Run) and isinstance(began, Run) and options.change_mixture:
        return began if here.core_fingerprint == began.core_fingerprint else None
    return began if here.fingerprint == began.fingerprint else None


def _from_named(run: AnyRun, folder: Path | None) -> AnyRun:
    """From the model itself, or, where that is gone, as a run that began from it: to go on takes no more."""
    try:
        return with_model(run, model_folder(run.start_model))
    except LocationError:
        path = Path(run.start_model).resolve()
        names = (str(path), str(path / MODEL))
        places = [*([folder] if folder else []), *run_paths(run.name)]
        began = next((one for one in map(run_of, places) if one is not None and one.start_model in names), None)
        if not isinstance(run, Run) or began is None:
            raise
        return with_start_of(run, began)
