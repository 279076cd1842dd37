"""`patiently`: storage that hiccups is asked again before anybody hears of it.

An `OSError` may pass, and nothing else: any other exception is raised at once. A `MediaReadError` is an `OSError` too.
"""

from collections.abc import Callable
from threading import Event
from typing import NamedTuple, TypeVar

from manyeyes.core.errors import DataError

Result = TypeVar("Result")


class Retry(NamedTuple):
    """How often an `OSError` is tried again: waits of 0.1, 0.4, 1.6, ... seconds by default."""

    attempts: int = 4
    wait: float = 0.1
    growth: float = 4.0


RETRY = Retry()


def patiently(attempt: Callable[[], Result], what: str, retry: Retry = RETRY, *, stop: Event | None = None) -> Result:
    """The result of `attempt`, tried again after an OSError until the attempts or the run end.

    Raises:
        DataError: the last attempt failed too, or `stop` was set while waiting.
    """
    stop = stop or Event()
    wait = retry.wait
    for number in range(1, retry.attempts + 1):
        try:
            return attempt()
        except OSError as error:
            if number == retry.attempts or stop.wait(wait):
                raise DataError(
                    f"{what} failed {number} times: {error}. Check the storage it reads from and resume; "
                    f"the plan is unchanged"
                ) from error
            wait *= retry.growth
    raise AssertionError("unreachable: the last attempt returns or raises")
