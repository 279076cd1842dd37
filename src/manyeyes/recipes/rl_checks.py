"""`check_rl`: what can be said of an RL run before anything of it exists: fields that contradict, names nobody knows.

A field alone is checked when it is set; what two of them say together is checked here, so that overrides may come in
any order. `manyeyes run` asks before it makes a folder, and so does a dry run.

Report: App. D (plug-ins composed by name).
"""

import difflib
from collections.abc import Iterable

from manyeyes.agent.registry import Registry
from manyeyes.core.errors import ConfigError
from manyeyes.recipes.rl_parts import PlaceSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.rl_sources import Split, is_looked_at, require_place, takes
from manyeyes.recipes.sources import SOURCES
from manyeyes.swarm.parl_environment import BUDGET, Parl

PARL = "parl"
"""Environment whose tasks are verified to exceed what one agent can do."""


def check_rl(run: RlRun, registry: Registry | None = None, *, tasks: bool = True) -> None:
    """Fields together, then names and options.

    Args:
        tasks: whether every place is made once and asked for a task. A run that is executed makes them itself, and so
            does a dry run, which goes on where a package is missing.

    Raises:
        ConfigError: what does not fit, or is not known.
    """
    _check_lengths(run)
    _check_steps(run)
    _check_objective(run)
    require_exceeded(run.places)
    if bool(run.engine) != bool(run.engine_weights):
        raise ConfigError(
            f"{run.name}: engine and engine_weights go together: the address of `manyeyes serve`, and the folder that "
            f"it was given as --weights-root; got {run.engine!r} and {run.engine_weights!r}"
        )
    registry = registry or Registry()
    check_places(run, registry)
    if run.ptx is not None:
        require_sources(run.ptx.sources, where=f"{run.name}, ptx")
    if tasks:
        require_places(run, registry)


def check_places(run: RlRun, registry: Registry) -> None:
    """Environments and task sources by name, and that held-out tasks are others than those that are learned from.

    Raises:
        ConfigError: a name that is not known, or a place that cannot be measured or filtered.
    """
    for spec, _ in places_of(run):
        registry.maker("environments", spec.environment)
        registry.maker("task_sources", spec.environment)
    for one in run.measured:
        if not takes(registry, one.place, "split"):
            raise ConfigError(
                f"measured {one.name}: the task source of {one.place.environment} takes no `split`, so held-out tasks "
                "could be those that are learned from; give it one, or leave it unmeasured"
            )
    for spec in run.places if run.blind is not None else ():
        if is_looked_at(registry, spec) and not spec.tasks.get("size"):
            raise ConfigError(
                f"place {spec.name}: tasks that are solved without their picture are found before the run, so there "
                f"must be so many: set places.{spec.name}.tasks.size, or blind=null"
            )


def require_places(run: RlRun, registry: Registry) -> None:
    """Every place has a task, and takes its options. Raises ConfigError."""
    for spec, split in places_of(run):
        require_place(registry, spec, split)


def require_exceeded(learned: Iterable[PlaceSpec]) -> None:
    """Tasks that an orchestrator learns from are more than it can do alone within its own budget of critical steps.

    They are verified against the budget of the tasks, and an episode has that of the environment. Held-out tasks may be
    others: nobody learns from them to work alone.

    Raises:
        ConfigError: an episode's budget is larger than the verified one, or one of the two is no limit.
    """
    for spec in learned:
        if spec.environment != PARL or spec.world.get("mode", Parl.mode) == "alone":
            continue
        episode, verified = spec.world.get("budget", Parl.budget), spec.tasks.get("budget", BUDGET)
        if not 0 < episode <= verified:
            raise ConfigError(
                f"place {spec.name}: one agent may be able to do its tasks alone: an episode has {episode} critical "
                f"steps (0: as many as it takes), and tasks are verified to exceed {verified} (0: nothing is); set "
                f"places.{spec.name}.tasks.budget to places.{spec.name}.world.budget or more, and neither to 0"
            )


def places_of(run: RlRun) -> list[tuple[PlaceSpec, Split]]:
    """All that a run learns from and is measured on."""
    train: list[tuple[PlaceSpec, Split]] = [(spec, "train") for spec in run.places]
    return train + [(one.place, "test") for one in run.measured]


def require_sources(names: Iterable[str], *, where: str) -> None:
    """Registered sources of text.

    Raises:
        ConfigError: one that nobody has registered.
    """
    for name in names:
        if name not in SOURCES:
            near = difflib.get_close_matches(name, [info.name for info in SOURCES], n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "`examples/list_sources.py` lists them all"
            raise ConfigError(f"{where}: no source named {name!r}; {hint}")


def _check_lengths(run: RlRun) -> None:
    if run.context > run.row_length:
        raise ConfigError(
            f"{run.name}: a conversation of {run.context} tokens does not fit a row of {run.row_length}; set context "
            "to the row length at most, or raise row_length"
        )
    for spec in (*run.places, *(one.place for one in run.measured)):
        if spec.answer_tokens >= run.longest:
            raise ConfigError(
                f"place {spec.name}: answers of {spec.answer_tokens} tokens leave no room for a prompt in a "
                f"conversation of {run.longest}; lower its answer_tokens or raise the context"
            )
    if run.cache_tokens < run.longest:
        raise ConfigError(
            f"{run.name}: cache_tokens must hold a conversation of {run.longest} tokens, got {run.cache_tokens}"
        )
    if run.quorum is not None and not 1 <= run.quorum <= run.attempts:
        raise ConfigError(f"{run.name}: quorum is between 1 and attempts={run.attempts}, got {run.quorum}")


def _check_objective(run: RlRun) -> None:
    from manyeyes.recipes.rl_objectives import objective_of  # loads torch, which takes seconds

    objective_of(run.objective, run.objective_options)


def _check_steps(run: RlRun) -> None:
    if run.toggle is not None and (run.steps % run.toggle.every or run.steps // run.toggle.every % 2 == 0):
        every = run.toggle.every
        near = (run.steps // (2 * every) * 2 + 1) * every
        raise ConfigError(
            f"{run.name}: Toggle begins and ends with a brief phase of {every} steps, so steps is an odd multiple of "
            f"{every}, got {run.steps}; set steps={near}, or toggle.every"
        )
    if late := [one.from_step for one in run.frozen if one.from_step >= run.steps]:
        raise ConfigError(f"{run.name}: a frozen checkpoint from step {late[0]} never answers in {run.steps} steps")
    if run.frozen and run.frozen_model and run.frozen[0].from_step == 0:
        raise ConfigError(f"{run.name}: frozen_model and a frozen checkpoint from step 0 are two first ones; keep one")
