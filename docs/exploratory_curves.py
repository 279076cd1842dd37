"""Curves of finished or stopped runs of PARL as JSON, read from their logs: of runs that no page is made of.

    python docs/exploratory_curves.py OUT --title TITLE --about SENTENCE ... --arm NAME RUN[,RUN...] ...

`docs/experiments/fig4_exploratory.json` was written so, from run folders in `post-training` under MANYEYES_RUNS. Each
arm is a name and its runs, a seed each, in order.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from manyeyes.core.runlog import RunFolder, write_atomic

FIGURES = {"sub-agents": "agents", "item-F1": "performance", "assigned": "started", "finished": "finished"}
"""Held-out figures of `tiny.parl` by the names that they have here."""


def curves(arm: str, seed: int, path: Path) -> dict[str, Any]:
    """What a run told at each measurement."""
    folder = RunFolder.open(path)
    rows = folder.metrics("evaluation")
    told = {name: [round(row.values[f"wide/part_{key}"], 4) for row in rows] for name, key in FIGURES.items()}
    ended = bool(folder.metrics("finished"))
    return {"arm": arm, "seed": seed, "run": path.name, "ended": ended, "steps": [row.step for row in rows]} | told


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--title", required=True)
    parser.add_argument("--about", nargs="+", default=[])
    parser.add_argument("--arm", nargs=2, action="append", required=True, metavar=("NAME", "RUN[,RUN...]"))
    asked = parser.parse_args()
    runs = [curves(arm, seed, Path(run)) for arm, some in asked.arm for seed, run in enumerate(some.split(","))]
    write_atomic(asked.out, json.dumps({"title": asked.title, "about": asked.about, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
