"""`check_rl`: what can be said of an RL run before anything of it exists: fields that contradict, names nobody knows.

A field alone is checked when it is set; what two of them say together is checked here, so that overrides may come in
any order. `manyeyes run` asks before it makes a folder, and so does a dry run. Needs no torch.

Report: App. D (plug-ins composed by name).
"""

import difflib
from collections.abc import Iterable
from inspect import signature

from manyeyes.agent.registry import Registry
from manyeyes.core.errors import ConfigError
from manyeyes.recipes.rl_parts import PlaceSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.sources import SOURCES


def check_rl(run: RlRun, registry: Registry | None = None) -> None:
    """Fields together, then names.

    Raises:
        ConfigError: what does not fit, or is not known.
    """
    _check_lengths(run)
    _check_steps(run)
    if bool(run.engine) != bool(run.engine_weights):
        raise ConfigError(
            f"{run.name}: engine and engine_weights go together: the address of `manyeyes serve`, and the folder that "
            f"it was given as --weights-root; got {run.engine!r} and {run.engine_weights!r}"
        )
    check_places(run, registry or Registry())
    if run.ptx is not None:
        require_sources(run.ptx.sources, where=f"{run.name}, ptx")


def check_places(run: RlRun, registry: Registry) -> None:
    """Environments and task sources by name, and that held-out tasks are others than those that are learned from.

    Raises:
        ConfigError: a name that is not known, or a place that cannot be measured or filtered.
    """
    for spec in (*run.places, *(one.place for one in run.measured)):
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


def is_looked_at(registry: Registry, spec: PlaceSpec) -> bool:
    """Whether a place can be asked without its pictures, and its tasks be dropped."""
    makes_blind = "blind" in signature(registry.maker("environments", spec.environment)).parameters
    return makes_blind and takes(registry, spec, "dropped")


def takes(registry: Registry, spec: PlaceSpec, option: str) -> bool:
    """Whether a place's task source has an option."""
    return option in signature(registry.maker("task_sources", spec.environment)).parameters


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
    if run.quorum is not None and not 1 <= run.quorum <= run.attempts:
        raise ConfigError(f"{run.name}: quorum is between 1 and attempts={run.attempts}, got {run.quorum}")


def _check_steps(run: RlRun) -> None:
    if run.toggle is not None and run.steps % (2 * run.toggle.every):
        raise ConfigError(
            f"{run.name}: Toggle's two phases of {run.toggle.every} steps take turns, so steps is a multiple of "
            f"{2 * run.toggle.every}, got {run.steps}; set steps, or toggle.every"
        )
    if late := [one.from_step for one in run.frozen if one.from_step >= run.steps]:
        raise ConfigError(f"{run.name}: a frozen checkpoint from step {late[0]} never answers in {run.steps} steps")
    if run.frozen and run.frozen_model and run.frozen[0].from_step == 0:
        raise ConfigError(f"{run.name}: frozen_model and a frozen checkpoint from step 0 are two first ones; keep one")
