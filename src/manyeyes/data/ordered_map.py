"""`ordered_map`: apply a function to a stream of jobs in threads and hand the results out in the order of the jobs.

One thread pulls the jobs (so they may come from a stateful iterator), n threads work, at most `ahead` jobs wait.
Decoders free the GIL: threads beat processes here in speed, memory and start-up, and cannot be orphaned.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def ordered_map(
    work: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int, ahead: int, stop: Event
) -> Generator[Result, None, None]:
    """Results of `work` in job order. An exception of a job or of the jobs' iterator is raised when its turn comes.

    However the generator ends (exhausted, closed, dropped, interrupted), `stop` is set, what has not begun is
    cancelled and all threads are joined. `work` should look at `stop` if it waits.

    Args:
        workers: number of threads; 0 works in the caller's thread, one job at a time.
        ahead: jobs pulled beyond the one handed out, at least 1.
    """
    try:
        if workers:
            yield from _threaded(work, jobs, workers=workers, ahead=ahead, stop=stop)
        else:
            yield from map(work, jobs)
    finally:
        stop.set()


def _threaded(
    work: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int, ahead: int, stop: Event
) -> Generator[Result, None, None]:
    source = iter(jobs)
    planning = ThreadPoolExecutor(1, "manyeyes-plan")
    working = ThreadPoolExecutor(workers, "manyeyes-read")

    def pull() -> Future[Result] | None:
        for job in source:
            return working.submit(work, job)
        return None

    try:
        pulled = deque(planning.submit(pull) for _ in range(max(1, ahead)))
        while (result := pulled.popleft().result()) is not None:
            pulled.append(planning.submit(pull))
            yield result.result()
    finally:
        stop.set()
        planning.shutdown(cancel_futures=True)
        working.shutdown(cancel_futures=True)
