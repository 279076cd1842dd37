"""Train a recipe through all its stages. The same command goes on where a stopped or killed run left off."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from manyeyes.cli.locations import MODEL, data_folder, short
from manyeyes.cli.run_options import Options
from manyeyes.cli.run_place import AnyRun, Place, find_place
from manyeyes.cli.run_training import after_words, train
from manyeyes.cli.starting_model import newer_start, started_from, with_frozen
from manyeyes.cli.threads import check_threads
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes import RECIPES, recipe
from manyeyes.recipes.mixture_change import refuse_past_changes
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.readiness import check_files, check_names, check_order, check_start
from manyeyes.recipes.rft_checks import check_rft
from manyeyes.recipes.rl_checks import check_rl
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run
from manyeyes.recipes.sources import with_paths_from

__all__ = ["Options", "main"]


def main(options: Options) -> int:
    """Start or go on; returns 0 when finished, 130 when stopped by the user.

    Whatever can be known to be wrong is refused before a run folder is made.
    """
    if options.full:
        return full_training(options)
    if options.dry_run:
        return _dry(_as_asked(options))
    return one_run(options)[0]


def full_training(options: Options) -> int:
    """The recipe and its post-training, one after another, each from the model before it; ends with the first that does
    not finish.

    Raises:
        ConfigError: it has no post-training, or an option that belongs to one run alone.
    """
    names = chain(options.recipe)
    if len(names) == 1 or "." in options.recipe:
        raise ConfigError(f"nothing goes on from {options.recipe}; --full is for tiny, small and k25")
    if options.overrides or options.folder is not None or options.change_mixture:
        raise ConfigError("--full runs several recipes; give overrides, --folder and --change-mixture to one at a time")
    made: dict[str, Path] = {}
    for number, name in enumerate(names, 1):
        print(f"\n{name} ({number} of {len(names)})", flush=True)
        asked = dataclasses.replace(options, recipe=name, overrides=_models_of(recipe(name), made), full=False)
        if asked.dry_run:
            _dry(_as_asked(asked))
            continue
        status, path = one_run(asked)
        if status:
            return status
        made[name] = (path / MODEL).resolve()
    return 0


def _models_of(run: AnyRun, made: Mapping[str, Path]) -> tuple[str, ...]:
    """Overrides that give a run the models that were made before it, in the place of recipes' names."""
    start = [f"start_model={made[run.after]}"] if run.after in made else []
    if not isinstance(run, RlRun):
        return tuple(start)
    frozen = [f"frozen_model={made[run.frozen_model]}"] if run.frozen_model in made else []
    later = [f"frozen.{n}.model={made[one.model]}" for n, one in enumerate(run.frozen) if one.model in made]
    return (*start, *frozen, *later)


def chain(name: str) -> list[str]:
    """A recipe and those that go on from it, one from another."""
    names = [name]
    below = [other for other in RECIPES if other.startswith(f"{name}.")]
    while (after := next((other for other in below if recipe(other).after == names[-1]), None)) is not None:
        names.append(after)
    return names


def one_run(options: Options) -> tuple[int, Path]:
    """Start or go on with one recipe: the exit status, and the run folder."""
    asked = wanted(options)
    run = asked.started() if isinstance(asked, Run) else asked
    _check_names(run)
    place = find_place(run, options)
    finished = place.finished
    if isinstance(run, Run):
        _check_stages(run, place, options, finished=finished)
    if finished:
        folder = RunFolder.open(place.path)
        print(f"{short(place.path)}: finished already; --fresh trains it again\n{after_words(folder)}")
        return 0, place.path
    for line in _beginning(asked, place, options):
        print(line, flush=True)
    return train(run, place, options), place.path


def wanted(options: Options) -> AnyRun:
    """The recipe with the user's changes, and what it starts from as paths.

    Raises:
        ConfigError: an unknown recipe, a misspelt override, a value out of range.
        LocationError: the model that it starts from is not there.
    """
    check_threads(options.threads)
    if options.fresh and options.change_mixture:
        raise ConfigError("--change-mixture goes on with a run and --fresh starts one; give only one of them")
    run = _as_asked(options)
    if options.change_mixture and not isinstance(run, Run):
        raise ConfigError(f"{run.name} has no mixtures; leave --change-mixture out")
    run = started_from(run, options)
    return with_frozen(run) if isinstance(run, RlRun) else run


def _as_asked(options: Options) -> AnyRun:
    """The recipe with the user's changes, and as short as is asked for. Raises ConfigError."""
    if not 0 < options.steps_scale < float("inf"):
        raise ConfigError(f"--steps-scale must be above 0, got {options.steps_scale}")
    run = apply_overrides(recipe(options.recipe), options.overrides)
    run = with_paths_from(run, Path.cwd()) if isinstance(run, Run) else run
    return run if options.steps_scale == 1.0 else run.shortened(options.steps_scale)


def _check_names(run: AnyRun) -> None:
    """All that it names is known. Raises ManyeyesError."""
    if isinstance(run, Run):
        check_names(run)
    elif isinstance(run, RlRun):
        check_rl(run)
    else:
        check_rft(run)


def _check_stages(run: Run, place: Place, options: Options, *, finished: bool) -> None:
    """What can be known to be wrong with a run of stages. Raises ManyeyesError."""
    if not finished and not RunFolder(place.path).has_checkpoint:
        check_start(run)
    check_order(run)
    if not finished:
        check_files(run, data_folder())
    elif options.change_mixture:
        refuse_past_changes(Run.from_json(RunFolder(place.path).config()), run, current=len(run.stages))


def _beginning(run: AnyRun, place: Place, options: Options) -> list[str]:
    """What a user should know before it begins."""
    lines: list[str] = []
    if run.start_model:
        named = any(override.startswith("start_model=") for override in options.overrides)
        newer = newer_start(run) if place.known and not named else None
        since = f" (--fresh starts from the newer {short(newer)})" if newer is not None else ""
        lines.append(f"starts from: {short(Path(run.start_model))}{since}")
    if isinstance(run, Run) and run.replaced:
        lines.append(f"skipped, a checkpoint takes its place: stage {', '.join(run.replaced)}")
    return lines


def _dry(run: AnyRun) -> int:
    from manyeyes.recipes.dry_run import dry_run

    found = dry_run(run)
    print("\n".join([need.line for need in found.needs] + [f"not here: {note}" for note in found.missing]))
    return 0
