"""Places of an `RlRun` by the names of registered environments: what is rolled out, and what is measured.

Report: §2.3 (domains by abilities), App. D (plug-ins composed by name).
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from inspect import isawaitable, signature
from typing import Any

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.environment import Environment
from manyeyes.agent.registry import Registry
from manyeyes.agent.task_source import TaskSource
from manyeyes.core.errors import ConfigError
from manyeyes.core.seeds import key
from manyeyes.recipes.rl_run import PlaceSpec, RlRun
from manyeyes.rl.curriculum import Curriculum
from manyeyes.rl.domains import Domain, Domains, Place


class Places:
    """The environments of a run, each made once; `close` ends what they hold.

    Args:
        registry: where names are looked up.

    Raises:
        ConfigError: a name or an option that is not known; before anything is made that needs closing.
    """

    def __init__(self, run: RlRun, registry: Registry | None = None) -> None:
        self.run, self.registry = run, registry or Registry()
        specs = [*run.places, *(one.place for one in run.measured)]
        for spec in specs:
            self.registry.maker("environments", spec.environment)
            self.registry.maker("task_sources", spec.environment)
        for one in run.measured:
            if not _knows_splits(self.registry, one.place):
                raise ConfigError(
                    f"measured {one.name}: the task source of {one.place.environment} takes no `split`, so held-out "
                    "tasks could be those that are learned from; give it one, or leave it unmeasured"
                )
        self._made: dict[str, Environment] = {}

    def domains(self, curriculum: Curriculum | None) -> Domains:
        """What is learned from."""
        places: defaultdict[str, list[Place]] = defaultdict(list)
        for spec in self.run.places:
            place = Place(spec.name, self.source(spec, "train"), self._episodes(spec), spec.weight)
            places[spec.domain].append(place)
        domains = [Domain(name, tuple(own), self.run.domains.get(name, 1.0)) for name, own in places.items()]
        return Domains(domains, seed=self.run.seed, curriculum=curriculum)

    def source(self, spec: PlaceSpec, split: str) -> TaskSource:
        """Its tasks. Raises ConfigError."""
        seed = key(self.run.seed, f"tasks/{spec.name}/{split}") >> 66
        return task_source_of(self.registry, spec, seed=seed, split=split)

    def episode(self, spec: PlaceSpec, *, temperature: float) -> Environment:
        """Its environment at a temperature. Raises ConfigError."""
        sampling = Sampling(temperature, 1.0, spec.answer_tokens, extra={"thinking": spec.thinking})
        return replace(self._environment(spec), sampling=sampling)

    async def close(self) -> None:
        """End sandboxes and browsers."""
        made, self._made = self._made, {}
        for environment in made.values():
            await _closed(environment)

    def _episodes(self, spec: PlaceSpec) -> Callable[[float], Any]:
        return lambda temperature: self.episode(spec, temperature=temperature)

    def _environment(self, spec: PlaceSpec) -> Environment:
        """Two places of the same environment and options share it, and what it holds."""
        name = f"{spec.environment} {sorted(spec.world.items(), key=str)}"
        if name not in self._made:
            self._made[name] = self.registry.environment(spec.environment, **spec.world)
        return self._made[name]


def task_source_of(registry: Registry, spec: PlaceSpec, *, seed: int, split: str) -> TaskSource:
    """The tasks of a place; one whose source knows no splits cannot be measured.

    Raises:
        ConfigError: there is none of that name, or it does not take these options.
    """
    splits = {"split": split} if _knows_splits(registry, spec) else {}
    return registry.task_source(spec.environment, seed=seed, **splits, **spec.tasks)


def _knows_splits(registry: Registry, spec: PlaceSpec) -> bool:
    return "split" in signature(registry.maker("task_sources", spec.environment)).parameters


async def _closed(environment: Any) -> None:
    close: Callable[[], Awaitable[None] | None] | None = getattr(environment, "close", None)
    if close is not None and isawaitable(closing := close()):
        await closing
