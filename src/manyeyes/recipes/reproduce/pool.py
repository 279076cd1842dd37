"""A few worker processes over a list of run folders: finished ones are passed over, stopped ones go on.

Each worker is `python -m MODULE FOLDER` in a session of its own, so that Ctrl-C reaches this process only, which asks
the workers to save. What they do is read from their logs; nothing is remembered here, so the same call goes on after
whatever ended the last one.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.runlog import RunFolder

STEP_ROWS = ("train", "rl", "asked")
"""Kinds of rows in a log that tell of a finished step, of pre-training and of RL, or of an attempt of a measurement."""


class WorkerError(ManyeyesError):
    """A worker process that failed."""


@dataclass(slots=True)
class Job:
    """A run folder to finish, and where it stands.

    Attributes:
        name: what people call it.
        folder: its run folder.
        steps: of the whole run.
        after: jobs that must be finished before it begins, since it starts from what they made.
        step: steps done, as far as its log tells.
        finished: its log says so.
        running: a worker is at it.
    """

    name: str
    folder: RunFolder
    steps: int
    after: "tuple[Job, ...]" = ()
    step: int = 0
    finished: bool = False
    running: bool = False
    _read: int = field(default=0, repr=False)
    _said_before: int = field(default=0, repr=False)

    def refresh(self) -> None:
        """Reads what its log has grown by."""
        if self.folder.position < self._read:  # a resumed run forgets what it had written after its checkpoint
            self._read = 0
        rows, self._read = self.folder.tail(self._read)
        trained = [row.step for row in rows if row.kind in STEP_ROWS]
        self.step = trained[-1] if trained else self.step
        self.finished = self.finished or any(row.kind == "finished" for row in rows)

    @property
    def ready(self) -> bool:
        """What it starts from is there."""
        return all(job.finished for job in self.after)

    @property
    def share(self) -> float:
        """0 to 1."""
        return 1.0 if self.finished else min(self.step / self.steps, 1.0)


def run_jobs(
    jobs: Sequence[Job],
    *,
    module: str,
    processes: int,
    environment: Mapping[str, str],
    report: Callable[[Sequence[Job]], None],
    stop: Callable[[], bool],
    every: float = 1.0,
) -> bool:
    """Finish all jobs, `processes` at a time, each behind those that it starts from.

    Returns:
        False when `stop()` ended it early; everything is saved.

    Args:
        report: called every `every` seconds with all jobs.

    Raises:
        ConfigError: fewer than one process, or a job that starts from one that is not among these and not finished;
            both would wait for ever.
        WorkerError: a worker failed; the others were asked to save first.
    """
    if processes < 1:
        raise ConfigError(f"jobs need at least one process, got processes={processes}")
    for job in jobs:
        job.refresh()
    for job in jobs:
        if lost := [one.name for one in job.after if not one.finished and all(one is not other for other in jobs)]:
            raise ConfigError(f"run {job.name} starts from {', '.join(lost)}, which is not among the runs to be made")
    waiting = [job for job in jobs if not job.finished]
    workers: dict[int, subprocess.Popen[bytes]] = {}
    try:
        while (waiting or workers) and not stop():
            while len(workers) < processes and (job := next((one for one in waiting if one.ready), None)) is not None:
                waiting.remove(job)
                workers[jobs.index(job)] = _start(job, module, environment)
                job.running = True
            time.sleep(every)
            for number, worker in list(workers.items()):
                jobs[number].refresh()
                if worker.poll() is not None:
                    _ended(jobs[number], worker.returncode)
                    del workers[number]
            report(jobs)
    finally:
        _stop(list(workers.values()))
    return all(job.finished for job in jobs)


def _start(job: Job, module: str, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Its log goes on behind what earlier lives of the run have said."""
    with _log(job).open("ab") as log:
        job._said_before = log.tell()
        return subprocess.Popen(
            [sys.executable, "-m", module, str(job.folder.path)], env=dict(environment), stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def _ended(job: Job, status: int) -> None:
    job.running = False
    job.refresh()
    if status == 0 and job.finished:
        return
    told = _log(job).read_bytes()[job._said_before :].decode(errors="replace")
    said = [line for line in told.splitlines() if line.strip()] or ["it said nothing"]
    raise WorkerError(f"run {job.name} ended with status {status}: {said[-1]} (all of it: {_log(job)})")


def _log(job: Job) -> Path:
    return job.folder.path / "worker.log"


def _stop(workers: "list[subprocess.Popen[bytes]]", *, patience: float = 60.0) -> None:
    """Ask for a checkpoint, wait for it, then insist."""
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    for worker in workers:
        try:
            worker.wait(patience)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
