"""One line of progress of an experiment's runs: how many are done, how much of all, how long the rest takes, what runs.

Once a second on a terminal, twice a minute in a log.
"""

import sys
import time
from collections.abc import Sequence

from manyeyes.recipes.reproduce.pool import Job
from manyeyes.view.wording import duration

IN_A_LOG = 30.0
"""Seconds between two lines."""


class Progress:
    """See the module.

    Args:
        minutes: of each job, about.
    """

    def __init__(self, minutes: Sequence[float]) -> None:
        self._minutes, self._began, self._before = minutes, time.monotonic(), -1.0
        self._live, self._last = sys.stdout.isatty(), 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            print()

    def show(self, jobs: Sequence[Job]) -> None:
        """Say how far they are, if it is time to."""
        done = sum(job.share * minutes for job, minutes in zip(jobs, self._minutes, strict=True)) / sum(self._minutes)
        if self._before < 0:
            self._began, self._before = time.monotonic(), done
        if not self._live and self._last and time.monotonic() - self._last < IN_A_LOG:
            return
        self._last = time.monotonic()
        line = progress_line(jobs, done, gained=done - self._before, seconds=time.monotonic() - self._began)
        print(f"\r\033[K{line}" if self._live else line, end="" if self._live else "\n", flush=True)


def progress_line(jobs: Sequence[Job], done: float, *, gained: float, seconds: float) -> str:
    """What is said.

    Args:
        done: share of the whole work.
        gained: share of it that these seconds did.
    """
    finished = f"{sum(job.finished for job in jobs)} of {len(jobs)} runs"
    left = f"about {duration(seconds * (1 - done) / gained)} left" if gained > 0.002 else "time left ..."
    running = ", ".join(f"{job.name} {100 * job.share:.0f}%" for job in jobs if job.running)
    return f"{finished}  {100 * done:.0f}%  {left}  {running}".rstrip()
