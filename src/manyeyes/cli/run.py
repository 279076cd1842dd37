"""Train a recipe through all its stages. The same command goes on where a stopped or killed run left off."""

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, NamedTuple

import tyro

from manyeyes.cli.device import chosen_device
from manyeyes.cli.locations import LocationError, data_folder, runs_folder, short
from manyeyes.cli.post_run import post_train
from manyeyes.cli.run_lock import claimed
from manyeyes.cli.starting_model import started_from
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder, RunFolderError, new_run_path
from manyeyes.recipes import RECIPES, recipe
from manyeyes.recipes.mixture_change import refuse_past_changes
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.readiness import check_files, check_names, check_order, check_start
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run
from manyeyes.recipes.sources import with_paths_from
from manyeyes.view.progress import Progress
from manyeyes.view.report import write_report
from manyeyes.view.stage_plan import planned

STOPPED = 130
"""Exit status of a run that the user stopped, as shells have it for Ctrl-C."""


@dataclass(frozen=True)
class Options:
    """How to run a recipe."""

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """Name of the recipe; `manyeyes recipes` lists them."""
    overrides: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[PATH=VALUE ...]", help_behavior_hint="")
    ] = ()
    """Changes to the recipe, e.g. seed=1 stages.joint.steps=50; `manyeyes recipes NAME` lists the paths."""
    fresh: bool = False
    """Start anew even if a run of this very configuration exists."""
    change_mixture: bool = False
    """Go on with a run whose mixtures were others, e.g. with stages.joint.mixture.segments.0.vision=0.2 given now."""
    folder: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Run folder to use; a new one under MANYEYES_RUNS or ./runs when left out."""
    steps_scale: float = 1.0
    """Scale every stage's steps, e.g. 0.02 for a quick look."""
    threads: Annotated[int, tyro.conf.arg(help_behavior_hint="")] = 0
    """CPU threads; one for each core when left out."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    quiet: bool = False
    """Only say when stages end."""
    dry_run: bool = False
    """Check every name and count what the run needs, on networks without memory; nothing is trained."""
    full: bool = False
    """After the recipe, all that goes on from it: fine-tuning, RL, Toggle, PARL. Finished ones are not run again."""


class Place(NamedTuple):
    """Where a run goes, and whether it is there already."""

    path: Path
    known: bool


def main(options: Options) -> int:
    """Start or go on; returns 0 when finished, 130 when stopped by the user.

    Whatever can be known to be wrong is refused before a run folder is made.
    """
    if options.full:
        return full_training(options)
    found = recipe(options.recipe)
    if options.dry_run:
        return _dry(apply_overrides(found, options.overrides))
    if not isinstance(found, Run):
        return post_train(found, options)
    asked = wanted(options)
    run = asked.started()
    check_names(run)
    place = find_place(run, options)
    folder = RunFolder(place.path)
    finished = place.known and bool(folder.metrics("finished"))
    if not finished and not folder.has_checkpoint:
        check_start(run)
    check_order(run)
    if finished:
        if options.change_mixture:
            refuse_past_changes(Run.from_json(folder.config()), run, current=len(run.stages))
        print(f"{short(place.path)}: finished already; --fresh trains it again\n{_after(folder)}")
        return 0
    check_files(run, data_folder())
    if asked.replaced:
        print(f"skipped, a checkpoint takes its place: stage {', '.join(asked.replaced)}")
    return _train(run, place, options)


def full_training(options: Options) -> int:
    """The recipe and its post-training, one after another; ends with the first that does not finish.

    Raises:
        ConfigError: it has no post-training, or an option that belongs to one run alone.
    """
    names = [options.recipe, *(name for name in RECIPES if name.startswith(f"{options.recipe}."))]
    if len(names) == 1 or "." in options.recipe:
        raise ConfigError(f"nothing goes on from {options.recipe}; --full is for tiny, small and k25")
    if options.overrides or options.folder is not None or options.change_mixture:
        raise ConfigError("--full runs several recipes; give overrides, --folder and --change-mixture to one at a time")
    for number, name in enumerate(names, 1):
        print(f"\n{name} ({number} of {len(names)})", flush=True)
        if status := main(dataclasses.replace(options, recipe=name, full=False)):
            return status
    return 0


def _dry(run: Run | RlRun | RftRun) -> int:
    from manyeyes.recipes.dry_run import dry_run

    found = dry_run(run)
    print("\n".join([need.line for need in found.needs] + [f"not here: {note}" for note in found.missing]))
    return 0


def wanted(options: Options) -> Run:
    """The recipe with the user's changes.

    Raises:
        ConfigError: an unknown recipe, a misspelt override, a value out of range.
        LocationError: the model that it starts from is not there.
    """
    if not 0 < options.steps_scale < float("inf"):
        raise ConfigError(f"--steps-scale must be above 0, got {options.steps_scale}")
    if options.threads < 0:
        raise ConfigError(f"--threads must be 1 or more (0: one for each core), got {options.threads}")
    if options.fresh and options.change_mixture:
        raise ConfigError("--change-mixture goes on with a run and --fresh starts one; give only one of them")
    found = recipe(options.recipe)
    assert isinstance(found, Run)  # main hands the others on
    run = apply_overrides(found, options.overrides)
    run = started_from(with_paths_from(run, Path.cwd()), options.folder)
    return run if options.steps_scale == 1.0 else run.shortened(options.steps_scale)


def find_place(run: Run, options: Options) -> Place:
    """The user's folder, else the newest run of this very configuration, else a new folder; touches nothing.

    Raises:
        LocationError: the user's folder holds something else.
    """
    if options.folder is not None:
        return _users_place(run, options.folder, options)
    if not options.fresh:
        for path in sorted(runs_folder().glob(f"{run.name}-*"), reverse=True):
            if _holds(path, run, options):
                return Place(path, known=True)
    if options.change_mixture:
        raise LocationError(f"{short(runs_folder())}: no run of {run.name} differs from this one in its mixtures alone")
    return Place(new_run_path(runs_folder(), run.name), known=False)


def _users_place(run: Run, path: Path, options: Options) -> Place:
    if not (path / "config.json").exists():
        return Place(path, known=False)
    if options.fresh:
        raise LocationError(f"{path} holds a run already; with --fresh, name another --folder or remove it first")
    if not _holds(path, run, options):
        raise LocationError(
            f"{path} holds a run of another configuration; name another --folder (only mixtures may change, with "
            "--change-mixture)"
        )
    return Place(path, known=True)


def _holds(path: Path, run: Run, options: Options) -> bool:
    """Whether the folder holds a run of this configuration; a damaged one, or one of another version, does not."""
    try:
        began = Run.from_json(RunFolder.open(path).config())
    except (ConfigError, RunFolderError):
        return False
    if options.change_mixture:
        return began.core_fingerprint == run.core_fingerprint
    return began.fingerprint == run.fingerprint


def _train(run: Run, place: Place, options: Options) -> int:
    # torch takes seconds to load; whatever can be said without it has been said by now.
    import torch

    from manyeyes.recipes.execute import execute

    device = chosen_device(options.device)
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    folder = RunFolder.open(place.path) if place.known else RunFolder.create(place.path, run.to_json())
    with (
        claimed(folder.path),
        folder,
        Progress(run.steps, quiet=options.quiet, plan=planned(run.to_json())) as progress,
        stop_requests(progress.notice) as stop,
    ):
        progress.say(f"run folder: {short(folder.path)}")
        finished = execute(
            run, folder, device=device, report=progress.step, announce=progress.say, stop=stop,
            data_folder=data_folder(), change_mixture=options.change_mixture,
        )  # fmt: skip
    write_report(folder)
    print(_after(folder) if finished else f"stopped and saved; the same command goes on from here\n{_after(folder)}")
    return 0 if finished else STOPPED


def _after(folder: RunFolder) -> str:
    lines = [f"report:     {short(folder.report_path)}"] if folder.report_path.exists() else []
    if folder.metrics("finished"):
        lines.append('ask it:     manyeyes see PICTURE "what is this?"')
    return "\n".join(lines)


@contextmanager
def stop_requests(notice: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Whether the user asked to stop. The first Ctrl-C or SIGTERM asks; a second one stops at once.

    Args:
        notice: called from the signal handler with a line for the user.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        notice("stopping after this step, and saving ... (Ctrl-C again: at once)")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
