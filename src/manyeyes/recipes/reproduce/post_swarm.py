"""What is asked of orchestrators: places of recipe `tiny.parl`, alone and as a swarm, on its tables and on Swarm Bench.

    swarm    the recipe's own environment: sub-agents, a budget of critical steps
    alone    the same tasks for the same model without sub-agents, with as many steps as it takes

Whatever is compared samples at one temperature: orchestrators, their sub-agents and agents alone. It is lower than what
training is followed at, where a slip of copying here and there costs either side a point of item-F1.

What one agent that never errs would take (`swarm_bench.least_steps`) is counted from the tasks themselves.

Report: §3, §5.2.
"""

from dataclasses import replace
from statistics import mean
from typing import Any, Literal

from manyeyes.core.errors import ConfigError
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.rl_parts import Measured, PlaceSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run
from manyeyes.swarm.parl_dialogues import ALONE, MOST_ALONE, ParlAlone
from manyeyes.swarm.parl_environment import Parl, plan_of
from manyeyes.swarm.swarm_bench import least_steps

PARL, BENCH = "parl", "swarm_bench"
WIDE = "wide"
"""Held-out tables of recipe `tiny.parl`, and the first benchmark here."""
Mode = Literal["swarm", "alone"]
COMPARED = 0.2
"""Temperature of all agents that are compared."""
CALM: dict[str, Any] = {"sub_temperature": COMPARED}
"""Of the world that orchestrators are compared in."""
LONG_ANSWER = 1024
"""Tokens of an answer of an orchestrator that assigns twenty rows."""
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    WIDE: (PARL, {"families": {"wide": 1.0}, "rows": [4, 12]}),
    "deep": (PARL, {"families": {"deep": 1.0}, "rows": [4, 8]}),
    "wild": (BENCH, {"benchmark": "wild"}),
    "download": (BENCH, {"benchmark": "download"}),
    "read": (BENCH, {"benchmark": "read"}),
    "write": (BENCH, {"benchmark": "write"}),
}
"""Environment and options of the tasks by benchmark."""
BENCHMARKS = ("wild", "download", "read", "write")
"""Of Swarm Bench."""
CONTEXT = 4096
"""All that a tiny model has; one agent alone needs most of it."""


def orchestrated(run: RlRun) -> PlaceSpec:
    """The first place of a run whose agents may start others.

    Raises:
        ConfigError: there is none.
    """
    found = [place for place in run.places if place.environment == PARL]
    if not found:
        raise ConfigError(f"{run.name}: expected a place of environment {PARL!r}, got {_environments(run)}")
    return found[0]


def _environments(run: RlRun) -> str:
    return ", ".join(sorted({place.environment for place in run.places}))


def asked(
    run: RlRun, names: tuple[str, ...], *, mode: Mode, count: int, budget: int | None = None
) -> tuple[Measured, ...]:
    """Benchmarks as held-out tasks of a mode.

    Args:
        names: keys of `TASKS`.
        count: tasks of each.
        budget: critical steps of a swarm's episode, 0 for as many as it takes; that of the recipe when left out.
    """
    own = orchestrated(run)
    own_budget = {} if budget is None else {"budget": budget}
    world = own.world | CALM | ({"mode": "alone"} if mode == "alone" else own_budget)
    places = [
        replace(
            own, name=name, environment=TASKS[name][0], world=world, tasks=_options(name),
            answer_tokens=max(own.answer_tokens, LONG_ANSWER),
        )
        for name in names
    ]  # fmt: skip
    return tuple(Measured(place, count=count, quick=min(count, 8), temperature=COMPARED) for place in places)


def tables_of(run: RlRun) -> Measured:
    """The held-out tables of a run of PARL.

    Raises:
        ConfigError: it measures none under that name.
    """
    found = [one for one in run.measured if one.place.environment == PARL and one.name == WIDE]
    if not found:
        names = ", ".join(one.name for one in run.measured)
        raise ConfigError(f"{run.name}: expected held-out tables {WIDE!r} of environment {PARL!r}, it measures {names}")
    return found[0]


def to_compare(one: Measured, *, mode: Mode, count: int) -> Measured:
    """Held-out tasks of a run for a mode, and more of them; both get the same ones."""
    place, alone = one.place, {"mode": "alone"} if mode == "alone" else {}
    calm = replace(
        place, world=place.world | CALM | alone, tasks=place.tasks | {"budget": 0},
        answer_tokens=max(place.answer_tokens, LONG_ANSWER),
    )  # fmt: skip
    return replace(one, place=calm, temperature=COMPARED, count=count, quick=min(count, one.quick))


def temperatures(run: RlRun) -> str:
    """Who samples at which while a run is followed, for people."""
    calm = float(orchestrated(run).world.get("sub_temperature", Parl.sub_temperature))
    return f"orchestrators sample at temperature {run.evaluate_temperature:g}, their sub-agents at {calm:g}"


def steps_alone(work: Measuring) -> dict[str, float]:
    """Critical steps that one agent which never errs takes for the tasks of a measurement: the mean by place."""
    return {name: mean(least_steps(plan_of(task)) for task in tasks) for name, tasks in work.tasks().items()}


TAUGHT = "sft/parl_alone"
"""Source of fine-tuning in which one agent does the whole task."""


def taught_alone(tuning: Run) -> str:
    """What fine-tuning teaches an agent alone, for people."""
    drawn = {name for stage in tuning.stages for segment in stage.mixture.segments for name in segment.weights}
    if TAUGHT not in drawn:
        return f"{tuning.name} shows no agent that does a whole task alone"
    widest = ParlAlone(size=0).rows[1]
    families = ", ".join(f"{family} up to {min(widest, MOST_ALONE.get(family, widest))} rows" for family in ALONE)
    return f"{tuning.name} shows agents that do the whole task alone and to its end ({families})"


def _options(name: str) -> dict[str, Any]:
    """No budget that tasks have to exceed: both modes get the same ones."""
    environment, options = TASKS[name]
    return options | ({"budget": 0} if environment == PARL else {})
