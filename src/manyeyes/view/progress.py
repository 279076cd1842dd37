"""`Progress`: how a run goes, while it goes: a live panel in a terminal, a line now and then anywhere else.

    with Progress(run.steps, quiet=False, plan=planned(config)) as progress:
        ... progress.step(report) after each step, progress.say("a line") when something else happens

A step only stores its report; a thread draws the newest one twice a second, so the cost does not depend on the speed.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from manyeyes.view.stage_plan import StagePlan
from manyeyes.view.terminal import Reading, bar, loss_text, plain_line, reading_text, sparkline
from manyeyes.view.time_left import TimeLeft
from manyeyes.view.wording import compact, duration, printable

SECONDS_BETWEEN_LINES = 10.0
SMOOTHED_STEPS = 10
KEPT_LOSSES = 2_000


class Step(Protocol):
    """What is read of a step's report; `train.meter.StepReport` has it all, and says what it means."""

    @property
    def stage(self) -> str: ...  # noqa: D102
    @property
    def step(self) -> int: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def run_step(self) -> int: ...  # noqa: D102
    @property
    def run_steps(self) -> int: ...  # noqa: D102
    @property
    def tokens(self) -> int: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def mfu(self) -> float: ...  # noqa: D102
    @property
    def parts(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def max_logit(self) -> float: ...  # noqa: D102
    @property
    def clipped(self) -> int: ...  # noqa: D102
    @property
    def load(self) -> float: ...  # noqa: D102
    @property
    def learning_rate(self) -> float: ...  # noqa: D102
    @property
    def gradient_norm(self) -> float: ...  # noqa: D102
    @property
    def fill(self) -> float: ...  # noqa: D102


class Progress:
    """Shows steps as they come. A context manager; `step` and `say` work within it.

    Args:
        total_steps: of the whole run.
        quiet: no live panel and no lines between stage ends.
        plan: the stages, for a better estimate of the time left.
        console: where to write; the standard output when not given.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        quiet: bool = False,
        plan: Sequence[StagePlan] = (),
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total_steps, self.quiet, self.clock = total_steps, quiet, clock
        self.console = console or Console(highlight=False)
        self._time_left = TimeLeft(plan)
        self._recent: deque[Step] = deque(maxlen=SMOOTHED_STEPS)
        self._losses: deque[float] = deque(maxlen=KEPT_LOSSES)
        self._tokens = 0
        self._started = self._said_at = clock()
        self._notice = ""
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        self._started = self._said_at = self.clock()
        if self.console.is_terminal and not self.quiet:
            self._live = Live(get_renderable=self._panel, console=self.console, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def step(self, step: Step) -> None:
        """A step has ended."""
        now = self.clock()
        if self._recent and self._recent[-1].stage != step.stage:
            self._recent.clear()
            self._losses.clear()
        self._recent.append(step)
        self._losses.append(step.parts.get("loss", 0.0))
        self._tokens += step.tokens
        self._time_left.add(step.stage, seconds=step.seconds, tokens=step.tokens, at=now)
        ended = step.step == step.steps
        if self._live is None and (ended or (not self.quiet and now - self._said_at >= SECONDS_BETWEEN_LINES)):
            self._said_at = now
            self._print(self._line(step))
        elif ended:
            self._print(self._line(step))

    def say(self, line: str) -> None:
        """Something else happened: a line that stays."""
        self._print(line)

    def notice(self, line: str) -> None:
        """A line for the next redraw, or at once without a panel; safe in a signal handler."""
        self._notice = line
        if self._live is None:
            os.write(2, f"{line}\n".encode(errors="replace"))

    def _print(self, line: str) -> None:
        self.console.print(Text(printable(line)), soft_wrap=True)

    def _line(self, step: Step) -> str:
        return plain_line(
            step.stage, step=step.step, steps=step.steps, share=step.run_step / max(step.run_steps, 1),
            reading=self._reading(step), left=self._left(step), tokens=self._tokens,
        )  # fmt: skip

    def _reading(self, step: Step) -> Reading:
        """The newest step, its speed as the mean of the latest ones."""
        recent = list(self._recent)
        seconds = sum(one.seconds for one in recent)
        return Reading(
            tokens_per_second=sum(one.tokens for one in recent) / seconds if seconds else 0.0,
            mfu=sum(one.mfu * one.seconds for one in recent) / seconds if seconds else 0.0,
            parts=step.parts, max_logit=step.max_logit, load=step.load, fill=step.fill, clipped=step.clipped,
            learning_rate=step.learning_rate, gradient_norm=step.gradient_norm,
        )  # fmt: skip

    def _left(self, step: Step) -> float | None:
        return self._time_left.seconds(
            step.stage, stage_left=step.steps - step.step, run_left=max(step.run_steps - step.run_step, 0)
        )

    def _panel(self) -> RenderableType:
        """What the drawing thread shows."""
        recent = list(self._recent)
        elapsed = duration(self.clock() - self._started)
        if not recent:
            waiting = Text(f"preparing ... {elapsed}", "dim")
            return Group(waiting, Text(self._notice, "yellow")) if self._notice else waiting
        step = recent[-1]
        left = self._left(step)
        lines = [
            self._bars(step),
            loss_text(step.parts).append(sparkline(list(self._losses), 24), "cyan"),
            reading_text(self._reading(step)),
            Text(f"{compact(self._tokens)} tokens   {elapsed}", "dim").append(
                "" if left is None else f"   {duration(left)} left", "not dim bold"
            ),
        ]
        return Group(*lines, Text(self._notice, "yellow")) if self._notice else Group(*lines)

    def _bars(self, step: Step) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(
            Text(printable(step.stage), "bold"), bar(step.step, step.steps, width=24), f"{step.step}/{step.steps}",
            Text("run", "bold"), bar(step.run_step, step.run_steps, width=24), f"{step.run_step}/{step.run_steps}",
        )  # fmt: skip
        return table
