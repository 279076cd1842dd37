"""The live view of a swarm, in the terminal and as a page; and how its run is stopped, paused and steered from there.

Ctrl-C      stops the run, which can be resumed; a second one ends at once
Enter       while the run is paused (no money left at the endpoint): goes on
"""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

from rich.control import Control
from rich.live import Live

from manyeyes.agent.limiter import Limiter
from manyeyes.agent.run import AgentRun
from manyeyes.cli.listening import event_loop
from manyeyes.core.journal import Event
from manyeyes.view.swarm_page import SwarmPage
from manyeyes.view.swarm_state import SwarmState
from manyeyes.view.swarm_terminal import swarm_lines
from manyeyes.view.wording import printable

STOPPED = 130
REDRAW_SECONDS = 0.2
T = TypeVar("T")


class View:
    """The live view, or lines where there is no terminal. Belongs to the event loop: nothing draws from a thread.

    Args:
        plain: lines only.
        page: shown beside it.
    """

    def __init__(self, *, plain: bool, page: SwarmPage | None = None) -> None:
        self.state, self.page = SwarmState(), page
        self.run: AgentRun | None = None
        self.limiter: Limiter | None = None
        self.leave: asyncio.Event | None = None
        self._live: Live | None = None
        if not plain and sys.stdout.isatty():
            self._live = Live(auto_refresh=False, transient=True)
            self._live.start()

    @property
    def attended(self) -> bool:
        """Whether a person can answer."""
        return self.page is not None or (sys.stdin.isatty() and sys.stdout.isatty())

    def take(self, event: Event) -> None:
        """An event."""
        self.state.take(event)
        if self.page is not None:
            self.page.take(event)
        if event.kind == "run.paused" and self.attended:
            where = "Enter, or the page, lets it go on" if self.page is not None else "Enter lets it go on"
            self.say(f"paused: {printable(event.data['reason'])}. {where}; Ctrl-C stops it, to be resumed later")

    def replay(self, events: Sequence[Event]) -> None:
        """What an earlier process did; the page reads that by itself."""
        for event in events:
            self.state.take(event)

    def attach(self, run: AgentRun) -> None:
        """The run that is watched."""
        self.run = run
        if self.page is not None:
            self.page.attach(run)

    def watch(self, limiter: Limiter) -> None:
        """The queue that is shown."""
        self.limiter = limiter
        if self.page is not None:
            self.page.limiter = limiter

    def show(self, folder: Path) -> None:
        """Another run begins."""
        self.state, self.run = SwarmState(), None
        if self.page is not None:
            self.page.show(folder)

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._live is None:
            print(line, flush=True)
        else:
            self._live.console.print(line, highlight=False, markup=False)

    def entered(self) -> None:
        """A person pressed Enter."""
        sys.stdin.readline()
        if self._live is not None:  # the terminal went to the next line, and would leave the view's first line behind
            self._live.console.control(Control.move(0, -1))
        if self.run is not None and self.run.paused:
            self.run.go_on()

    async def draw(self) -> None:
        """Keep the terminal up to date until cancelled."""
        while self._live is not None:
            if self.state.agents:
                self._live.update(swarm_lines(self.state, time.time(), limiter=self.limiter), refresh=True)
            await asyncio.sleep(REDRAW_SECONDS)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    async def linger(self) -> None:
        """Leave the page open until Ctrl-C."""
        if self.page is not None:
            self.leave = asyncio.Event()
            print(f"the page stays open: {self.page.url}\nCtrl-C ends", flush=True)
            await self.leave.wait()


def run_with_view(
    work: Callable[[View], Coroutine[Any, Any, int]],
    *,
    plain: bool,
    going_on: str,
    web: bool = False,
    port: int = 0,
    folder: Path,
) -> int:
    """Run on uvloop where there is one; Ctrl-C stops the run, and a second one ends at once.

    Args:
        going_on: the words that go on with it.
        web: serve the live page.
        port: of the page.
        folder: of the run that the page shows first.
    """

    async def attended() -> int:
        async with AsyncExitStack() as stack:
            page = await stack.enter_async_context(SwarmPage(folder, port=port)) if web else None
            if page is not None:
                print(f"live page: {page.url}", flush=True)
            view = View(plain=plain, page=page)
            stack.callback(view.close)
            return await _attended(view, work, going_on)

    spare_the_collector()
    try:
        return event_loop()(attended())
    except KeyboardInterrupt:  # the second one, or one before the first was listened for
        return _stopped(going_on)


def _stopped(going_on: str) -> int:
    print("stopped; what was done is kept. Go on with: manyeyes swarm " + going_on)
    return STOPPED


def spare_the_collector() -> None:
    """What was imported is never garbage, and a run's objects rarely are: collecting took a quarter of the CPU of a
    thousand agents.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def _attended(view: View, work: Callable[[View], Coroutine[Any, Any, int]], going_on: str) -> int:
    task, drawing = asyncio.ensure_future(work(view)), asyncio.ensure_future(view.draw())
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        if view.leave is not None:
            view.leave.set()
        else:
            task.cancel()

    with suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
    reads = view.attended and sys.stdin.isatty()
    if reads:
        loop.add_reader(sys.stdin, view.entered)
    try:
        return await task
    except asyncio.CancelledError:
        view.close()
        return _stopped(going_on)
    finally:
        drawing.cancel()
        if reads:
            loop.remove_reader(sys.stdin)
