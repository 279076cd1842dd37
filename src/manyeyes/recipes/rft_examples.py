"""Between the halves of an RFT run: right attempts become examples, and what became of all is written to `kept.json`.

Which are kept depends on the attempts alone, so it comes out the same whenever the run goes on.

Report: §2.3 (rejection sampling back into fine-tuning).
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from manyeyes.agent.rollouts.snapshot import TRAJECTORIES
from manyeyes.core.errors import DataError
from manyeyes.core.runlog import RunFolder, write_atomic
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.recipes.kept_source import KeptSources, kept_sources
from manyeyes.recipes.rft_run import RftRun
from manyeyes.rl.rft import Kept, kept_of_store

KEPT = "kept.json"
WORDS = {
    "more": "were more than rules.per_task of a task",
    "same": "said the same as another",
    "long": "were too long",
    "cut": "were cut off",
    "malformed": "were no whole turns",
}
"""Why a right attempt is no example."""


class Examples(NamedTuple):
    """What is learned from, and what it was chosen of.

    Attributes:
        sources: for the planner.
        figures: attempts, right, kept, samples, tokens, and how many attempts met which fate.
    """

    sources: KeptSources
    figures: Mapping[str, Any]

    @property
    def line(self) -> str:
        """For people."""
        told = self.figures
        fates = [f"{count:,} {WORDS[fate]}" for fate, count in told["tally"].items() if fate in WORDS]
        left = f"; of the others {', '.join(fates)}" if fates else ""
        return (
            f"{told['right']:,} of {told['attempts']:,} attempts are right, {told['kept']:,} of them are examples "
            f"({told['samples']:,} samples, {told['tokens']:,} tokens){left}"
        )


def examples_of(run: RftRun, folder: RunFolder) -> Examples:
    """What is learned from.

    Raises:
        DataError: nothing was right.
    """
    rules = dataclasses.replace(run.rules, row_length=run.row_length)
    with TrajectoryStore(folder.path / TRAJECTORIES, mode="read") as store:
        found = kept_of_store(store, rules)
    figures = _figures(found)
    write_atomic(folder.path / KEPT, json.dumps(figures | {"names": found.names}, indent=1))
    if not found.samples:
        raise DataError(
            f"{run.name}: none of {found.attempts:,} attempts can be learned from: {_fates(found)}; lower "
            "rules.least_reward where their judge does not say what is right, take easier tasks, or more attempts"
        )
    return Examples(kept_sources(found.samples, part_length=run.row_length), figures)


def _figures(found: Kept) -> dict[str, Any]:
    return {
        "attempts": found.attempts,
        "right": found.right,
        "kept": len(found.names),
        "samples": len(found.samples),
        "tokens": found.tokens,
        "tally": {fate: count for fate, count in sorted(found.tally.items()) if count},
    }


def _fates(found: Kept) -> str:
    return ", ".join(f"{count:,} {fate}" for fate, count in sorted(found.tally.items()) if count) or "there are none"
