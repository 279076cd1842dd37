"""Follow a run live in the terminal; also renews its HTML report, and exports its metrics to TensorBoard."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console, RenderableType

from manyeyes.cli.locations import run_folder
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.tensorboard_export import export_tensorboard
from manyeyes.view.report import write_report
from manyeyes.view.rl_watch import RlFollower, follow_rl, rl_snapshot
from manyeyes.view.watch import Follower, follow, snapshot


@dataclass(frozen=True)
class Options:
    """Which run to follow, and how."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]", help_behavior_hint="")] = ""
    """Run folder, or a run's name under the runs folder; the run written to last when left out."""
    once: bool = False
    """Print how it stands and return; also what happens where the output is no terminal."""
    html: bool = False
    """Write the run's report.html: now, after each evaluation, and at the end."""
    tensorboard: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Write the metrics so far as TensorBoard events into this folder, and return."""
    every: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 1.0
    """Time between two looks."""


def main(options: Options) -> int:
    """Follow to the end of the run or to Ctrl-C, which leaves the run alone; returns the exit status."""
    if not options.every > 0:
        raise ConfigError(f"--every must be above 0 seconds, got {options.every}")
    folder = run_folder(options.run)
    if options.tensorboard is not None:
        count = export_tensorboard(folder, options.tensorboard)
        print(f"{count:,} values written; look at them with: tensorboard --logdir {options.tensorboard}")
    if options.html:
        print(f"report: {write_report(folder)}")
    if options.tensorboard is None:
        _show(folder, options)
    return 0


def _show(folder: RunFolder, options: Options) -> None:
    console = Console(highlight=False)
    rl = folder.config().get("kind") == "rl"
    if options.once or not sys.stdout.isatty():
        follower = RlFollower(folder) if rl else Follower(folder)
        follower.poll()
        console.print(rl_snapshot(follower, time.time()) if isinstance(follower, RlFollower) else _standing(follower))
        return

    def renew(history: object) -> None:
        if options.html:
            write_report(folder)

    follows = follow_rl if rl else follow
    try:
        renew(follows(folder, console, seconds=options.every, on_news=renew))
    except KeyboardInterrupt:
        console.print("the run goes on; watch it again with the same command", style="dim")


def _standing(follower: Follower) -> RenderableType:
    return snapshot(follower, time.time())
