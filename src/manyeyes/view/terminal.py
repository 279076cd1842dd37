"""Pieces of the terminal views that `progress` and `watch` share: sparklines, bars, and the line about one step."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.progress_bar import ProgressBar
from rich.text import Text

from manyeyes.view.wording import compact, duration, figure, printable

_BLOCKS = "▁▂▃▄▅▆▇█"
COUNTS = ("pairs", "balance")
"""Parts of a step's report that are no losses to look at."""


class Reading(NamedTuple):
    """What is shown about a step; None where it does not apply."""

    tokens_per_second: float
    mfu: float
    parts: Mapping[str, float]
    max_logit: float = 0.0
    load: float = 0.0
    fill: float = 1.0
    clipped: int = 0
    learning_rate: float | None = None
    gradient_norm: float | None = None


def sparkline(values: Sequence[float], width: int) -> str:
    """The values as a row of blocks, the newest at the right; means of neighbours where they are more than `width`.

    Example:
        >>> sparkline([8.0, 6.0, 4.0, 2.0, 1.0], 5)
        '█▆▄▂▁'
    """
    known = [value for value in values if math.isfinite(value)]
    if not known or width < 1:
        return ""
    cuts = [round(at * len(known) / min(width, len(known))) for at in range(min(width, len(known)) + 1)]
    means = [sum(known[a:b]) / (b - a) for a, b in zip(cuts, cuts[1:], strict=False)]
    low, high = min(means), max(means)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((value - low) * scale)] for value in means)


def bar(done: float, total: float, *, width: int | None = None) -> ProgressBar:
    """A progress bar."""
    return ProgressBar(total=max(total, 1), completed=done, width=width, complete_style="cyan", finished_style="green")


def losses(parts: Mapping[str, float]) -> dict[str, float]:
    """The loss parts to show, the whole loss first."""
    return {name: parts[name] for name in sorted(parts, key=lambda name: name != "loss") if name not in COUNTS}


def loss_text(parts: Mapping[str, float]) -> Text:
    """Loss parts in one line."""
    text = Text()
    for name, value in losses(parts).items():
        text.append(f"{printable(name)} ", "dim").append(f"{figure(value)}   ", "bold" if name == "loss" else "")
    return text


def reading_text(reading: Reading) -> Text:
    """Speed and health in one line."""
    text = Text()
    for name, value in _figures(reading):
        text.append(f"{name} ", "dim").append(f"{value}   ")
    return text


def plain_line(
    stage: str, *, step: int, steps: int, share: float, reading: Reading, left: float | None, tokens: int
) -> str:
    """One step in one line of ASCII, for logs.

    Example:
        >>> plain_line(
        ...     "text", step=5, steps=10, share=0.25, reading=Reading(2048.0, 0.31, {"loss": 3.2}), left=61, tokens=9000
        ... )
        'text 5/10, run 25%: loss 3.200 | 2.05k tokens/s, MFU 31%, fill 100% | 9.00k tokens, 1 min 1 s left'
    """
    parts = " ".join(f"{printable(name)} {figure(value)}" for name, value in losses(reading.parts).items())
    speed, *others = _figures(reading)
    health = ", ".join([f"{speed[1]} {speed[0]}", *(f"{name} {value}" for name, value in others)])
    rest = "" if left is None else f", {duration(left)} left"
    return f"{printable(stage)} {step}/{steps}, run {share:.0%}: {parts} | {health} | {compact(tokens)} tokens{rest}"


def _figures(reading: Reading) -> list[tuple[str, str]]:
    shown = [("tokens/s", compact(reading.tokens_per_second)), ("MFU", f"{reading.mfu:.0%}")]
    shown += [("max logit", figure(reading.max_logit))] if reading.max_logit else []
    shown += [("clipped heads", str(reading.clipped))] if reading.clipped else []
    shown += [("expert load", f"{reading.load:.2f}")] if reading.load else []
    shown.append(("fill", f"{reading.fill:.0%}"))
    shown += [("rate", f"{reading.learning_rate:.1e}")] if reading.learning_rate is not None else []
    shown += [("grad", figure(reading.gradient_norm))] if reading.gradient_norm is not None else []
    return shown
