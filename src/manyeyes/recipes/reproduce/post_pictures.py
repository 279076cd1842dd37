"""Held-out pictures asked of finished models: the same tasks of every model, none left out.

Tasks that are chosen by what one model failed at make the next one look better, though it has learned nothing: not all
failures come again. So what is said of before and after rests on measurements that know nothing of any run: no filter,
no choice, the same tasks for all. A run's own curve says how training goes.

Report: §2.2, §2.3, Figure 2.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean

from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.post_curves import Figures, last_figures
from manyeyes.recipes.reproduce.post_runs import Made
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.rl_parts import Measured

VISION = "tiny.vision_rl"
ByName = dict[str, list[float]]
"""One number a seed, by kind of task or by domain."""
MEAN = "mean"
"""Name of the mean over the kinds."""


def looked(scale: Scale, label: str, seed: int, of: Made | Path) -> Made:
    """A model is asked what the recipe holds out, with the recipe's context; models of a seed are asked the same."""
    run = scale.shortened(VISION)
    return scale.measuring(label, seed, of, measured=run.measured, context=run.longest)


def by_kind(runs: Sequence[RunFolder], names: Sequence[str], figure: str) -> ByName:
    """A figure of measurements, a run a seed, and the mean over kinds.

    Raises:
        DataError: a kind has no such figure: nothing of it came to a verdict.
    """
    seeds = [last_figures(run) for run in runs]
    return with_mean({name: [one[f"{name}/{figure}"] for one in seeds] for name in names})


def with_mean(found: ByName) -> ByName:
    """The same with the mean of all, seed by seed."""
    return found | {MEAN: means(found.values())} if found else found


def by_domain(kinds: ByName, measured: Sequence[Measured]) -> ByName:
    """Means of the kinds of each domain."""
    domains = dict.fromkeys(one.place.domain for one in measured)
    return {name: means(kinds[one.name] for one in measured if one.place.domain == name) for name in domains}


def means(columns: Iterable[Sequence[float]]) -> list[float]:
    """Seed by seed."""
    return [mean(values) for values in zip(*columns, strict=True)]


def with_tools(measured: Sequence[Measured]) -> list[str]:
    """Kinds in which tools may be called."""
    return [one.name for one in measured if one.place.world.get("tools", True)]


def questions(runs: Sequence[RunFolder], names: Sequence[str], *, step: int | None = None) -> str:
    """How many tasks of a kind were asked, as the logs tell; fewest and most where they differ.

    Args:
        step: of the run; None for its last whole measurement.
    """
    told = [_figures(run, step) for run in runs]
    counts = sorted({round(one[f"{name}/questions"]) for one in told for name in names})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _figures(run: RunFolder, step: int | None) -> Figures:
    if step is None:
        return last_figures(run)
    rows = [row for row in run.metrics("evaluation") if row.step == step]
    return Figures(run, rows[-1].values if rows else {})
