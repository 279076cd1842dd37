"""What an `RlRun` is put together from: places, held-out tasks, an auxiliary loss, frozen sub-agents, a blind filter.

Report: §2.3 (domains by abilities), §3 (frozen sub-agents), §4.4.2.
"""

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PlaceSpec:
    """An environment with its tasks.

    Attributes:
        name: unique in the run, without "/".
        domain: the capability that it belongs to.
        environment: registered name of the environment and of its task source (`manyeyes rollout` lists them).
        world: options of the environment.
        tasks: options of the task source; `seed` and `split` are the run's to give.
        weight: among the places of its domain.
        thinking: whether the model reasons before it answers.
        answer_tokens: of one answer, at most.
    """

    name: str
    domain: str
    environment: str
    world: dict[str, Any] = field(default_factory=dict)
    tasks: dict[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    thinking: bool = False
    answer_tokens: int = 64

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or not self.domain or "/" in self.domain:
            raise ConfigError(f"a place needs a name and a domain without '/', got {self.name!r} of {self.domain!r}")
        if own := sorted({"seed", "split"} & self.tasks.keys()):
            raise ConfigError(
                f"place {self.name}: {' and '.join(own)} of its tasks is the run's to give (tasks differ by the run's "
                'seed; those of the split "test" are measured); leave it out'
            )
        if not 0 < self.weight < inf or self.answer_tokens < 1:
            raise ConfigError(
                f"place {self.name}: weight must be above 0 and answer_tokens at least 1, got {self.weight} and "
                f"{self.answer_tokens}"
            )


@dataclass(frozen=True, slots=True)
class Measured:
    """Held-out tasks of a place that are scored.

    Attributes:
        place: where; its tasks are those of the split "test".
        count: tasks that are asked before the first step, behind the last one, and where Toggle's last unconstrained
            phase ends.
        quick: tasks that are asked in between; a part of these.
        attempts: at each of them.
        temperature: of the attempts; None for the run's `evaluate_temperature`.
    """

    place: PlaceSpec
    count: int = 200
    quick: int = 64
    attempts: int = 1
    temperature: float | None = None

    @property
    def name(self) -> str:
        """That of its place."""
        return self.place.name

    def __post_init__(self) -> None:
        if self.count < 1 or not 1 <= self.quick <= self.count or self.attempts < 1:
            raise ConfigError(
                f"measured {self.place.name}: count and attempts must be at least 1 and quick between 1 and count, got "
                f"{self.count}, {self.attempts} and {self.quick}"
            )
        if self.temperature is not None and not 0 <= self.temperature < inf:
            raise ConfigError(f"measured {self.place.name}: expected a temperature of 0 or more, {self.temperature=}")


@dataclass(frozen=True, slots=True)
class PtxSpec:
    """Language modelling beside RL, against forgetting (`rl.ptx`).

    Attributes:
        sources: registered sources with their weights.
        weight: of the loss.
        rows: packed rows of a batch.
    """

    sources: dict[str, float]
    weight: float = 0.1
    rows: int = 2

    def __post_init__(self) -> None:
        if not self.sources or not all(0 < weight < inf for weight in self.sources.values()):
            raise ConfigError(f"the auxiliary loss needs sources with weights above 0, got {self.sources}")
        if not 0 < self.weight < inf or self.rows < 1:
            raise ConfigError(
                f"the auxiliary loss needs a weight above 0 and at least one row, got {self.weight} and {self.rows}; "
                "ptx=null leaves it out"
            )


@dataclass(frozen=True, slots=True)
class Frozen:
    """A checkpoint of sub-agents, from a step on: a small one first, then a larger one (report §3).

    Attributes:
        from_step: finished steps from which it answers.
        model: its checkpoint folder.
    """

    from_step: int
    model: str

    def __post_init__(self) -> None:
        if self.from_step < 0 or not self.model:
            raise ConfigError(f"frozen sub-agents need a step of 0 or more and a model, got {self}")


@dataclass(frozen=True, slots=True)
class BlindRule:
    """Tasks of training that are solved without their picture are dropped (`recipes.rl_blind`).

    Attributes:
        attempts: of the policy that the run starts from, at each task, with a blank picture.
        right: the least reward of a solution.
        share: a task that is solved in so many of its attempts, or more, is dropped.
    """

    attempts: int = 2
    right: float = 0.9
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 < self.share <= 1 or not isfinite(self.right):
            raise ConfigError(
                f"the blind filter needs at least one attempt, a share above 0 up to 1, and a finite reward, got {self}"
            )
