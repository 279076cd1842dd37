"""`manyeyes reproduce fig2|table2|sft|fig4|fig5|table6`, `fig8 --model RUN`: runs of post-training and what they tell.

Says at the start what is made and how long it takes (`--dry-run`: no more than that), shows how far it is, and writes
the result. Runs lie in one folder that all experiments share, so what two of them need is made once. Ctrl-C lets the
runs save.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from manyeyes.cli.locations import LocationError, finished_run, model_folder, runs_folder, short
from manyeyes.cli.reproduce_figures import show
from manyeyes.cli.reproduce_options import Options
from manyeyes.cli.reproduce_plan import announcement, standings
from manyeyes.cli.reproduce_progress import Progress
from manyeyes.cli.starting_model import newest_model
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import write_atomic
from manyeyes.recipes.reproduce import fig8_trained
from manyeyes.recipes.reproduce.fig2 import SFT
from manyeyes.recipes.reproduce.pool import Job, run_jobs
from manyeyes.recipes.reproduce.post_experiments import POST, Experiment, sharing
from manyeyes.recipes.reproduce.post_rates import rates_of
from manyeyes.recipes.reproduce.post_result import identity
from manyeyes.recipes.reproduce.post_runs import Finished, jobs_of, ordered
from manyeyes.recipes.reproduce.post_scale import SEEDS, WITHIN, Scale, fitted
from manyeyes.recipes.starting_model import MODEL_FOLDER
from manyeyes.view import figure_experiment
from manyeyes.view.figure_panels import document

WORKER = "manyeyes.cli.reproduce_worker"
STOPPED = 130
SHARED = "post-training"
"""Folder of the runs that experiments share."""


def run(options: Options) -> int:
    """Run or go on; returns 0 when finished, 130 when stopped by the user."""
    if options.processes < 0:
        raise ConfigError(f"--processes must be 1 or more (0: one for each core), got {options.processes}")
    if options.minutes is not None and not options.minutes > 0:
        raise ConfigError(f"--minutes must be above 0, got {options.minutes:g}")
    experiment, scale = asked(options)
    plan = experiment.plan(scale)
    root = (options.folder / "runs" if options.folder else runs_folder() / SHARED).resolve()
    runs, rates = ordered(plan.values()), rates_of(root)
    cores = options.processes or os.cpu_count() or 1
    found = standings(runs, root, rates, quick=scale.quick)
    print(announcement(options.experiment, found, scale, root, cores=cores, rates=rates), flush=True)
    if options.dry_run:
        return 0
    jobs = jobs_of(runs, root)
    if not work(jobs, [one.made.minutes for one in found], cores=cores):
        print(f"stopped and saved; the same command goes on from here ({short(root)})")
        return STOPPED
    result = experiment.results(Finished(plan, root), scale)
    folder = options.folder or runs_folder() / f"{options.experiment}-{identity(plan, tune_each=scale.tune_each)}"
    result["command"] = typed(options, result["command"])
    write(result, folder, options.write_docs, page=page_of(options, experiment))
    return 0


def typed(options: Options, command: str) -> str:
    """The command, with the options that change what is computed.

    Args:
        command: what the experiment says of itself.
    """
    said = {
        "--seeds": options.seeds and f"{options.seeds}",
        "--minutes": options.minutes and f"{options.minutes:g}",
        "--start": options.start and "RUN",
    }
    values = [f"{name} {value}" for name, value in said.items() if value]
    flags = [name for name, on in (("--tune-each", options.tune_each), ("--quick", options.quick)) if on]
    return " ".join([command, *values, *flags])


def page_of(options: Options, experiment: Experiment) -> str:
    """Name of the files that the result is written to: variants of an experiment do not write over each other."""
    if options.experiment == "fig8":
        return "fig8-trained"
    own = options.tune_each and not experiment.of_tuning
    return f"{options.experiment}-tuned-each" if own else options.experiment


def asked(options: Options) -> tuple[Experiment, Scale]:
    """The experiment, and the scale at which it ends within its minutes.

    Raises:
        ManyeyesError: the model that it starts from is not there, or there is too little time.
    """
    if options.experiment == "fig8":
        return _trained(options)
    seeds = options.seeds or (1 if options.quick else SEEDS)
    start, fine_tuned = _starts(options)
    experiment = POST[options.experiment]
    if options.tune_each and options.start:
        raise ConfigError("--start names the one fine-tuning that all seeds start from; leave out it or --tune-each")
    tune_each = options.tune_each or (experiment.of_tuning and not options.start)
    scale = Scale(start, seeds=seeds, quick=options.quick, fine_tuned=fine_tuned, tune_each=tune_each)
    plans = [one.plan for one in sharing(options.experiment)]
    return experiment, fitted(scale, plans, minutes=options.minutes or WITHIN)


def _trained(options: Options) -> tuple[Experiment, Scale]:
    """Figure 8 of trained runs, a seed each."""
    runs = [finished_run(name.strip()).path.resolve() for name in options.model.split(",")]
    if options.start or options.tune_each or options.seeds not in (None, len(runs)):
        raise ConfigError(
            f"fig8 --model measures {len(runs)} trained runs, a seed each; leave out --start, --tune-each and --seeds, "
            "and for more seeds name more runs, separated by commas"
        )
    scale = Scale(runs[0], seeds=len(runs), quick=options.quick)
    return Experiment(lambda at: fig8_trained.plan_of(runs, at), fig8_trained.results), scale


def _starts(options: Options) -> tuple[Path, Path | None]:
    """The pre-trained model that all begins with, and the fine-tuned one, where one is named.

    With a fine-tuned one the pre-trained is the one that it came from, if no other is named.
    """
    if not options.start:
        return _pretrained(options).resolve(), None
    named = Path(options.start)
    run = finished_run(str(named.parent) if named.name == MODEL_FOLDER else options.start)
    config = run.config()
    if config.get("name") != SFT:
        raise ConfigError(f"--start {options.start}: expected a finished run of {SFT}, got one of {config.get('name')}")
    before = model_folder(options.model) if options.model else Path(str(config["start_model"]))
    return before.resolve(), (run.path / MODEL_FOLDER).resolve()


def _pretrained(options: Options) -> Path:
    if options.model:
        return model_folder(options.model)
    try:
        return newest_model("tiny", wanted_by=options.experiment)
    except LocationError:
        raise LocationError(
            f"{options.experiment} starts from a finished run of tiny, and there is none under {runs_folder()}; "
            "`manyeyes run tiny` trains one, --model RUN names another"
        ) from None


def work(jobs: Sequence[Job], minutes: Sequence[float], *, cores: int) -> bool:
    """Finish all runs; False when the user stopped it."""
    stop = stop_requests()
    with Progress(minutes) as progress:
        return run_jobs(
            jobs, module=WORKER, processes=cores, environment=environment(), report=progress.show, stop=stop
        )


def environment() -> dict[str, str]:
    """Workers import what we imported, and use one thread each."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def write(result: dict[str, Any], folder: Path, docs: Path | None, *, page: str) -> None:
    """The result into its folder (and the docs), and on the terminal."""
    for place in (folder, *([docs] if docs is not None else [])):
        place.mkdir(parents=True, exist_ok=True)
        write_atomic(place / f"{page}.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        write_atomic(place / f"{page}.svg", document(figure_experiment.picture(result)))
        write_atomic(place / f"{page}.md", figure_experiment.markdown(result, picture=f"{page}.svg"))
    show(figure_experiment.table(result), [*result["sentences"], *(f"The report: {one}" for one in result["report"])])
    print(f"\nresult:  {short(folder / f'{page}.json')}\npicture: {short(folder / f'{page}.svg')}")


def stop_requests() -> Callable[[], bool]:
    """First Ctrl-C or SIGTERM: let the workers save. Second Ctrl-C: stop at once."""
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        print("\nstopping: the runs save and end ... (Ctrl-C again: at once)", flush=True)

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    return lambda: bool(asked)
