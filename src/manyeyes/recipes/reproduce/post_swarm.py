"""What is asked of orchestrators: places of recipe `tiny.parl`, alone and as a swarm, on its tables and on Swarm Bench.

    swarm    the recipe's own environment: sub-agents, a budget of critical steps
    alone    the same tasks for the same model without sub-agents, with as many steps as it takes

Report: §3, §5.2.
"""

from dataclasses import replace
from typing import Any, Literal

from manyeyes.core.errors import ConfigError
from manyeyes.recipes.rl_run import Measured, PlaceSpec, RlRun

PARL, BENCH = "parl", "swarm_bench"
Mode = Literal["swarm", "alone"]
LONG_ANSWER = 1024
"""Tokens of an answer of an orchestrator that assigns twenty rows."""
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "wide": (PARL, {"families": {"wide": 1.0}, "rows": [4, 12]}),
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


def asked(run: RlRun, names: tuple[str, ...], *, mode: Mode, count: int) -> tuple[Measured, ...]:
    """Benchmarks as held-out tasks of a mode.

    Args:
        names: keys of `TASKS`.
        count: tasks of each.
    """
    own = orchestrated(run)
    world = own.world | ({"mode": "alone"} if mode == "alone" else {})
    places = [
        replace(
            own, name=name, environment=TASKS[name][0], world=world, tasks=_options(name),
            answer_tokens=max(own.answer_tokens, LONG_ANSWER),
        )
        for name in names
    ]  # fmt: skip
    return tuple(Measured(place, count=count, quick=min(count, 8)) for place in places)


def _options(name: str) -> dict[str, Any]:
    """No budget that tasks have to exceed: both modes get the same ones."""
    environment, options = TASKS[name]
    return options | ({"budget": 0} if environment == PARL else {})
