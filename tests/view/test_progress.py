import io
import sys
import time
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from manyeyes.view.progress import Progress
from manyeyes.view.stage_plan import StagePlan
from manyeyes.view.terminal import sparkline


@dataclass(frozen=True)
class Report:
    """What `train.meter.StepReport` has."""

    stage: str
    step: int
    steps: int
    run_step: int
    run_steps: int
    tokens: int = 4096
    seconds: float = 2.0
    mfu: float = 0.31
    parts: dict[str, float] = field(default_factory=lambda: {"vision": 2.5, "loss": 3.0, "balance": 0.1, "pairs": 60.0})
    max_logit: float = 12.5
    clipped: int = 0
    load: float = 1.75
    learning_rate: float = 2e-3
    gradient_norm: float = 0.5
    fill: float = 0.98


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=110, highlight=False, legacy_windows=False)


def run(progress: Progress, steps: int = 60, clock: list[float] | None = None, stages=("text", "joint")) -> list[str]:
    with progress:
        for number, stage in enumerate(stages):
            for step in range(1, steps + 1):
                if clock is not None:
                    clock[0] += 2.0
                progress.step(Report(stage, step, steps, number * steps + step, len(stages) * steps))
    return progress.console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_without_a_terminal_a_line_about_every_ten_seconds_and_at_stage_ends() -> None:
    clock = [0.0]
    lines = run(Progress(120, console=console(False), clock=lambda: clock[0]), clock=clock)
    assert len(lines) == 24 and all(line.isascii() for line in lines)
    assert lines[11].startswith(
        "text 60/60, run 50%: loss 3.000 vision 2.500 | 2.05k tokens/s, MFU 31%, max logit 12.50"
    )
    assert lines[-1].startswith("joint 60/60, run 100%") and lines[-1].endswith("492k tokens, 0.0 s left")
    assert "2 min left" in lines[11]


def test_quiet_says_stage_ends_and_what_is_said() -> None:
    clock = [0.0]
    progress = Progress(120, quiet=True, console=console(False), clock=lambda: clock[0])
    progress.say("run folder: here")
    assert [line.split(",")[0] for line in run(progress, clock=clock)] == [
        "run folder: here",
        "text 60/60",
        "joint 60/60",
    ]
    terminal = Progress(120, quiet=True, console=console(True))
    lines = run(terminal)
    assert len(lines) == 2 and "\x1b" not in "".join(lines)


def test_in_a_terminal_a_panel_lives() -> None:
    progress = Progress(120, console=console(True), plan=[StagePlan("text", 60, 4096), StagePlan("joint", 60, 8192)])
    with progress:
        progress.step(Report("text", 1, 60, 1, 120))
        progress.say("evaluated: [not markup] \x1b[2J")
        drawn(progress, "1/120")
        progress.notice("stopping after this step")
        drawn(progress, "stopping")
    text = progress.console.file.getvalue()  # type: ignore[attr-defined]
    for words in (
        "text",
        "1/60",
        "1/120",
        "2.05k",
        "31%",
        "12.50",
        "1.75",
        "left",
        "[not markup] \\x1b[2J",
        "stopping",
    ):
        assert words in text, words


def drawn(progress: Progress, words: str) -> None:
    """Wait until the drawing thread has shown the words; fails after a minute."""
    deadline = time.monotonic() + 60
    while words not in progress.console.file.getvalue():  # type: ignore[attr-defined]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_before_the_first_step_it_says_that_it_prepares() -> None:
    progress = Progress(10, console=console(True))
    with progress:
        drawn(progress, "preparing")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_step_costs_the_training_thread_a_few_calls(terminal) -> None:
    """Calls and not seconds, which tell more about the machine; what draws is another thread."""
    progress = Progress(10_000, console=console(terminal), clock=lambda: 0.0)
    reports = [Report("joint", step, 20_000, step, 20_000) for step in range(1, 2001)]
    calls = 0

    def note(frame, event, argument) -> None:
        nonlocal calls
        calls += event == "call"

    with progress:
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            for report in reports:
                progress.step(report)
        finally:
            sys.setprofile(before)
    assert calls < 20 * len(reports)


def test_an_error_ends_the_panel_and_passes() -> None:
    with pytest.raises(ZeroDivisionError), Progress(10, console=console(True)):
        raise ZeroDivisionError


def test_sparklines() -> None:
    assert sparkline([], 5) == "" and sparkline([float("nan")], 5) == "" and sparkline([1, 1], 5) == "▁▁"
    assert len(sparkline(list(range(1000)), 20)) == 20 and sparkline([1, float("inf"), 2], 9) == "▁█"
