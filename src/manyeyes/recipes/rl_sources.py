"""Task sources of places by their registered names: what they take, and whether there is a task.

Report: App. D (task sources of an environment, plug-ins composed by name). Needs no torch.
"""

from inspect import signature
from typing import Literal

from manyeyes.agent.environment import Environment
from manyeyes.agent.registry import Registry
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import TaskSource
from manyeyes.core.errors import ConfigError
from manyeyes.recipes.rl_parts import PlaceSpec

Split = Literal["train", "test"]


def takes(registry: Registry, spec: PlaceSpec, option: str) -> bool:
    """Whether a place's task source has an option."""
    return option in signature(registry.maker("task_sources", spec.environment)).parameters


def is_looked_at(registry: Registry, spec: PlaceSpec) -> bool:
    """Whether a place can be asked without its pictures, and its tasks be dropped."""
    return not lacking(registry, spec)


def lacking(registry: Registry, spec: PlaceSpec) -> list[str]:
    """What a place lacks to be filtered, for people; nothing where it can be."""
    blind = "blind" in signature(registry.maker("environments", spec.environment)).parameters
    told = [] if blind else ["its environment takes no `blind`"]
    return told if takes(registry, spec, "dropped") else [*told, "its task source takes no `dropped`"]


def shows_pictures(environment: Environment, task: Task) -> bool:
    """Whether an attempt begins with pictures. One whose prompt is not there before it begins may: it opens a screen.

    What only tools bring later is not known.
    """
    here, shown, _ = environment.drawn(task, seed=0, name=f"{task.id}/look")
    try:
        return any(message.media for message in here.prompt(shown))
    except ConfigError:
        return True


def task_source_of(registry: Registry, spec: PlaceSpec, *, seed: int, split: Split) -> TaskSource:
    """The tasks of a place; one whose source knows no splits cannot be measured.

    Raises:
        ConfigError: there is none of that name, it does not take these options, or it has no task; it names the place.
    """
    splits = {"split": split} if takes(registry, spec, "split") else {}
    try:
        return registry.task_source(spec.environment, seed=seed, **splits, **spec.tasks)
    except ConfigError as error:
        raise type(error)(f"place {spec.name}: {error}") from error


def require_place(registry: Registry, spec: PlaceSpec, split: Split) -> None:
    """Make a place's tasks and its environment once, and ask for one task.

    Raises:
        ConfigError: an option that is not known or out of range, or no task. MissingPackage: it is not installed.
    """
    if task_source_of(registry, spec, seed=0, split=split).next() is None:
        raise ConfigError(f"place {spec.name}: its task source has no task ({split}); check {spec.tasks}")
    try:
        registry.environment(spec.environment, **spec.world)
    except ConfigError as error:
        raise type(error)(f"place {spec.name}: {error}") from error
