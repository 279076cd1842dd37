"""`Rates`: how long runs take one process of one thread, from what was measured; and what runs that are there took.

    fine-tuning    tokens of all steps / tokens a second
    RL             steps x groups x attempts x seconds an attempt, by recipe; and its measurements
    measuring      attempts x seconds an attempt, by environment

An experiment's size is fitted by the table of this page, never by the machine's speed, so the same command computes
the same anywhere. What people are told before it starts is counted from the runs that are there already, where there
are any.

Report: none.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.post_measure import RATE, Measuring
from manyeyes.recipes.rl_parts import Measured
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run

TOKENS = 4_500.0
"""Of fine-tuning a second. All of this table is from single runs of one thread on a busy machine."""
LEARNED: Mapping[str, float] = {"tiny.vision_rl": 0.06, "tiny.toggle": 0.02, "tiny.parl": 0.5}
"""Seconds an attempt that is learned from takes, its rollout and its share of the step."""
ASKED: Mapping[str, float] = {"sights": 0.03, "thoughts": 0.02, "parl": 1.0, "swarm_bench": 2.5}
"""Seconds an attempt takes that is only measured."""
ELSEWHERE = 0.1
"""Seconds of an attempt where nothing was measured."""
OVERHEAD = 0.2
"""Minutes until a process has loaded everything."""
HELD_OUT_TEXT = 0.1
"""Minutes of a loss on held-out text."""
Work = Run | RlRun | Measuring


@dataclass(frozen=True)
class Rates:
    """See the module.

    Attributes:
        tokens: a second, of fine-tuning.
        learned: seconds an attempt, by recipe.
        asked: seconds a measured attempt, by environment.
        runs: finished runs that this is counted from; 0 for the table.
    """

    tokens: float = TOKENS
    learned: Mapping[str, float] = field(default_factory=lambda: LEARNED)
    asked: Mapping[str, float] = field(default_factory=lambda: ASKED)
    runs: int = 0

    def minutes(self, work: Work) -> float:
        """Of one run."""
        if isinstance(work, Run):
            return OVERHEAD + tokens_of(work) / self.tokens / 60
        if isinstance(work, Measuring):
            return OVERHEAD + self._asked(work.measured, whole=1, part=0) + HELD_OUT_TEXT * len(work.losses)
        learned = attempts_of(work) * self.learned.get(work.name, ELSEWHERE) / 60
        due = [step for step in range(work.steps + 1) if work.is_due(step)]
        whole = sum(map(work.is_final, due))
        return OVERHEAD + learned + self._asked(work.measured, whole=whole, part=len(due) - whole)

    def _asked(self, measured: Sequence[Measured], *, whole: int, part: int) -> float:
        """Minutes of so many whole measurements and so many in between."""
        seconds = (
            one.attempts * (whole * one.count + part * one.quick) * self.asked.get(one.place.environment, ELSEWHERE)
            for one in measured
        )
        return sum(seconds) / 60


def tokens_of(run: Run) -> int:
    """Of all steps of all stages."""
    return sum(stage.steps * stage.rows * stage.row_length for stage in run.stages)


def attempts_of(run: RlRun) -> int:
    """That are learned from."""
    return run.steps * run.groups * run.attempts


def rates_of(root: Path) -> Rates:
    """From the finished runs in a folder of runs; the table's where there are none of a kind."""
    tokens: list[tuple[float, float]] = []
    learned: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    asked: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    paths = sorted(path.parent for path in root.glob("*/config.json"))
    found = [(work, folder) for work, folder in map(_finished, paths) if work is not None]
    for work, folder in found:
        seconds = folder.metrics("finished")[-1].values.get("seconds", 0.0)
        if isinstance(work, Run):
            tokens.append((seconds, tokens_of(work)))
        elif isinstance(work, RlRun):
            learned[work.name].append((seconds, attempts_of(work)))
        else:
            for row in folder.metrics(RATE):
                asked[row.values["environment"]].append((row.values["seconds"], row.values["attempts"]))
    each = _each(tokens)
    return Rates(
        1 / each if each else TOKENS,
        {**LEARNED, **{name: own for name, one in learned.items() if (own := _each(one))}},
        {**ASKED, **{name: own for name, one in asked.items() if (own := _each(one))}},
        len(found),
    )


def _each(found: Sequence[tuple[float, float]]) -> float | None:
    """Seconds a piece; None where nothing was counted."""
    seconds, pieces = (sum(values) for values in zip(*found, strict=True)) if found else (0.0, 0.0)
    return seconds / pieces if seconds and pieces else None


def _finished(path: Path) -> tuple[Work | None, RunFolder]:
    """The work of a run that came to its end; None for one that did not, or is of another version."""
    folder = RunFolder.open(path)
    if not folder.metrics("finished"):
        return None, folder
    config = folder.config()
    kinds = {"rl": RlRun, "measuring": Measuring}
    try:
        return kinds.get(config.get("kind", ""), Run).from_json(config), folder
    except ManyeyesError:
        return None, folder
