"""`LogFollower`: a run's history kept up to date from outside, whatever restarts and rewinds happen to its log.

A resumed run forgets what its checkpoint had not seen and writes it again. Where reading had gone past that place, the
log is read anew from its beginning. The run itself is only read.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live

from manyeyes.core.runlog import Row, RunFolder, RunFolderError


class Followed(Protocol):
    """What is made of a log."""

    @property
    def step(self) -> int: ...  # noqa: D102
    @property
    def finished(self) -> Row | None: ...  # noqa: D102
    def extend(self, rows: Iterable[Row]) -> None: ...  # noqa: D102


History = TypeVar("History", bound=Followed)


class LogFollower(Generic[History]):
    """See the module.

    Args:
        made: an empty history of a configuration.
        numbered: the kind of row that each step has one of.
    """

    def __init__(self, folder: RunFolder, made: Callable[[dict[str, Any]], History], *, numbered: str) -> None:
        self.folder, self._made, self._numbered = folder, made, numbered
        self.history = made(folder.config())
        self._position = 0

    def poll(self) -> bool:
        """Reads what is new; True if anything is.

        Raises:
            RunFolderError: the log is damaged.
        """
        rows = self._new_rows()
        if rows is None:
            self.history, self._position = self._made(self.folder.config()), 0
            rows = self._new_rows() or []
        self.history.extend(rows)
        return bool(rows)

    def _new_rows(self) -> list[Row] | None:
        """The next rows; None when the log was rewound and written again past the place where reading stopped."""
        before = self._position
        try:
            tail = self.folder.tail(before)
        except RunFolderError:
            if before == 0:
                raise
            return None
        self._position = tail.position
        shrunk = tail.position < before
        return None if before and (shrunk or not self._goes_on(tail.rows)) else tail.rows

    def _goes_on(self, rows: list[Row]) -> bool:
        first = next((row.step for row in rows if row.kind == self._numbered), None)
        return first is None or not self.history.step or first == self.history.step + 1


def followed(
    follower: LogFollower[History],
    console: Console,
    picture: Callable[[float], RenderableType],
    *,
    seconds: float,
    on_news: Callable[[History], None],
    news: Callable[[History], object] = lambda history: object(),
    sleep: Callable[[float], None] = time.sleep,
) -> History:
    """Draws the run until it has finished; Ctrl-C is the caller's.

    Args:
        picture: of the run as it stands at a Unix time.
        on_news: called when rows came and `news` of the history is another one than before.
        news: any rows, when left out.

    Raises:
        RunFolderError: the run cannot be read.
    """
    follower.poll()
    with Live(picture(time.time()), console=console, auto_refresh=False, transient=False) as live:
        while True:
            live.update(picture(time.time()), refresh=True)
            if follower.history.finished is not None:
                return follower.history
            sleep(seconds)
            known = news(follower.history)
            if follower.poll() and news(follower.history) != known:
                on_news(follower.history)
