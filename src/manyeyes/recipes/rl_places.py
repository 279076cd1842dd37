"""Places of an `RlRun` by the names of registered environments: what is rolled out, and what is measured.

Report: §2.3 (domains by abilities), App. D (plug-ins composed by name).
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import replace
from inspect import isawaitable
from typing import Any

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.environment import Environment
from manyeyes.agent.registry import Registry
from manyeyes.agent.task_source import TaskSource
from manyeyes.core.seeds import key
from manyeyes.recipes.rl_checks import check_places
from manyeyes.recipes.rl_parts import Measured, PlaceSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.rl_sources import Split, is_looked_at, lacking, shows_pictures, task_source_of
from manyeyes.rl.curriculum import Curriculum
from manyeyes.rl.domains import Domain, Domains, Place

READY = "ready"
"""Method of environments that share something (`AttemptEnvironment.ready`); not all have one."""


LOOKED_AT = 32
"""Tasks of a place that are looked at for pictures."""


class Places:
    """The environments of a run, each made once; `close` ends what they hold.

    Args:
        registry: where names are looked up.

    Attributes:
        dropped: ids of tasks that are not learned from, by name of their place.

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

    def looked_at(self) -> Iterator[PlaceSpec]:
        """Places of training that a blind policy is to be asked: that can show blank pictures; none without the rule.

        Held-out sets stay whole: without the tasks that a policy of before has guessed, guessing would seem to be worth
        less than it is, and whatever comes after it more.
        """
        if self.run.blind is not None:
            yield from (spec for spec in self.run.places if is_looked_at(self.registry, spec))

    def not_looked_at(self) -> Iterator[str]:
        """Places of training that show pictures and are not filtered, and why, for people; none without the rule.

        Raises:
            ConfigError: an option of the place that is not known.
        """
        for spec in self.run.places if self.run.blind is not None else ():
            lacks = lacking(self.registry, spec)
            if lacks and self._shows_pictures(spec):
                yield f"{spec.name}: shows pictures and is not filtered: {' and '.join(lacks)}"

    def _shows_pictures(self, spec: PlaceSpec) -> bool:
        """Whether one of its first tasks does."""
        source, environment = self.source(spec, "train"), self._environment(spec)
        tasks = (source.next() for _ in range(LOOKED_AT))
        return any(shows_pictures(environment, task) for task in tasks if task is not None)

    def held_out(self, one: Measured) -> TaskSource:
        """Its tasks, all of them. Raises ConfigError."""
        return self.source(one.place, "test")

    def source(self, spec: PlaceSpec, split: Split) -> TaskSource:
        """Its tasks.

        Those of training are the recipe's own by its name, so that a recipe does not learn again what the one before it
        has learned, and two arms of an experiment, which have one name, meet the same. Held-out ones are those of the
        seed and the place, whoever asks.

        Raises:
            ConfigError: an option that it does not take, or every task is dropped.
        """
        own = f"{self.run.name}/{spec.name}" if split == "train" else spec.name
        seed = key(self.run.seed, f"tasks/{own}/{split}") >> 66
        if split == "train" and (dropped := self.dropped.get(spec.name)):
            spec = replace(spec, tasks=spec.tasks | {"dropped": tuple(sorted(dropped))})
        return task_source_of(self.registry, spec, seed=seed, split=split)

    async def ready(self) -> None:
        """Before the first attempt: find out whether what environments need works here, such as a sandbox.

        Raises:
            ManyeyesError: it does not; the message says what to do.
        """
        specs = (*self.run.places, *(one.place for one in self.run.measured))
        for environment in {id(one): one for one in map(self._environment, specs)}.values():
            ready: Callable[[], Awaitable[None]] | None = getattr(environment, READY, None)
            if ready is not None:
                await ready()

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


async def _closed(environment: Any) -> None:
    close: Callable[[], Awaitable[None] | None] | None = getattr(environment, "close", None)
    if close is not None and isawaitable(closing := close()):
        await closing
