import threading
import time
from collections.abc import Iterator
from threading import Event

import pytest

from manyeyes.data.ordered_map import ordered_map


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("manyeyes-")]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_the_order_of_the_jobs(workers: int) -> None:
    def work(job: int) -> int:
        time.sleep(0.002 * (job % 3))
        return job * job

    results = list(ordered_map(work, range(50), workers=workers, ahead=7, stop=Event()))
    assert results == [n * n for n in range(50)]
    assert our_threads() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_is_raised_when_its_turn_comes(workers: int) -> None:
    results = []
    with pytest.raises(ZeroDivisionError):
        for result in ordered_map(lambda job: 1 / job, [1, 2, 0, 4], workers=workers, ahead=4, stop=Event()):
            results.append(result)
    assert results == [1.0, 0.5] and our_threads() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_of_the_jobs_comes_after_the_jobs_before_it(workers: int) -> None:
    def jobs() -> Iterator[int]:
        yield from (1, 2)
        raise KeyError("plan")

    results = []
    with pytest.raises(KeyError):
        for result in ordered_map(lambda job: job, jobs(), workers=workers, ahead=4, stop=Event()):
            results.append(result)
    assert results == [1, 2] and our_threads() == []


def test_no_more_than_ahead_jobs_are_pulled() -> None:
    pulled = []

    def jobs() -> Iterator[int]:
        for job in range(100):
            pulled.append(job)
            yield job

    results = ordered_map(lambda job: job, jobs(), workers=2, ahead=5, stop=Event())
    next(results)
    time.sleep(0.05)
    assert len(pulled) <= 6
    results.close()


@pytest.mark.parametrize("end", ["close", "drop"])
def test_an_unfinished_map_leaves_no_thread(end: str) -> None:
    stop = Event()
    results = ordered_map(lambda job: job, iter(range(10**9)), workers=3, ahead=5, stop=stop)
    assert next(results) == 0 and our_threads()
    if end == "close":
        results.close()
    else:
        del results
    assert stop.is_set() and our_threads() == []
