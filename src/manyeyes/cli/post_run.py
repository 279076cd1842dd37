"""`manyeyes run` for runs of RL and of rejection sampling: they start from a model and learn from what it does."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from manyeyes.cli.device import chosen_device
from manyeyes.cli.locations import LocationError, data_folder, model_folder, runs_folder, short
from manyeyes.cli.run_lock import claimed
from manyeyes.cli.starting_model import newest_model
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder, RunFolderError, new_run_path
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_run import RlRun
from manyeyes.view.report import write_report

if TYPE_CHECKING:
    from manyeyes.cli.run import Options

PostRun = RlRun | RftRun
STOPPED = 130


def post_train(run: PostRun, options: "Options") -> int:
    """Start or go on; returns 0 when finished, 130 when stopped by the user.

    Raises:
        ManyeyesError: whatever can be known to be wrong, before a run folder is made.
    """
    run = wanted(run, options)
    path, known = place_of(run, options)
    folder = RunFolder(path)
    if known and folder.metrics("finished"):
        print(f"{short(path)}: finished already; --fresh trains it again")
        return 0
    return _train(run, path, known, options)


def wanted(run: PostRun, options: "Options") -> PostRun:
    """The run with the user's changes, and the models that it starts from as paths.

    Raises:
        ConfigError: an option or override that makes no sense here. LocationError: a model is not there.
    """
    if options.change_mixture:
        raise ConfigError(f"{run.name} has no mixtures; leave --change-mixture out")
    if not 0 < options.steps_scale < float("inf") or options.threads < 0:
        raise ConfigError(
            f"--steps-scale must be above 0 and --threads 0 or more, got {options.steps_scale} and {options.threads}"
        )
    run = apply_overrides(run, options.overrides)
    run = run if options.steps_scale == 1.0 else run.shortened(options.steps_scale)
    began = _begun(options.folder, type(run)) if options.folder is not None else None
    if began is not None and not run.start_model:
        run = dataclasses.replace(run, start_model=began.start_model)
    else:
        start = model_folder(run.start_model) if run.start_model else newest_model(run.after, wanted_by=run.name)
        run = dataclasses.replace(run, start_model=str(start.resolve()))
    if isinstance(run, RlRun) and run.frozen_model:
        run = dataclasses.replace(run, frozen_model=str(model_folder(run.frozen_model).resolve()))
    return run


def place_of(run: PostRun, options: "Options") -> tuple[Path, bool]:
    """The user's folder, else the newest run of this configuration, else a new one; and whether it is there.

    Raises:
        LocationError: the user's folder holds something else.
    """
    if options.folder is None:
        for path in () if options.fresh else sorted(runs_folder().glob(f"{run.name}-*"), reverse=True):
            if (began := _begun(path, type(run))) is not None and began.fingerprint == run.fingerprint:
                return path, True
        return new_run_path(runs_folder(), run.name), False
    if not (options.folder / "config.json").exists():
        return options.folder, False
    if options.fresh:
        raise LocationError(
            f"{options.folder} holds a run already; with --fresh, name another --folder or remove it first"
        )
    began = _begun(options.folder, type(run))
    if began is None or began.fingerprint != run.fingerprint:
        raise LocationError(f"{options.folder} holds a run of another configuration; name another --folder")
    return options.folder, True


def _begun(path: Path, kind: type[RlRun] | type[RftRun]) -> PostRun | None:
    """The run of a folder, where that holds a whole one of this kind."""
    try:
        config = RunFolder.open(path).config()
        return kind.from_json(config) if config.get("kind") in ("rl", "rft") else None
    except (ConfigError, RunFolderError):
        return None


def _train(run: PostRun, path: Path, known: bool, options: "Options") -> int:
    # torch takes seconds to load; whatever can be said without it has been said by now.
    import torch

    from manyeyes.cli.run import stop_requests

    device = chosen_device(options.device)
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    folder = RunFolder.open(path) if known else RunFolder.create(path, run.to_json())
    say: Callable[[str], None] = (lambda line: None) if options.quiet else (lambda line: print(line, flush=True))
    with claimed(folder.path), folder, stop_requests(lambda line: print(line, flush=True)) as stop:
        print(f"run folder: {short(folder.path)}", flush=True)
        finished = _executed(run, folder, device, say, stop)
    write_report(folder)
    print(f"report:     {short(folder.report_path)}")
    if not finished:
        print("stopped and saved; the same command goes on from here")
        return STOPPED
    return 0


def _executed(
    run: PostRun, folder: RunFolder, device: object, say: Callable[[str], None], stop: Callable[[], bool]
) -> bool:
    from manyeyes.recipes.rft_execute import execute_rft
    from manyeyes.recipes.rl_execute import execute_rl

    given = {"device": device, "announce": say, "stop": stop, "data_folder": data_folder()}
    if isinstance(run, RlRun):
        return execute_rl(run, folder, **given)  # pyright: ignore[reportArgumentType]
    return execute_rft(run, folder, **given)  # pyright: ignore[reportArgumentType]
