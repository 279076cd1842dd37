"""`manyeyes reproduce fig6|fig7|fig8`: swarms on the synthetic world, their progress, the figure and its table.

Needs no key, no network and no torch. Ctrl-C stops between two events; everything done is in the journals.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from manyeyes.cli.locations import runs_folder, short
from manyeyes.cli.reproduce_options import Options
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import write_atomic
from manyeyes.recipes.reproduce import fig6, fig7, fig8
from manyeyes.recipes.reproduce.fig_trials import Report, Standing
from manyeyes.view import figure_accuracy, figure_cloud, figure_targets
from manyeyes.view.figure_panels import document
from manyeyes.view.wording import duration

STOPPED = 130
IN_A_LOG, ON_A_TERMINAL = 10.0, 0.2
"""Seconds between two lines of progress."""
SHOWN_NAMES, MOST_ROWS = 3, 20
WIDE = 120
"""Columns of a table in a log."""

Result = Mapping[str, Any]


class View(NamedTuple):
    """How a result is shown."""

    picture: Callable[[Result], Any]
    markdown: Callable[..., str]
    table: Callable[[Result], tuple[list[str], list[list[str]]]]


VIEWS = {
    "fig6": View(figure_cloud.picture, figure_cloud.markdown, figure_cloud.table),
    "fig7": View(figure_accuracy.picture, figure_accuracy.markdown, figure_accuracy.table),
    "fig8": View(figure_targets.picture, figure_targets.markdown, figure_targets.table),
}


def run(options: Options) -> int:
    """Run or go on; returns 0 when finished, 130 when stopped by the user."""
    identity, work = planned(options)
    folder = options.folder or runs_folder() / f"{options.experiment}-{identity}"
    print(f"{options.experiment} in {short(folder)}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    with _Progress() as progress:
        result = asyncio.run(_until_stopped(work(folder, progress.show)))
    if result is None:
        print(f"stopped; what was done is kept, the same command goes on from here ({short(folder)})")
        return STOPPED
    write(options.experiment, result, folder, options.write_docs)
    return 0


def planned(options: Options) -> tuple[str, Callable[[Path, Report], Coroutine[Any, Any, dict[str, Any]]]]:
    """Names what is run, and what runs it."""
    if options.experiment == "fig6":
        if options.seeds is not None:
            raise ConfigError("fig6 has no seeds: nothing in it is drawn; leave out --seeds")
        roles = fig6.QUICK if options.quick else fig6.Scale()
        return roles.identity, lambda folder, report: fig6.run(folder, roles, report=report)
    if options.experiment == "fig7":
        deep = fig7.QUICK if options.quick else fig7.Scale()
        deep = replace(deep, seeds=options.seeds or deep.seeds)
        return deep.identity, lambda folder, report: fig7.run(folder, deep, report=report)
    wide = fig8.QUICK if options.quick else fig8.Scale()
    wide = replace(wide, seeds=options.seeds or wide.seeds)
    return wide.identity, lambda folder, report: fig8.run(folder, wide, report=report)


async def _until_stopped(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any] | None:
    """The result; None when the user stopped it. A second Ctrl-C ends at once."""
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        task.cancel()

    with suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        return None


def write(name: str, result: Result, folder: Path, docs: Path | None) -> None:
    """The result beside its runs (and in the docs), and on the terminal."""
    view = VIEWS[name]
    for place in (folder, *([docs] if docs is not None else [])):
        place.mkdir(parents=True, exist_ok=True)
        write_atomic(place / f"{name}.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        write_atomic(place / f"{name}.svg", document(view.picture(result)))
        write_atomic(place / f"{name}.md", view.markdown(result, picture=f"{name}.svg"))
    show(view.table(result), result["sentences"])
    print(f"\nresult:  {short(folder / f'{name}.json')}\npicture: {short(folder / f'{name}.svg')}")


def show(table: tuple[list[str], list[list[str]]], sentences: list[str]) -> None:
    """A table and sentences on the terminal."""
    from rich.console import Console
    from rich.table import Table

    heads, rows = table
    drawn = Table(box=None, pad_edge=False)
    for number, head in enumerate(heads):
        drawn.add_column(head, justify="right" if number else "left", no_wrap=True)
    for row in rows[:MOST_ROWS]:
        drawn.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(drawn)
    if len(rows) > MOST_ROWS:
        console.print(f"... and {len(rows) - MOST_ROWS} more", style="dim")
    console.print()
    for sentence in sentences:
        console.print(f"- {sentence}", highlight=False)


class _Progress:
    """One line that tells how many trials are done, how much of all, how long the rest takes, and what is under way."""

    def __init__(self) -> None:
        self._began, self._share, self._last = time.monotonic(), -1.0, 0.0
        self._live = sys.stdout.isatty()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            print("\r\033[K", end="", flush=True)

    def show(self, standing: Standing) -> None:
        """Several times a second on a terminal, every few seconds in a log."""
        now = time.monotonic()
        if self._share < 0:
            self._began, self._share = now, standing.share
        if now - self._last < (ON_A_TERMINAL if self._live else IN_A_LOG):
            return
        self._last = now
        line = progress_line(standing, gained=standing.share - self._share, seconds=now - self._began)
        print(f"\r\033[K{line}" if self._live else line, end="" if self._live else "\n", flush=True)


def progress_line(standing: Standing, *, gained: float, seconds: float) -> str:
    """What is said of a standing.

    Args:
        gained: share of the work that these seconds did.

    Example:
        >>> progress_line(Standing(3, 8, 0.5, ("a", "b", "c", "d")), gained=0.25, seconds=10.0)
        '3 of 8 trials  50%  about 20 s left  a, b, c and 1 more'
    """
    left = f"about {duration(seconds * (1 - standing.share) / gained)} left" if gained > 0.002 else "time left ..."
    names, more = standing.running[:SHOWN_NAMES], len(standing.running) - SHOWN_NAMES
    running = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    return f"{standing.finished} of {standing.all} trials  {100 * standing.share:.0f}%  {left}  {running}".rstrip()
