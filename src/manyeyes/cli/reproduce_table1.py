"""`manyeyes reproduce table1`: worker processes over run folders, their progress, the table and its page."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from manyeyes.cli.locations import runs_folder
from manyeyes.cli.reproduce_options import Options
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder, write_atomic
from manyeyes.recipes.reproduce.pool import Job, run_jobs
from manyeyes.recipes.reproduce.table1 import ARMS, QUICK, VIT, Budget, arm_run, identity, vit_run
from manyeyes.recipes.reproduce.table1_results import results
from manyeyes.recipes.run import Run
from manyeyes.view.ablation import TABLE_NOTE, ablation_page, learning_curves, markdown, rows
from manyeyes.view.ablation_figure import document
from manyeyes.view.wording import duration

WORKER = "manyeyes.recipes.reproduce.worker"
MINUTES = 40.0
"""Of the whole experiment, where nothing is said."""


def run(options: Options) -> int:
    """Run or go on; returns 0 when finished, 130 when stopped by the user."""
    budget = QUICK if options.quick else Budget.of_minutes(MINUTES if options.minutes is None else options.minutes)
    seeds = options.seeds if options.seeds is not None else (1 if options.quick else 3)
    if options.processes < 0:
        raise ConfigError(f"--processes must be 1 or more (0: one for each core), got {options.processes}")
    folder = options.folder or runs_folder() / f"table1-{identity(budget)}"
    return _table1(budget, seeds, folder, options)


def _table1(budget: Budget, seeds: int, folder: Path, options: Options) -> int:
    vit = Job("ViT", _run_folder(folder / VIT, vit_run(budget), budget), budget.vit_steps)
    runs = {
        arm: [_run_folder(folder / f"{arm}-{seed}", arm_run(arm, seed, budget), budget) for seed in range(seeds)]
        for arm in ARMS
    }
    jobs = [Job(f"{arm} {seed}", runs[arm][seed], budget.steps) for seed in range(seeds) for arm in ARMS]
    cores = options.processes or os.cpu_count() or 1
    stop = _stop_requests()
    print(f"{len(jobs)} runs of {budget.steps} steps, {min(cores, len(jobs))} at a time, in {folder}", flush=True)
    with _Progress(share=[vit.steps * VIT_SHARE, *(job.steps for job in jobs)]) as progress:
        done = run_jobs(
            [vit], module=WORKER, processes=1, environment=_environment(cores), stop=stop,
            report=lambda found: progress.show([*found, *jobs]),
        ) and run_jobs(
            jobs, module=WORKER, processes=cores, environment=_environment(1), stop=stop,
            report=lambda found: progress.show([vit, *found]),
        )  # fmt: skip
    if not done:
        print(f"stopped and saved; the same command goes on from here ({folder})")
        return 130
    _write(results(runs, budget, seconds=_seconds([vit, *jobs])), folder, options.write_docs)
    return 0


VIT_SHARE = 2.5
"""Time that a step of the ViT stage takes beside one of two runs side by side (measured), for the time left."""


def _run_folder(path: Path, run: Run, budget: Budget) -> RunFolder:
    """A new one, or the one that is there. Raises ConfigError when that holds another run."""
    if not (path / "config.json").exists():
        return RunFolder.create(path, {"run": run.to_json(), "budget": asdict(budget)})
    folder = RunFolder.open(path)
    found = folder.config()
    if "run" not in found or Run.from_json(found["run"]).fingerprint != run.fingerprint:
        raise ConfigError(f"{path} holds a run of another configuration; name another --folder or delete it")
    return folder


def _environment(threads: int) -> dict[str, str]:
    """Workers import what we imported, and use so many threads."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    count = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    return {**os.environ, "PYTHONPATH": path, **count}


def _seconds(jobs: Sequence[Job]) -> float:
    return sum(job.folder.metrics("finished")[-1].values["seconds"] for job in jobs)


def _write(result: dict[str, Any], folder: Path, docs: Path | None) -> None:
    """The result beside the runs (and in the docs), and on the terminal."""
    data = json.dumps(result, indent=1) + "\n"
    write_atomic(folder / "table1.json", data)
    write_atomic(folder / "table1.html", ablation_page(result))
    if docs is not None:
        docs.mkdir(parents=True, exist_ok=True)
        write_atomic(docs / "table1.json", data)
        write_atomic(docs / "table1.svg", document(learning_curves(result)))
        write_atomic(docs / "table1.md", markdown(result, picture="table1.svg"))
    _print(result)
    print(f"\nresult: {folder / 'table1.json'}\npage:   {folder / 'table1.html'}")


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    categories = list(result["report"]["early"])
    table = Table("arm", *(name.replace("_", " ") for name in categories), box=None, pad_edge=False)
    for arm, cells in rows(result):
        table.add_row(
            arm, *(f"{ours:.1f}" + (f" ± {spread:.1f}" if spread is not None else "") for ours, spread, _ in cells)
        )
    for arm, cells in rows(result):
        table.add_row(f"[dim]{arm}, report", *(f"[dim]{theirs}" for _, _, theirs in cells))
    console = Console()
    console.print(table)
    console.print(f"\n{TABLE_NOTE}\n", style="dim")
    for sentence in result["sentences"]:
        console.print(f"- {sentence}", highlight=False)


class _Progress:
    """One line that tells which runs are under way, how much of all is done, and how long the rest will take.

    Args:
        share: of each job in the whole work.
    """

    def __init__(self, share: Sequence[float]) -> None:
        self._share, self._began, self._done_before = share, time.monotonic(), -1.0
        self._live, self._last = sys.stdout.isatty(), 0.0

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            print()

    def show(self, jobs: Sequence[Job]) -> None:
        """Once a second on a terminal, twice a minute in a log."""
        done = sum(job.share * share for job, share in zip(jobs, self._share, strict=True)) / sum(self._share)
        if self._done_before < 0:
            self._began, self._done_before = time.monotonic(), done
        if self._live or time.monotonic() - self._last > 30:
            self._last = time.monotonic()
            line = f"{self._finished(jobs)}  {100 * done:.0f}%  {self._left(done)}  {self._running(jobs)}"
            print(f"\r\033[K{line}" if self._live else line, end="" if self._live else "\n", flush=True)

    @staticmethod
    def _finished(jobs: Sequence[Job]) -> str:
        return f"{sum(job.finished for job in jobs[1:])} of {len(jobs) - 1} runs"

    def _left(self, done: float) -> str:
        gained = done - self._done_before
        if gained <= 0.002:
            return "time left ..."
        return f"about {duration((time.monotonic() - self._began) * (1 - done) / gained)} left"

    @staticmethod
    def _running(jobs: Sequence[Job]) -> str:
        return ", ".join(f"{job.name} {100 * job.share:.0f}%" for job in jobs if job.running)


def _stop_requests() -> Callable[[], bool]:
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
