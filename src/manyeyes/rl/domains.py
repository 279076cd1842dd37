"""`Domains`: what a run learns from, by capability and not by modality; draws tasks by named streams.

    domains    knowledge, reasoning, coding, agentic, ...        drawn by weight
    places     of a domain: an environment with its tasks        drawn by weight; with pictures and without

Draw n depends on the seed, n, and which sources have ended, and on nothing else. A source that ends is dropped and
named in `ended`; weights of the others hold among themselves. When all have ended there is no draw.

Report: §2.3 ("we organize RL domains not by input modality but by abilities").
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from manyeyes.agent.task import Task
from manyeyes.agent.task_source import TaskSource
from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.core.seeds import stream
from manyeyes.rl.curriculum import Curriculum


@dataclass(frozen=True, slots=True)
class Place:
    """An environment and its tasks.

    Attributes:
        name: unique in its domain.
        tasks: where tasks come from; nobody else draws from it.
        episode: what attempts live through at a temperature: an `Environment`, a `TokenEnvironment`, an `Episode`.
        weight: among the places of the domain, above 0.
    """

    name: str
    tasks: TaskSource
    episode: Callable[[float], Any]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Domain:
    """A capability.

    Attributes:
        name: such as "reasoning".
        places: at least one.
        weight: among the domains, above 0.
    """

    name: str
    places: tuple[Place, ...]
    weight: float = 1.0


class Drawn(NamedTuple):
    """A task whose turn it is.

    Attributes:
        number: of the draw, from 0.
        key: "domain/place".
        task: to attempt.
        before: the source's state, from which its next task is this one.
    """

    number: int
    key: str
    task: Task
    before: dict[str, Any]

    @property
    def domain(self) -> str:
        """Its name."""
        return self.key.partition("/")[0]

    def plain(self) -> dict[str, Any]:
        """For a checkpoint; `Domains.again` reads it."""
        return {"number": self.number, "key": self.key, "before": self.before}


class Domains:
    """See the module.

    Args:
        seed: of the draws.
        curriculum: passes tasks over; None takes each as it comes.

    Attributes:
        number: of the next draw.
        ended: keys of sources that have no more tasks, in order.
        skipped: tasks that were passed over.

    Raises:
        ConfigError: nothing to draw from, names that are not unique or hold a "/", or a weight that is not above 0.
    """

    def __init__(self, domains: Sequence[Domain], *, seed: int, curriculum: Curriculum | None = None) -> None:
        self.domains, self.seed, self.curriculum = tuple(domains), seed, curriculum
        self.number, self.skipped = 0, 0
        self.ended: list[str] = []
        _require(self.domains)
        self._places = {f"{domain.name}/{place.name}": place for domain in self.domains for place in domain.places}

    def draw(self, *, step: int) -> Drawn | None:
        """The next task; None when all sources have ended.

        Args:
            step: of the run, for tasks that rest.
        """
        while alive := list(self._alive()):
            rng = stream(self.seed, "rl/domains", self.number, len(self.ended))
            domain, places = _chosen(alive, [domain.weight for domain, _ in alive], rng)
            place = _chosen(places, [place.weight for place in places], rng)
            key = f"{domain.name}/{place.name}"
            if (found := self._next(key, rng, step)) is not None:
                self.number += 1
                return found
            self.ended.append(key)
        return None

    def episode(self, drawn: Drawn, *, temperature: float) -> Any:
        """Where a drawn task is attempted."""
        return self._places[drawn.key].episode(temperature)

    def again(self, plain: Mapping[str, Any]) -> Drawn:
        """A draw of before, from what `Drawn.plain` gave.

        Raises:
            CheckpointError: its source is not there, or does not bring the task any more.
        """
        place = self._places.get(plain["key"])
        if place is None:
            raise CheckpointError(f"the checkpoint has attempts at tasks of {plain['key']!r}, which this run has not")
        now = place.tasks.state()
        place.tasks.restore(plain["before"])
        task = place.tasks.next()
        place.tasks.restore(now)
        if task is None:
            raise CheckpointError(f"{plain['key']} has no task at {plain['before']} any more; were its tasks changed?")
        return Drawn(plain["number"], plain["key"], task, plain["before"])

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        sources = {key: place.tasks.state() for key, place in self._places.items()}
        return {"number": self.number, "skipped": self.skipped, "ended": list(self.ended), "sources": sources}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What `state_dict` gave.

        Raises:
            CheckpointError: other domains or places. ConfigError: a source has other tasks.
        """
        if state["sources"].keys() != self._places.keys():
            raise CheckpointError(
                f"the checkpoint draws from {', '.join(state['sources'])}, this run from {', '.join(self._places)}; "
                "go on with the domains it began with"
            )
        for key, place in self._places.items():
            place.tasks.restore(state["sources"][key])
        self.number, self.skipped, self.ended = int(state["number"]), int(state["skipped"]), list(state["ended"])

    def _alive(self) -> Iterator[tuple[Domain, list[Place]]]:
        for domain in self.domains:
            if places := [place for place in domain.places if f"{domain.name}/{place.name}" not in self.ended]:
                yield domain, places

    def _next(self, key: str, rng: np.random.Generator, step: int) -> Drawn | None:
        tasks, curriculum = self._places[key].tasks, self.curriculum
        left = curriculum.rule.most_skips if curriculum is not None else 0
        while True:
            before = tasks.state()
            if (task := tasks.next()) is None:
                return None
            if curriculum is None or not left or rng.random() < curriculum.weight(task.id, step=step):
                return Drawn(self.number, key, task, before)
            left -= 1
            self.skipped += 1


T = TypeVar("T")


def _chosen(options: Sequence[T], weights: Sequence[float], rng: np.random.Generator) -> T:
    shares = np.array(weights, np.float64)
    return options[int(rng.choice(len(options), p=shares / shares.sum()))]


def _require(domains: Sequence[Domain]) -> None:
    if not domains or not all(domain.places for domain in domains):
        raise ConfigError("an RL run draws from at least one domain, and each needs at least one place")
    named: list[Sequence[Domain] | Sequence[Place]] = [domains, *(domain.places for domain in domains)]
    for ones in named:
        names = [one.name for one in ones]
        if len(set(names)) != len(names) or any(not name or "/" in name for name in names):
            raise ConfigError(f"names of domains and places must differ and hold no '/', got {', '.join(names)}")
        if any(not 0 < one.weight < float("inf") for one in ones):
            raise ConfigError(f"weights of {', '.join(names)} must be above 0 and finite")
