"""A run of reinforcement learning followed from outside: its log read as it grows, drawn in the terminal.

`RlFollower` is the state, `rl_snapshot` its picture, `follow_rl` the loop. The run itself is only read.
"""

import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from manyeyes.core.runlog import Row, RunFolder
from manyeyes.view.follower import LogFollower, followed
from manyeyes.view.history import curve
from manyeyes.view.rl_history import RlHistory
from manyeyes.view.terminal import bar, sparkline
from manyeyes.view.watch import SILENT
from manyeyes.view.wording import compact, duration, figure, percent, printable

SHOWN = {
    "reward": "reward", "reward_learned": "as learned", "success": "success", "length": "length", "turns": "turns",
    "calls": "tool calls", "entropy": "entropy", "mismatch/kl_k3": "KL", "masked": "masked",
    "staleness/mean": "staleness", "gradient_norm": "gradient norm",
}  # fmt: skip
MOST_PLACES = 8
MOST_NOTES = 3
SPARK = 40


class RlFollower(LogFollower[RlHistory]):
    """The history of a run of reinforcement learning."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder, RlHistory, numbered="rl")


def follow_rl(
    folder: RunFolder,
    console: Console,
    *,
    seconds: float = 1.0,
    on_news: Callable[[RlHistory], None] = lambda history: None,
    sleep: Callable[[float], None] = time.sleep,
) -> RlHistory:
    """Draws the run until it has finished; Ctrl-C is the caller's. `on_news` is called when rows came.

    Raises:
        RunFolderError: the run cannot be read.
    """
    follower = RlFollower(folder)
    return followed(
        follower, console, lambda now: rl_snapshot(follower, now), seconds=seconds, on_news=on_news, sleep=sleep
    )


def rl_snapshot(follower: RlFollower, now: float) -> RenderableType:
    """The run as it stands at Unix time `now`."""
    history = follower.history
    name = printable(history.name or follower.folder.name)
    parts: list[RenderableType] = [Text(name, "bold").append(f"   {printable(follower.folder.path)}", "not bold dim")]
    if not history.steps:
        parts.append(Text("no step yet: it is preparing, or it was stopped before the first one", "dim"))
    else:
        parts += [Text(), _progress(history), Text(), _figures(history)]
    if measured := _measured(history):
        parts += [Text(), measured]
    parts += [Text(_said(row), "yellow") for row in history.notes[-MOST_NOTES:]]
    return Group(*parts, Text(), _foot(history, now))


def _progress(history: RlHistory) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row("steps", bar(history.step, history.planned, width=28), f"{history.step}/{history.planned}")
    return table


def _figures(history: RlHistory) -> Table:
    table = Table.grid(padding=(0, 2))
    places = [name for name in history.names("reward/") if name.count("/") == 2][:MOST_PLACES]
    shown = {"reward": "reward"} | {name: f"  {name.removeprefix('reward/')}" for name in places} | SHOWN
    for key, words in shown.items():
        values = curve(history.steps, key).values
        same = key == "reward_learned" and values == curve(history.steps, "reward").values
        if same or not any(values):
            continue
        fall = Text(f"{figure(values[0])} → ", "dim").append(figure(history.recent(key) or 0.0), "not dim bold")
        table.add_row(Text(printable(words), "dim"), Text(sparkline(values, SPARK), "cyan"), fall)
    return table


def _measured(history: RlHistory) -> Table | None:
    table = Table("held out", "first", "now", "over the run", "at", box=None, pad_edge=False, header_style="dim")
    for name, scores in history.measured().items():
        found = scores.get("reward")
        if found is None or not found.values:
            continue
        spark = Text(sparkline(found.values, 20), "cyan")
        first, now = figure(found.values[0]), Text(figure(found.values[-1]), "bold")
        table.add_row(Text(printable(name), "bold"), first, now, spark, Text(f"{found.steps[-1]:.0f}", "dim"))
    return table if table.row_count else None


def _said(row: Row) -> str:
    words = row.values.get("words") or f"{row.kind.replace('_', ' ')} {row.values.get('source', '')}"
    return printable(f"step {row.step}: {words}")


def _foot(history: RlHistory, now: float) -> Text:
    text = Text(f"{duration(history.seconds)} in steps")
    if history.finished:
        text.append("   finished", "bold green")
    elif history.left is not None:
        text.append(f"   about {duration(history.left)} left", "bold")
    silent = now - history.last_time if history.last_time and not history.finished else 0.0
    if silent > SILENT:
        text.append(f"   no news for {duration(silent)}: was it stopped?", "yellow")
    return text.append(_where_time_goes(history), "dim")


def _where_time_goes(history: RlHistory) -> str:
    shares = [(name, history.recent(f"share/{name}", times=True)) for name in ("rollout", "judge", "train", "publish")]
    told = [f"{name} {percent(share)}" for name, share in shares if share is not None]
    speed = history.recent("tokens_per_second/rollout", times=True)
    told += [f"{compact(speed)} tokens/s sampled"] if speed is not None else []
    return f"\n{', '.join(told)}" if told else ""
