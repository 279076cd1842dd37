"""Train a recipe through all its stages. The same command goes on where a stopped or killed run left off."""

import dataclasses
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated

import tyro

from manyeyes.cli.locations import data_folder, runs_folder
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder, new_run_path
from manyeyes.recipes import recipe
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.run import Run


@dataclass(frozen=True)
class Options:
    """How to run a recipe."""

    recipe: tyro.conf.Positional[str]
    """name of the recipe; `manyeyes recipes` lists them"""
    overrides: tyro.conf.Positional[tuple[str, ...]] = ()
    """PATH=VALUE pairs on the recipe's configuration, e.g. seed=1 stages.joint.steps=50"""
    fresh: bool = False
    """start anew even if an unfinished run of this configuration exists"""
    folder: Path | None = None
    """run folder to use (default: a new one under MANYEYES_RUNS or ./runs)"""
    steps_scale: float = 1.0
    """scale every stage's steps, e.g. 0.02 for a quick look"""
    threads: int = 0
    """CPU threads (default: one for each core)"""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one"""
    quiet: bool = False
    """only say when stages end"""


def main(options: Options) -> int:
    """Start or resume; returns 0 when finished, 130 when stopped by the user."""
    run = apply_overrides(recipe(options.recipe), options.overrides)
    if options.steps_scale != 1.0:
        if not options.steps_scale > 0:
            raise ConfigError(f"--steps-scale must be above 0, got {options.steps_scale}")
        run = run.shortened(options.steps_scale)
    folder, found = _folder(run, options)
    if found and folder.metrics("finished"):
        print(f"{folder.path}: already finished; --fresh trains it again. Report: {folder.report_path}")
        return 0
    return _train(run, folder, options)


def _train(run: Run, folder: RunFolder, options: Options) -> int:
    import torch

    from manyeyes.recipes.execute import execute
    from manyeyes.view.progress import Progress
    from manyeyes.view.report import write_report

    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    stop = _stop_requests()
    with Progress(run.steps, quiet=options.quiet) as progress:
        progress.say(f"run folder {folder.path}")
        finished = execute(
            run, folder, device=_device(options.device), report=progress.step, announce=progress.say, stop=stop,
            data_folder=data_folder(),
        )  # fmt: skip
    write_report(folder)
    if not finished:
        print(f"stopped and saved; the same command goes on from here ({folder.path})")
        return 130
    print(f"finished: {folder.path}\nreport:   {folder.report_path}\nask it:   manyeyes see PICTURE \"what is this?\"")
    return 0


def _folder(run: Run, options: Options) -> tuple[RunFolder, bool]:
    """The folder to use, and whether it held this run before."""
    if options.folder is not None and (options.folder / "config.json").exists():
        folder = RunFolder.open(options.folder)
        if Run.from_json(folder.config()).fingerprint != run.fingerprint:
            raise ConfigError(f"{folder.path} holds a run of another configuration; choose another --folder")
        return folder, True
    if options.folder is None and not options.fresh:
        for path in sorted(runs_folder().glob(f"{run.name}-*"), reverse=True):
            if _same(path, run):
                return RunFolder.open(path), True
    return RunFolder.create(options.folder or new_run_path(runs_folder(), run.name), run.to_json()), False


def _same(path: Path, run: Run) -> bool:
    try:
        return Run.from_json(RunFolder.open(path).config()).fingerprint == run.fingerprint
    except ConfigError:
        return False
    except Exception as error:  # a damaged folder beside ours is not our run
        if type(error).__name__ == "RunFolderError":
            return False
        raise


def _device(name: str):
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device {name!r}: expected cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"--device {name}: this build of torch sees no GPU; use --device cpu")
    return device


def _stop_requests() -> Callable[[], bool]:
    """First Ctrl-C or SIGTERM: finish the step and save. Second Ctrl-C: stop at once."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        print("\nstopping after this step ... (Ctrl-C again: at once)", flush=True)

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    return lambda: bool(asked)
