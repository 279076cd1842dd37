"""`Scale`: how large an experiment of post-training is; and recipes as they stand in it, with a seed.

    share      of the optimiser steps of each recipe of reinforcement learning, so that an experiment ends within its
               minutes; fine-tuning is never shortened, so that all experiments start from the same models
    quick      three steps of everything: the whole way, at a size that means nothing

The minutes follow from a table (`post_rates`), never from the speed of the machine, so that the same command computes
the same on any. Experiments that share runs of RL take one share, that of the longest of them. It is fitted for three
seeds whatever their number, so that runs that are there stay where seeds are added; more of them take more minutes.

Report: none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manyeyes.core.errors import ConfigError
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_rates import Rates
from manyeyes.recipes.reproduce.post_runs import Made, Plan, Work, makespan, ordered
from manyeyes.recipes.rl_parts import Measured
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.recipes.starting_model import MODEL_FOLDER

CORES = 2
"""That the minutes of an experiment are counted for."""
WITHIN = 115.0
"""Minutes that an experiment of `SEEDS` seeds may take on them where nothing is said."""
SEEDS = 3
QUICK_STEPS, QUICK_TASKS, QUICK_GROUPS = 3, 4, 2
QUICK_MINUTES = 0.5
CURVE = 8
"""Measurements of a run in between, where its recipe has fewer."""
LEAST = 0.1
"""Share of the steps below which nothing is learned."""
TABLE = Rates()

Recipes = Callable[[str], Any]


@dataclass(frozen=True)
class Scale:
    """See the module.

    Attributes:
        start: checkpoint folder of the pre-trained model that all begins with.
        seeds: runs of each arm.
        share: of the steps of each recipe of RL, above 0 to 1.
        quick: a few steps and tasks of everything.
        fine_tuned: checkpoint folder of a finished zero-vision fine-tuning that all arms and seeds start from; None
            for one that is made.
        tune_each: make a fine-tuning of each seed's own, and not one for all.
        recipes: recipes by name.
    """

    start: Path
    seeds: int = SEEDS
    share: float = 1.0
    quick: bool = False
    fine_tuned: Path | None = None
    tune_each: bool = False
    recipes: Recipes = recipe

    def __post_init__(self) -> None:
        if self.seeds < 1 or not 0 < self.share <= 1:
            raise ConfigError(f"an experiment needs seeds and a share above 0 to 1, got {self.seeds} and {self.share}")
        if self.tune_each and self.fine_tuned:
            raise ConfigError(f"all seeds start from {self.fine_tuned}, so there is no fine-tuning of each seed's own")

    def tuning_seed(self, seed: int) -> int:
        """That of the fine-tuning which a seed starts from."""
        return seed if self.tune_each else 0

    def tuned(self, name: str, seed: int, *, label: str = "", run: Run | None = None, **changes: Any) -> Made:
        """A recipe of fine-tuning, from the start, with a seed.

        Args:
            label: what people call it, where it is not the recipe alone.
            run: in the place of the recipe.
            changes: fields of the run.
        """
        run = self._short_run(replace(run or self.recipes(name), seed=seed, **changes))
        return Made(f"{label or name} {seed}", run, self.start, minutes=self.minutes(run))

    def reinforced(self, name: str, seed: int, start: Made | Path, *, label: str = "", **changes: Any) -> Made:
        """A recipe of reinforcement learning, from a run or a model.

        Args:
            label: what people call it, where it is not the recipe alone.
            changes: fields of the run, as they are at this scale.
        """
        run = replace(self.shortened(name), seed=seed, **changes)
        return Made(f"{label or name} {seed}", run, start, start if is_swarm(run) else None, self.minutes(run))

    def measuring(
        self,
        label: str,
        seed: int,
        of: Made | Path,
        *,
        measured: tuple[Measured, ...] = (),
        losses: tuple[HeldOut, ...] = (),
        frozen: Made | Path | None = None,
        context: int = 2048,
        which: str = MODEL_FOLDER,
    ) -> Made:
        """A measurement of a model; `which` of those that its run leaves."""
        if self.quick:
            measured = tuple(_few(one) for one in measured)
            losses = tuple(replace(one, records=min(one.records, QUICK_TASKS)) for one in losses)
        work = Measuring(label, measured, losses, context=context, seed=seed)
        return Made(f"{label} {seed}", work, of, frozen, self.minutes(work), which=which)

    def minutes(self, work: Work) -> float:
        """That it takes by the table."""
        return QUICK_MINUTES if self.quick else round(TABLE.minutes(work), 2)

    def shortened(self, name: str) -> RlRun:
        """A recipe of reinforcement learning with its share of the steps, and all that goes by steps with them."""
        run: RlRun = self.recipes(name)
        if self.quick:
            return _quick(run)
        short = run if self.share == 1 else run.shortened(self.share)
        return replace(short, evaluate_every=short.evaluate_every or max(1, short.steps // CURVE))

    def _short_run(self, run: Run) -> Run:
        if not self.quick:
            return run
        stages = tuple(replace(s, steps=min(s.steps, QUICK_STEPS), held_out=()) for s in run.stages)
        return replace(run, stages=stages, held_out=())


def is_swarm(run: RlRun) -> bool:
    """Whether its agents may start others, which are frozen."""
    return any(place.environment == "parl" for place in run.places)


def _quick(run: RlRun) -> RlRun:
    short = replace(
        run, steps=min(run.steps, QUICK_STEPS), groups=min(run.groups, QUICK_GROUPS), evaluate_every=1,
        attempts=min(run.attempts, QUICK_TASKS), measured=tuple(_few(one) for one in run.measured),
    )  # fmt: skip
    return short if run.toggle is None else replace(short, steps=QUICK_STEPS, toggle=replace(run.toggle, every=1))


def _few(one: Measured) -> Measured:
    return replace(one, count=min(one.count, QUICK_TASKS), quick=min(one.quick, QUICK_TASKS))


def fitted(scale: Scale, plans: Sequence[Callable[[Scale], Plan]], *, minutes: float = WITHIN) -> Scale:
    """The scale at which the runs of each plan end within so many minutes on two cores; the given one where they do.

    The minutes are those of `SEEDS` seeds; the scale keeps its own number.

    Args:
        plans: of the experiment, and of all that share runs of RL with it, so that these are the same runs.

    Raises:
        ConfigError: so few minutes that hardly anything would be learned.
    """

    def whole(hundredths: int) -> float:
        at = replace(scale, share=hundredths / 100, seeds=SEEDS)
        return max(makespan(ordered(plan(at).values()), processes=CORES) for plan in plans)

    most = round(100 * scale.share)
    if scale.quick or whole(most) <= minutes:
        return scale
    least = round(100 * LEAST)
    if (shortest := whole(least)) > minutes:
        raise ConfigError(
            f"--minutes {minutes:g}: these runs take {shortest:.0f} minutes on {CORES} cores with {LEAST:.0%} of the "
            f"steps of RL and {SEEDS} seeds, and below that nothing is learned; give more, or --start RUN with a "
            "finished fine-tuning, or --quick to see that all works"
        )
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if whole(middle) <= minutes else (least, middle)
    return replace(scale, share=least / 100)
