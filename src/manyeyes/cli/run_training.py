"""A run that is trained while a user looks on: device, threads, progress, Ctrl-C, and what there is to see then."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any, Protocol

from manyeyes.cli.device import chosen_device
from manyeyes.cli.locations import data_folder, short
from manyeyes.cli.run_lock import claimed
from manyeyes.cli.run_options import Options
from manyeyes.cli.run_place import AnyRun, Place
from manyeyes.cli.threads import use_threads
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_run import RlRun
from manyeyes.view.progress import Progress
from manyeyes.view.report import write_report
from manyeyes.view.stage_plan import planned

STOPPED = 130
"""Exit status of a run that the user stopped, as shells have it for Ctrl-C."""
SAVED = "stopped and saved; the same command goes on from here"


class Shown(Protocol):
    """Where a run is told while it goes on."""

    def say(self, line: str) -> None:
        """A line that stays."""
        ...

    def notice(self, line: str) -> None:
        """A line from a signal handler."""
        ...


class Lines:
    """Of reinforcement learning every step is a line; none is when nothing should be told."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet

    def say(self, line: str) -> None:
        """A line that stays."""
        if not self.quiet:
            print(line, flush=True)

    def notice(self, line: str) -> None:
        """A line from a signal handler."""
        os.write(2, f"{line}\n".encode(errors="replace"))


def train(run: AnyRun, place: Place, options: Options) -> int:
    """Train to the end, or until the user stops it; returns the exit status."""
    # torch takes seconds to load; whatever can be said without it has been said by now.
    device = chosen_device(options.device)
    use_threads(options.threads)
    folder = RunFolder.open(place.path) if place.known else RunFolder.create(place.path, run.to_json())
    with claimed(folder.path), folder, _shown(run, options) as shown, stop_requests(shown.notice) as stop:
        print(f"run folder:  {short(folder.path)}{' (goes on)' if place.known else ''}", flush=True)
        finished = _executed(run, folder, shown, options, device=device, stop=stop)
    write_report(folder)
    print(after_words(folder) if finished else f"{after_words(folder)}\n{SAVED}")
    return 0 if finished else STOPPED


def after_words(folder: RunFolder) -> str:
    """What there is to look at."""
    lines = [f"report:      {short(folder.report_path)}"] if folder.report_path.exists() else []
    if (folder.path / "trajectories").is_dir():
        lines.append(f"attempts:    manyeyes rollouts {short(folder.path)} --web")
    if folder.metrics("finished"):
        lines.append('ask it:      manyeyes see PICTURE "what is this?"')
        if any(place.get("environment") == "parl" for place in folder.config().get("places", [])):
            lines.append(f"watch it:    manyeyes swarm demo --model {short(folder.path)}")
    return "\n".join(lines)


def _shown(run: AnyRun, options: Options) -> AbstractContextManager[Progress] | AbstractContextManager[Lines]:
    if isinstance(run, RlRun):
        return nullcontext(Lines(quiet=options.quiet))
    return Progress(run.steps, quiet=options.quiet, plan=planned(run.to_json()))


def _executed(run: AnyRun, folder: RunFolder, shown: Shown, options: Options, **given: Any) -> bool:
    from manyeyes.cli.swarm_services import endpoint_key
    from manyeyes.recipes.execute import execute
    from manyeyes.recipes.rft_execute import execute_rft
    from manyeyes.recipes.rl_execute import execute_rl

    given |= {"announce": shown.say, "data_folder": data_folder()}
    if isinstance(run, RlRun):
        return execute_rl(run, folder, engine_token=endpoint_key(), **given)
    assert isinstance(shown, Progress), "whatever has stages shows its steps"
    if isinstance(run, RftRun):
        return execute_rft(run, folder, report=shown.step, **given)
    return execute(run, folder, report=shown.step, change_mixture=options.change_mixture, **given)


@contextmanager
def stop_requests(notice: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Whether the user asked to stop. The first Ctrl-C or SIGTERM asks; a second one stops at once.

    Args:
        notice: called from the signal handler with a line for the user.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        notice("stopping after this step, and saving ... (Ctrl-C again: at once)")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
