"""`Scale`: how large an experiment of post-training is; and recipes as they stand in it, with a seed.

    share      of each recipe's optimiser steps, so that an experiment ends within its minutes
    quick      three steps of everything: the whole way, at a size that means nothing

The minutes of an experiment follow from a table of what its runs take on a core of a laptop, never from the speed of
the machine, so that the same command computes the same on any.

Report: none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manyeyes.core.errors import ConfigError
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_runs import Made, Plan, makespan, ordered
from manyeyes.recipes.rl_run import Measured, RlRun
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.swarm.parl import Fade, ParlRule

MINUTES: Mapping[str, float] = {"tiny.sft": 22.0, "tiny.vision_rl": 25.0, "tiny.toggle": 22.0, "tiny.parl": 25.0}
"""Of a run at one thread, in process time of a core of a laptop; others take `OTHER`."""
OTHER = 20.0
MEASURING = 3.0
"""Minutes of a measurement."""
CORES = 2
"""That the minutes of an experiment are counted for."""
WITHIN = 115.0
"""Minutes that an experiment may take on them where nothing is said."""
QUICK_STEPS, QUICK_TASKS, QUICK_GROUPS = 3, 4, 2
CURVE = 8
"""Measurements of a run in between, where its recipe has fewer."""

Recipes = Callable[[str], Any]


@dataclass(frozen=True)
class Scale:
    """See the module.

    Attributes:
        start: checkpoint folder of the pre-trained model that all begins with.
        seeds: runs of each arm.
        share: of the steps of each recipe, above 0 to 1.
        quick: a few steps and tasks of everything.
        recipes: recipes by name.
    """

    start: Path
    seeds: int = 3
    share: float = 1.0
    quick: bool = False
    recipes: Recipes = recipe

    def __post_init__(self) -> None:
        if self.seeds < 1 or not 0 < self.share <= 1:
            raise ConfigError(f"an experiment needs seeds and a share above 0 to 1, got {self.seeds} and {self.share}")

    def tuned(self, name: str, seed: int, **changes: Any) -> Made:
        """A recipe of fine-tuning, from the start, with a seed.

        Args:
            changes: fields of the run.
        """
        run = replace(self.recipes(name), seed=seed, **changes)
        return Made(f"{name} {seed}", self._short_run(run), self.start, minutes=self.minutes(name))

    def reinforced(self, name: str, seed: int, start: Made, *, label: str = "", **changes: Any) -> Made:
        """A recipe of reinforcement learning, from a run of the same seed.

        Args:
            label: what people call it, where it is not the recipe alone.
            changes: fields of the run.
        """
        run = replace(self.recipes(name), seed=seed, **changes)
        frozen = start if is_swarm(run) else None
        return Made(f"{label or name} {seed}", self._short_rl(run), start, frozen, self.minutes(name))

    def measuring(
        self,
        label: str,
        seed: int,
        of: Made,
        *,
        measured: tuple[Measured, ...] = (),
        losses: tuple[HeldOut, ...] = (),
        frozen: Made | None = None,
        context: int = 2048,
    ) -> Made:
        """A measurement of a run's model."""
        if self.quick:
            measured = tuple(_few(one) for one in measured)
            losses = tuple(replace(one, records=QUICK_TASKS) for one in losses)
        work = Measuring(label, measured, losses, context=context, seed=seed)
        return Made(f"{label} {seed}", work, of, frozen, self.measuring_minutes)

    @property
    def measuring_minutes(self) -> float:
        """Of a measurement."""
        return 0.3 if self.quick else MEASURING

    def minutes(self, name: str) -> float:
        """Of a recipe at this share."""
        return 0.5 if self.quick else self.share * MINUTES.get(name, OTHER)

    def _short_run(self, run: Run) -> Run:
        if not self.quick:
            return run if self.share == 1 else run.shortened(self.share)
        stages = tuple(replace(s, steps=min(s.steps, QUICK_STEPS), held_out=()) for s in run.stages)
        return replace(run, stages=stages, held_out=())

    def _short_rl(self, run: RlRun) -> RlRun:
        if self.quick:
            return replace(
                run, steps=min(run.steps, QUICK_STEPS), groups=min(run.groups, QUICK_GROUPS), evaluate_every=1,
                attempts=min(run.attempts, QUICK_TASKS), measured=tuple(_few(one) for one in run.measured),
            )  # fmt: skip
        short = run if self.share == 1 else replace(run.shortened(self.share), parl=_faster(run.parl, self.share))
        every = short.evaluate_every or max(1, short.steps // CURVE)
        return replace(short, evaluate_every=every)


def is_swarm(run: RlRun) -> bool:
    """Whether its agents may start others, which are frozen."""
    return any(place.environment == "parl" for place in run.places)


def _faster(rule: ParlRule | None, share: float) -> ParlRule | None:
    """Extra rewards that fade within so much shorter a run."""

    def faster(fade: Fade) -> Fade:
        hold = round(fade.hold * share)
        return replace(fade, hold=hold, until=max(hold + 1, round(fade.until * share)))

    return None if rule is None else ParlRule(faster(rule.parallel), faster(rule.finish))


def _few(one: Measured) -> Measured:
    return replace(one, count=min(one.count, QUICK_TASKS), quick=min(one.quick, QUICK_TASKS))


def fitted(scale: Scale, plan: Callable[[Scale], Plan], *, minutes: float = WITHIN) -> Scale:
    """The scale at which a plan's runs end within so many minutes on two cores; the given one where they do already.

    Raises:
        ConfigError: so few minutes that hardly anything would be learned.
    """
    if scale.quick:
        return scale
    whole = makespan(ordered(plan(scale).values()), processes=CORES)
    share = round(min(scale.share, scale.share * minutes / whole), 2)
    if share < LEAST:
        raise ConfigError(
            f"--minutes {minutes:g} is {share:.0%} of what these runs take on {CORES} cores ({whole:.0f} minutes), and "
            f"below {LEAST:.0%} nothing is learned; give more, or fewer --seeds, or --quick to see that all works"
        )
    return replace(scale, share=share)


LEAST = 0.1
"""Share of the steps below which nothing is learned."""
