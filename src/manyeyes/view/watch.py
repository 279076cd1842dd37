"""A run followed from outside: its log read as it grows, drawn in the terminal.

`Follower` is the state, `snapshot` its picture, `follow` the loop. The run itself is only read.
"""

import time
from collections.abc import Callable
from math import isfinite

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from manyeyes.core.runlog import Row, RunFolder
from manyeyes.view.follower import LogFollower, followed
from manyeyes.view.held_out_figures import MAIN, Figure, HeldOutSet, held_out_sets, written
from manyeyes.view.history import History, StageRecord, curve, loss_parts, total
from manyeyes.view.terminal import Reading, bar, reading_text, sparkline
from manyeyes.view.wording import compact, duration, number, percent, printable

SILENT = 180.0
"""Seconds without a row after which a run may have been killed."""
MEAN_STEPS = 10
BAR_WIDTH = 28
SPARK_WIDTH = 48


class Follower(LogFollower[History]):
    """The history of a run of stages, or of rejection sampling."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder, History, numbered="train")


def follow(
    folder: RunFolder,
    console: Console,
    *,
    seconds: float = 1.0,
    on_news: Callable[[History], None] = lambda history: None,
    sleep: Callable[[float], None] = time.sleep,
) -> History:
    """Draws the run until it has finished; Ctrl-C is the caller's. `on_news` is called when an evaluation came, or
    attempts did.

    Raises:
        RunFolderError: the run cannot be read.
    """
    follower = Follower(folder)
    return followed(
        follower, console, lambda now: snapshot(follower, now), seconds=seconds, on_news=on_news,
        news=lambda history: (len(history.evaluations), len(history.attempts)), sleep=sleep,
    )  # fmt: skip


def snapshot(follower: Follower, now: float) -> RenderableType:
    """The run as it stands at Unix time `now`."""
    history = follower.history
    parts: list[RenderableType] = [_title(follower.folder, history), *_attempts(history)]
    if not history.train:
        waiting = "no step yet: it is preparing, or it was stopped before the first one"
        parts.append(Text("it learns from the right ones next" if history.attempts else waiting, "dim"))
        return Group(*parts)
    parts += [Text(), _stages(history), *_notes(history), Text(), *_present(history)]
    sets = held_out_sets(history)
    if sets:
        parts += [Text(), _figures(sets)]
    return Group(*parts, Text(), _foot(history, now))


def _title(folder: RunFolder, history: History) -> Text:
    name = printable(history.config.get("name", folder.name))
    return Text(name, "bold").append(f"   {printable(folder.path)}", "not bold dim")


def _attempts(history: History) -> list[RenderableType]:
    """Of rejection sampling: how far the attempts are; once they are over, what was kept of them."""
    if history.kept is not None:
        attempts, right, kept, tokens = (_told(history.kept, key) for key in ("attempts", "right", "kept", "tokens"))
        return [Text(f"{attempts} attempts, {right} of them right; {kept} are examples, {tokens} tokens")]
    if not history.attempts:
        return []
    newest = history.attempts[-1]
    tasks = int(number(newest.values.get("tasks")) or 0)
    table = Table.grid(padding=(0, 2))
    table.add_row("tasks attempted", bar(newest.step, tasks, width=BAR_WIDTH), f"{newest.step}/{tasks}")
    right = f"{_told(newest, 'right')} of {_told(newest, 'attempts')} attempts are right"
    return [Text(), table, Text(right, "dim")]


def _told(row: Row, key: str) -> str:
    value = number(row.values.get(key))
    return "?" if value is None else f"{value:,.0f}"


def _stages(history: History) -> Table:
    table = Table.grid(padding=(0, 2))
    present = history.stage
    for stage in history.stages:
        here = present is not None and stage.plan.name == present.plan.name and not stage.done
        mark = Text("✓", "green") if stage.done else Text("▸" if here else "·", "cyan" if here else "dim")
        style = "bold" if here else "" if stage.rows else "dim"
        table.add_row(
            mark, Text(printable(stage.plan.name), style), bar(stage.step, stage.steps, width=BAR_WIDTH),
            Text(f"{stage.step}/{stage.steps}", style, justify="right"), *_stage_words(stage),
        )  # fmt: skip
    return table


def _stage_words(stage: StageRecord) -> list[Text]:
    if not stage.rows:
        return [Text(), Text(), Text()]
    values = [value for value in curve(stage.rows, "loss").values if isfinite(value)][-MEAN_STEPS:]
    loss = f"loss {sum(values) / len(values):.3f}" if values else ""
    speed = f"{compact(stage.tokens_per_second)} tokens/s"
    return [Text(text, "dim", justify="right") for text in (loss, speed, duration(stage.seconds))]


def _notes(history: History) -> list[RenderableType]:
    """A line for each stage that did not go as planned."""
    return [Text(f"{printable(stage.plan.name)}: {stage.notes}", "yellow") for stage in history.stages if stage.notes]


def _present(history: History) -> list[RenderableType]:
    """Losses and health of the stage that the run is in."""
    stage = history.stage
    if stage is None:
        return []
    table = Table.grid(padding=(0, 2))
    for name in loss_parts(stage.rows):
        values = curve(stage.rows, name).values
        table.add_row(Text(printable(name), "dim"), Text(sparkline(values, SPARK_WIDTH), "cyan"), _fall(values))
    reading = _reading(stage.rows[-MEAN_STEPS:])
    return [table, Text(), reading_text(reading)]


def _fall(values: list[float]) -> Text:
    return Text(f"{values[0]:.3f} → ", "dim").append(f"{values[-1]:.3f}", "not dim bold") if values else Text()


def _reading(rows: list[Row]) -> Reading:
    """Means over the latest rows for the speed, the newest row for the rest."""
    seconds, newest = total(rows, "seconds"), rows[-1].values
    value = {key: number(newest.get(key)) for key in newest}
    return Reading(
        tokens_per_second=total(rows, "tokens") / seconds if seconds else 0.0,
        mfu=total(rows, "mfu") / len(rows),
        parts={}, max_logit=value.get("max_logit") or 0.0, load=value.get("load") or 0.0, fill=value.get("fill") or 0.0,
        clipped=int(value.get("clipped") or 0), learning_rate=value.get("learning_rate"),
        gradient_norm=value.get("gradient_norm"),
    )  # fmt: skip


def _figures(sets: list[HeldOutSet]) -> Table:
    table = Table("held out", "score", "now", "over the run", "at", box=None, pad_edge=False, header_style="dim")
    table.columns[2].justify = table.columns[4].justify = "right"
    for of_set in sets:
        for score, found in shown_scores(of_set).items():
            style = "bold" if score == MAIN[of_set.kind] else "dim"
            first = score == next(iter(shown_scores(of_set)))
            value = Text(written(score, found.value), style)
            if score == "exact" and of_set.blind is not None:
                value.append(f" (blind {percent(of_set.blind)})", "not bold dim")
            name = Text(printable(of_set.name) if first else "", "bold")
            spark = Text(sparkline(of_set.curves[score].values, 20), "cyan")
            table.add_row(name, Text(printable(score), style), value, spark, Text(f"{found.step}", "dim"))
    return table


def shown_scores(of_set: HeldOutSet) -> dict[str, Figure]:
    """The newest figures; of a set that is scored by rewards that one alone."""
    main = of_set.main
    return {MAIN[of_set.kind]: main} if of_set.kind == "rewards" and main is not None else of_set.scores


def _foot(history: History, now: float) -> Text:
    text = Text(f"step {history.step}/{history.steps}   {compact(history.tokens)} tokens   ", "")
    text.append(duration(history.time_left.spent))
    if history.finished:
        return text.append("   finished", "bold green")
    left = history.left
    if left is not None:
        text.append(f"   about {duration(left)} left", "bold")
    silent = now - history.last_time
    if silent > SILENT:
        text.append(f"   no news for {duration(silent)}: was it stopped?", "yellow")
    return text
