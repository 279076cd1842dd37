"""Writes what a finished run measured into docs/experiments/<recipe>.json: the source of every number in the README.

    python docs/collect_run.py RUN [--out FILE]

Nothing is rounded up or picked: held-out figures are the newest ones of each set, curves hold every evaluation, times
are those of the log. A run that has not finished is collected as it stands, with `"finished": false`.

Of a run of reinforcement learning (`examples/rl_smollm2.py`) it keeps every measurement and the reward of every step.

Beside each set of questions stand two figures that need no model: `commonest`, the share of its commonest true answer,
and `empty`, what saying nothing at all would score. Needs the extra `demo` (the held-out sets).
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from manyeyes.core.errors import DataError
from manyeyes.core.metrics_log import Row
from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.registry import REGISTRY
from manyeyes.inference.generate import Completion
from manyeyes.model.parameter_count import parameter_count
from manyeyes.recipes.held_out import means, questions, score
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.view.held_out_figures import HeldOutSet, held_out_sets
from manyeyes.view.history import History

HERE = Path(__file__).parent
PARTS = ("loss", "text", "vision", "siglip", "caption")


def main() -> None:
    """Collect the run named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--out", type=Path, help="file to write; docs/experiments/<name in the log>.json when left out")
    arguments = parser.parse_args()
    data = Path(os.environ.get("MANYEYES_DATA") or "data")
    folder = RunFolder.open(arguments.run)
    recipe = "stages" in folder.config()
    found = collect(folder, data_folder=data) if recipe else collect_reinforced(folder)
    out = arguments.out or HERE / "experiments" / f"{found['recipe']}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(out)


def collect(folder: RunFolder, *, data_folder: Path) -> dict[str, Any]:
    """What one run measured, as plain data."""
    run = Run.from_json(folder.config())
    steps, start, end = folder.metrics("train"), folder.metrics("start"), folder.metrics("finished")
    began = start[-1].values if start else {}
    asked = {one.name: one for one in run.held_out if one.scorer != "loss"}
    tokenizer = Tokenizer.load(folder.tokenizer_path)
    sets = {one.name: _figures(one) for one in held_out_sets(History.read(folder))}
    for name in sets.keys() & asked.keys():
        sets[name] |= _without_a_model(asked[name], run, tokenizer, data_folder)
    return {
        "recipe": run.name,
        "seed": run.seed,
        "finished": bool(end),
        "parameters": parameter_count(run.model).total,
        "machine": {key: began[key] for key in ("device", "dtype", "threads", "peak") if key in began},
        "seconds": {"training": _total(steps, "seconds"), "wall": _wall(folder.metrics())},
        "steps": len(steps),
        "tokens": int(_total(steps, "tokens")),
        "stages": {stage.name: _stage(steps, stage.name) for stage in run.stages},
        "held_out": sets,
    }


def collect_reinforced(folder: RunFolder) -> dict[str, Any]:
    """What a run of reinforcement learning outside the recipes measured, as plain data.

    Raises:
        DataError: it has measured nothing yet.
    """
    steps, measured = folder.metrics("rl"), folder.metrics("evaluation")
    if not measured:
        raise DataError(f"{folder.path}: nothing was measured yet; collect it when the run has got further")
    return {
        "recipe": measured[-1].values["stage"],
        "config": folder.config(),
        "finished": bool(measured[-1].values["final"]) and measured[-1].step == folder.config()["steps"],
        "evaluations": [row.values | {"step": row.step} for row in measured],
        "rewards": [row.values["reward"] for row in steps],
        "updated": sum(bool(row.values["updated"]) for row in steps),
        "seconds": [row.values["seconds"] for row in folder.metrics("rl_time")],
    }


def _stage(steps: Iterable[Row], name: str) -> dict[str, Any]:
    """Cost of a stage, and the means of its loss parts over its first and last tenth."""
    own = [row for row in steps if row.values.get("stage") == name]
    tenth = max(1, len(own) // 10)
    parts = [part for part in PARTS if own and part in own[-1].values]
    return {
        "steps": len(own),
        "tokens": int(_total(own, "tokens")),
        "seconds": _total(own, "seconds"),
        "first": {part: _mean(own[:tenth], part) for part in parts},
        "last": {part: _mean(own[-tenth:], part) for part in parts},
    }


def _figures(one: HeldOutSet) -> dict[str, Any]:
    return {
        "questions": one.questions,
        "newest": {name: figure._asdict() for name, figure in one.newest.items()},
        "curves": {name: [list(point) for point in zip(*curve, strict=True)] for name, curve in one.curves.items()},
    }


def _without_a_model(asked: HeldOut, run: Run, tokenizer: Tokenizer, data_folder: Path) -> dict[str, float]:
    """What the questions give away by themselves."""
    collection = REGISTRY.open(asked.source, "test", seed=run.seed, folder=data_folder)
    found = questions(collection, tokenizer, rules=run.model.rules, count=asked.records, seed=run.seed)
    silent = means(score(asked, found, [Completion() for _ in found], tokenizer))
    (_, most), *_ = Counter(question.truth for question in found).most_common(1)
    main = "iou" if asked.scorer == "boxes" else "exact"
    return {"commonest": round(most / len(found), 4), "empty": round(silent[main], 4)}


def _total(rows: Iterable[Row], name: str) -> float:
    return round(sum(row.values.get(name, 0) for row in rows), 1)


def _mean(rows: list[Row], name: str) -> float:
    values = [row.values[name] for row in rows if name in row.values]
    return round(sum(values) / max(len(values), 1), 4)


def _wall(rows: list[Row]) -> float:
    """From the first row to the last: evaluations and checkpoints included, and any pause between two sittings."""
    return round(rows[-1].time - rows[0].time, 1) if rows else 0.0


if __name__ == "__main__":
    main()
