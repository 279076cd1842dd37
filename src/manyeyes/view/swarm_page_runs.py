"""The runs that a page has shown, the newest of them being the one that can be steered; and who waits for news of it.

Report: §3.
"""

import asyncio
import time
from pathlib import Path
from typing import Any, Protocol

from manyeyes.agent.limiter import Limiter
from manyeyes.core.journal import EVENTS, Event
from manyeyes.view.swarm_page_feed import Feed
from manyeyes.view.swarm_page_files import asked

STILL_WRITTEN = 10.0
"""Seconds after the last write in which another process's run counts as live."""


class Control(Protocol):
    """What a person can do to a run; `agent.run.AgentRun` is one."""

    @property
    def paused(self) -> bool:
        """Whether no new call starts."""
        ...

    def pause(self) -> None:
        """Start no new call until `go_on`."""
        ...

    def go_on(self) -> None:
        """End the pause."""
        ...

    def cancel(self, agent: str = "main") -> None:
        """Stop an agent and all below it."""
        ...

    def say(self, agent: str, text: str) -> None:
        """Tell an agent something before its next turn."""
        ...


class ShownRun:
    """A run that the page has shown.

    Args:
        folder: of the run; it need not exist yet.
        control: of the run; None where it cannot be steered.
    """

    def __init__(self, folder: Path, control: Control | None) -> None:
        self.folder, self.control, self.feed = folder, control, Feed(folder)
        self.told = self.over = False
        self._asked: dict[str, Any] = {}

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked, as soon as that is written down; it does not change any more."""
        self._asked = self._asked or asked(self.folder)
        return self._asked

    @property
    def begun(self) -> bool:
        """Whether there is anything to show."""
        return self.feed.count > 0 or (self.folder / EVENTS).exists()

    @property
    def steers(self) -> Control | None:
        """What steers it; None where nobody can, or nothing is left to be steered."""
        return None if self.over else self.control

    @property
    def live(self) -> bool:
        """Whether somebody writes to it, as far as can be told from here."""
        if self.over:
            return False
        if self.told or self.control is not None:
            return True
        try:
            return time.time() - (self.folder / EVENTS).stat().st_mtime < STILL_WRITTEN
        except OSError:
            return False


class ShownRuns:
    """All of them, in the order in which they were shown.

    Args:
        first: the first of them.
        limiter: whose queue is told; None tells none.
    """

    def __init__(self, first: ShownRun, limiter: Limiter | None) -> None:
        self.runs, self.limiter = [first], limiter
        self._waiting: set[asyncio.Event] = set()

    @property
    def current(self) -> ShownRun:
        """The newest."""
        return self.runs[-1]

    def take(self, event: Event) -> None:
        """The current run has one more event, in its file already."""
        self.current.told, self.current.over = True, event.kind == "run.finished"
        self.wake()

    def add(self, run: ShownRun) -> None:
        """Another run begins; nothing more is heard of the current one."""
        self.current.control, self.current.over = None, True
        self.runs.append(run)
        self.wake()

    def wake(self) -> None:
        """Whoever waits has something to look at."""
        for waiting in self._waiting:
            waiting.set()

    def listen(self) -> asyncio.Event:
        """Set by every `wake`, until it is given to `forget`."""
        waiting = asyncio.Event()
        self._waiting.add(waiting)
        return waiting

    def forget(self, waiting: asyncio.Event) -> None:
        """Nobody waits there any more."""
        self._waiting.discard(waiting)

    def vitals(self, run: ShownRun) -> dict[str, Any]:
        """What is no event: the list of runs, and how the limiter and the control of this one stand."""
        queue, limiter = None, self.limiter
        if run is self.current and run.live and limiter is not None:
            queue = {"queued": limiter.queued, "in_flight": limiter.in_flight, "state": limiter.state}
        return {
            "runs": [
                {"id": number, "name": one.folder.name, "asked": one.asked}
                for number, one in enumerate(self.runs)
                if one is self.current or one.begun
            ],
            "live": run.live,
            "steerable": run.steers is not None,
            "paused": run.steers is not None and run.steers.paused,
            "queue": queue,
        }
