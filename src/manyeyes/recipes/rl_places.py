"""Places of an `RlRun` by the names of registered environments: what is rolled out, and what is measured.

Report: §2.3 (domains by abilities), App. D (plug-ins composed by name).
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import replace
from inspect import isawaitable
from typing import Any, Literal, NamedTuple

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.environment import Environment
from manyeyes.agent.registry import Registry
from manyeyes.agent.task_source import TaskSource
from manyeyes.core.errors import ConfigError
from manyeyes.core.seeds import key
from manyeyes.recipes.rl_checks import check_places, is_looked_at, takes
from manyeyes.recipes.rl_parts import Measured, PlaceSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.rl.curriculum import Curriculum
from manyeyes.rl.domains import Domain, Domains, Place

Split = Literal["train", "test"]


class TaskSet(NamedTuple):
    """The tasks of a place that are learned from, or those that are held out; of a known number."""

    spec: PlaceSpec
    split: Split

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"{self.split}/{self.spec.name}"


class Places:
    """The environments of a run, each made once; `close` ends what they hold.

    Args:
        registry: where names are looked up.

    Attributes:
        dropped: ids of tasks that nobody is asked, by name of their set.

    Raises:
        ConfigError: a name that is not known, or a place that cannot be measured; before anything is made.
    """

    def __init__(self, run: RlRun, registry: Registry | None = None) -> None:
        self.run, self.registry = run, registry or Registry()
        check_places(run, self.registry)
        self.dropped: dict[str, Collection[str]] = {}
        self._made: dict[str, Environment] = {}

    def domains(self, curriculum: Curriculum | None) -> Domains:
        """What is learned from."""
        places: defaultdict[str, list[Place]] = defaultdict(list)
        for spec in self.run.places:
            place = Place(spec.name, self.source(spec, "train"), self._episodes(spec), spec.weight)
            places[spec.domain].append(place)
        domains = [Domain(name, tuple(own), self.run.domains.get(name, 1.0)) for name, own in places.items()]
        return Domains(domains, seed=self.run.seed, curriculum=curriculum)

    def looked_at(self) -> Iterator[TaskSet]:
        """Tasks that a blind policy is to be asked: of places that can show blank pictures; none without the rule."""
        if self.run.blind is None:
            return
        for spec in self.run.places:
            if is_looked_at(self.registry, spec):
                yield TaskSet(spec, "train")
        for one in self.run.measured:
            if is_looked_at(self.registry, one.place):
                yield TaskSet(_of_size(one), "test")

    def held_out(self, one: Measured) -> TaskSource:
        """Its tasks; where a blind policy is asked first, so many as it was asked, less what is dropped."""
        counted = self.run.blind is not None and is_looked_at(self.registry, one.place)
        return self.source(_of_size(one) if counted else one.place, "test")

    def source(self, spec: PlaceSpec, split: Split) -> TaskSource:
        """Its tasks: those of a seed, whatever the run is called, so that two arms of an experiment meet the same.

        Raises:
            ConfigError: an option that it does not take, or every task is dropped.
        """
        seed = key(self.run.seed, f"tasks/{spec.name}/{split}") >> 66
        if dropped := self.dropped.get(f"{split}/{spec.name}"):
            spec = replace(spec, tasks=spec.tasks | {"dropped": tuple(sorted(dropped))})
        return task_source_of(self.registry, spec, seed=seed, split=split)

    def episode(self, spec: PlaceSpec, *, temperature: float) -> Environment:
        """Its environment at a temperature. Raises ConfigError."""
        sampling = Sampling(temperature, 1.0, spec.answer_tokens, extra={"thinking": spec.thinking})
        return replace(self._environment(spec), sampling=sampling)

    def blind_episode(self, spec: PlaceSpec, *, temperature: float) -> Environment:
        """The same with blank pictures. Raises ConfigError."""
        return self.episode(replace(spec, world=spec.world | {"blind": True}), temperature=temperature)

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


def _of_size(one: Measured) -> PlaceSpec:
    return replace(one.place, tasks=one.place.tasks | {"size": one.count, "epochs": 1})


async def _closed(environment: Any) -> None:
    close: Callable[[], Awaitable[None] | None] | None = getattr(environment, "close", None)
    if close is not None and isawaitable(closing := close()):
        await closing
