"""`LoopLog`: what a step of RL came to, in the run's log and as a line for people.

    rl         figures of rollouts, objective, mismatch and update; counts; ids of the groups: the same when replayed
    rl_time    seconds, shares, tokens a second
    rl_finding what was left out, and why

Beside it `together.jsonl`: what a group judge said of each group that it was asked about, a row for one, with its
graders' transcripts.

Report: App. D (monitoring).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from manyeyes.agent.group_judge import FAILED, SILENT, said_of
from manyeyes.agent.rollouts.group import Group
from manyeyes.core.metrics_log import MetricsLog
from manyeyes.core.runlog import RunFolder
from manyeyes.rl.group_samples import GroupSamples
from manyeyes.rl.loop_figures import StepTime, progress_line
from manyeyes.rl.step import RlStep

TOGETHER = "together.jsonl"
"""In the run's folder."""
ANNOUNCED = 3
"""Findings of a run that are announced one by one; the log has all."""


class Lesson(NamedTuple):
    """What a batch came to."""

    made: GroupSamples
    found: RlStep

    @property
    def tally(self) -> dict[str, int]:
        """Of the batch; nothing was read or learned where there was no update."""
        unread = {} if self.found.updated else {f"tokens/{fate}": 0 for fate in ("learned", "read", "shared")}
        return dict(self.made.tally) | unread


class LoopLog:
    """See the module."""

    def __init__(self, folder: RunFolder, announce: Callable[[str], None]) -> None:
        self._folder, self._announce, self._announced = folder, announce, 0
        self._together = folder.path / TOGETHER

    def step(
        self,
        lesson: Lesson,
        groups: Sequence[Group],
        figures: Mapping[str, float],
        *,
        step: int,
        steps: int,
        spent: StepTime,
    ) -> None:
        """A step is finished.

        Args:
            figures: beside those of the lesson.
        """
        made, found = lesson
        for finding in made.findings:
            if finding.severity == "error":
                self._tell(step, f"{finding.name}: {finding.words} ({finding.check})")
        told = found.figures | made.figures | dict(figures)
        failures = sum((group.failures for group in groups), Counter[str]())
        self._folder.log(
            "rl", step, **told, updated=found.updated, tally=lesson.tally, failures=dict(failures),
            groups=sorted(group.request.id for group in groups),
        )  # fmt: skip
        self._folder.log("rl_time", step, **spent.figures)
        why_not = "" if found.updated else _why_not(made, failures)
        self._announce(progress_line(step, steps, told, why_not=why_not, seconds=spent.seconds))

    def together(self, groups: Sequence[Group], *, step: int) -> None:
        """What a group judge said of these; why it said nothing of one is told to people, too."""
        log = MetricsLog(self._together)
        for group in groups:
            if said := said_of(group):
                told = {name: event.data for name, event in said.items()}
                log.append("together", step, {"group": group.request.id, "attempts": told})
            if group.failures[FAILED]:
                why = next((event.data["why"] for event in said.values() if event.kind == SILENT), "")
                self._tell(step, f"group {group.request.id} has no verdicts of its group judge: {why}")
        log.close()

    @property
    def together_position(self) -> int:
        """Where `together.jsonl` ends."""
        return self._together.stat().st_size if self._together.exists() else 0

    def rewind_together(self, position: int) -> None:
        """Forget what a group judge said after a checkpoint."""
        if not self._together.exists():
            return
        log = MetricsLog(self._together)
        log.rewind(position)
        log.close()

    def _tell(self, step: int, words: str) -> None:
        """Something was left out."""
        self._folder.log("rl_finding", step, words=words)
        self._announced += 1
        if self._announced <= ANNOUNCED:
            self._announce(words)


def _why_not(made: GroupSamples, failures: Mapping[str, int]) -> str:
    fates = [
        f"{count} {name}" for name, count in sorted(made.tally.items())
        if name.startswith(("groups/", "attempts/")) and name != "attempts/judged"
    ]  # fmt: skip
    fates += [f"{count} failed: {cause}" for cause, count in sorted(failures.items()) if count]
    return "nothing to learn from (" + (", ".join(fates) or "no groups") + ")"
