"""What measurements of Toggle's models say that no page is made of, as JSON: pairs of models, and accuracy by length.

    python docs/exploratory_toggle.py OUT --pair NAME WITH WITHOUT ... --lengths RUN[,RUN...]

`docs/experiments/fig5_exploratory.json` was written so, from folders of measurements in `post-training` under
MANYEYES_RUNS. Lengths: the answers to each family and level are parted into fifths by their tokens, all runs together;
a fifth's tokens and accuracy are the means over families and levels.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from manyeyes.core.runlog import RunFolder, write_atomic
from manyeyes.recipes.reproduce.post_attempts import Attempt, attempts, pairs

FIFTHS = 5


def compared(name: str, brief: Path, other: Path) -> dict[str, Any]:
    """Two models that were asked the same: tokens saved, accuracy, and its standard error over pairs."""
    found = pairs(attempts(RunFolder.open(other)), attempts(RunFolder.open(brief)))
    apart = np.array([float(b.right) - float(a.right) for a, b in found])
    tokens = [float(np.mean([pair[side].tokens for pair in found])) for side in (0, 1)]
    return {
        "name": name, "runs": [brief.name, other.name], "pairs": len(found),
        "saved": round(1 - tokens[1] / tokens[0], 4),
        "accuracy": round(float(apart.mean()), 4), "error": round(float(apart.std() / len(apart) ** 0.5), 4),
    }  # fmt: skip


def by_length(runs: list[Path]) -> list[dict[str, float]]:
    """The fifths, the shortest answers first."""
    of: defaultdict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for run in runs:
        for one in attempts(RunFolder.open(run)).values():
            if one.judged:
                of[one.place, one.task_id.split("/")[2]].append(one)
    told = np.array(
        [
            [[np.mean([one.tokens for one in part]), np.mean([one.right for one in part])] for part in fifths(group)]
            for group in of.values()
        ]
    )
    return [{"tokens": round(tokens, 1), "right": round(right, 4)} for tokens, right in told.mean(axis=0).tolist()]


def fifths(group: list[Attempt]) -> list[list[Attempt]]:
    """By tokens."""
    ordered = sorted(group, key=lambda one: (one.tokens, one.task))
    cuts = [len(ordered) * n // FIFTHS for n in range(FIFTHS + 1)]
    return [ordered[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pair", nargs=3, action="append", required=True, metavar=("NAME", "WITH", "WITHOUT"))
    parser.add_argument("--lengths", required=True, metavar="RUN[,RUN...]")
    asked = parser.parse_args()
    told = {
        "pairs": [compared(name, Path(brief), Path(other)) for name, brief, other in asked.pair],
        "lengths": by_length([Path(run) for run in asked.lengths.split(",")]),
    }
    write_atomic(asked.out, json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
