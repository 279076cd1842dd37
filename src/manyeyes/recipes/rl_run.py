"""`RlRun`: the configuration of a whole run of reinforcement learning, as data. Recipes are functions that return one.

    places      environments by their registered names, each with its tasks, by capability
    measured    the same for held-out tasks, scored while the run trains

Everything in it is plain data, so it is written to `config.json` and read back from there, and any field can be set
from the command line.

Report: §2.3, §4.4.2.
"""

import dataclasses
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

import msgspec

from manyeyes.core.errors import ConfigError
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.rl.advantage import AdvantageRule
from manyeyes.rl.curriculum import CurriculumRule
from manyeyes.rl.temperature import TemperatureSchedule
from manyeyes.rl.toggle import ToggleRule
from manyeyes.swarm.parl import ParlRule

Learner = Literal["vision_tower", "mm_projector", "language_model"]
LEARNERS: tuple[Learner, ...] = ("vision_tower", "mm_projector", "language_model")
ObjectiveName = Literal["eq1", "grpo", "gspo", "icepop", "k15"]


@dataclass(frozen=True, slots=True)
class PlaceSpec:
    """An environment with its tasks.

    Attributes:
        name: unique in the run, without "/".
        domain: the capability that it belongs to.
        environment: registered name of the environment and of its task source (`manyeyes rollout` lists them).
        world: options of the environment.
        tasks: options of the task source, beside `seed` and `split`.
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
        count: tasks that are asked before the first step and behind the last one.
        quick: tasks that are asked in between; a part of these.
        attempts: at each of them.
    """

    place: PlaceSpec
    count: int = 200
    quick: int = 64
    attempts: int = 1

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


@dataclass(frozen=True, slots=True)
class RlRun:
    """Everything that determines what a run computes.

    Attributes:
        name: of the recipe.
        about: one line for `manyeyes recipes`.
        hardware: what it needs and how long it takes there.
        after: the recipe whose newest finished run it goes on from, where `start_model` names nothing.
        start_model: checkpoint folder that it starts from.
        frozen_model: checkpoint folder of sub-agents that are not trained; "" for the one that it starts from.
        places: what is learned from; domains are drawn by `domains`, a domain's places by their weights.
        domains: weights by capability; 1 for those that are not named.
        measured: held-out tasks.
        loop: synchronous, or one step off (`rl.async_loop`).
        steps: batches that are learned from.
        groups: tasks of a batch.
        attempts: at each task.
        quorum: attempts with a verdict that make a group complete; all when left out.
        row_length: tokens of a packed row; an attempt's branch must fit it.
        micro_rows: rows in one forward and backward pass.
        context: tokens of a conversation at most; 0 for the row length.
        objective: `rl.objective` (Eq. 1) or one of those beside it.
        objective_options: its fields, such as {"tau": 0.01}.
        advantage: baseline and scale.
        schedule: learning rate by updates.
        temperature: of rollouts by updates.
        toggle: None leaves rewards as they are.
        curriculum: None takes tasks as they come.
        parl: how rewards of orchestrators are put together, by updates; None takes the judge's.
        ptx: None for no auxiliary loss.
        drop_equal: leave groups of equal rewards out of the batch.
        least_told: groups of unequal rewards that an update needs.
        trainable: components that learn; the others keep their weights.
        optimizer, gradient_norm, bias_rate: of an update.
        max_staleness: versions that a token may be behind, in the asynchronous loop.
        evaluate_every: steps between measurements in between; 0 measures before the first step and behind the last.
        evaluate_temperature: of attempts that are measured.
        checkpoint_every: steps.
        running: attempts at once.
        cache_tokens: of the engine.
        invariant: whether what is rolled out depends to the last bit on weights and requests alone, so that a
            synchronous run that was killed ends with the same weights (`EngineConfig`). None: where the engine's
            kernels are to be had, on a CPU with a compiler; the log's "start" says what it came to.
        keep_trajectories: whether the run folder keeps what was rolled out; needed for exact resume within a step.
        seed: of every random stream.
    """

    name: str
    about: str
    hardware: str
    places: tuple[PlaceSpec, ...]
    after: str = ""
    start_model: str = ""
    frozen_model: str = ""
    domains: dict[str, float] = field(default_factory=dict)
    measured: tuple[Measured, ...] = ()
    loop: Literal["sync", "async"] = "sync"
    steps: int = 100
    groups: int = 16
    attempts: int = 8
    quorum: int | None = None
    row_length: int = 512
    micro_rows: int = 4
    context: int = 0
    objective: ObjectiveName = "eq1"
    objective_options: dict[str, Any] = field(default_factory=dict)
    advantage: AdvantageRule = field(default_factory=AdvantageRule)
    schedule: Schedule = field(default_factory=lambda: Schedule(peak=5e-4, warmup=5, decay=0.0))
    temperature: TemperatureSchedule = field(default_factory=TemperatureSchedule)
    toggle: ToggleRule | None = None
    curriculum: CurriculumRule | None = None
    parl: ParlRule | None = None
    ptx: PtxSpec | None = None
    drop_equal: bool = False
    least_told: int = 1
    trainable: tuple[Learner, ...] = LEARNERS
    optimizer: MuonClipConfig = field(default_factory=MuonClipConfig)
    gradient_norm: float = 1.0
    bias_rate: float = 1e-3
    max_staleness: int = 1
    evaluate_every: int = 0
    evaluate_temperature: float = 1.0
    checkpoint_every: int = 10
    running: int = 256
    cache_tokens: int = 131_072
    invariant: bool | None = None
    keep_trajectories: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for names in ([place.name for place in self.places], [one.name for one in self.measured]):
            if len(set(names)) != len(names):
                raise ConfigError(f"{self.name}: names of places must differ, got {', '.join(names)}")
        if not self.places:
            raise ConfigError(f"{self.name}: an RL run needs at least one place to learn from")
        if not self.trainable or len(set(self.trainable)) != len(self.trainable):
            raise ConfigError(f"{self.name}: trainable names some of {', '.join(LEARNERS)}, each once")
        if unknown := self.domains.keys() - {place.domain for place in self.places}:
            raise ConfigError(f"{self.name}: no place belongs to the domain {', '.join(sorted(unknown))}")
        least = {"steps": 1, "groups": 1, "attempts": 1, "row_length": 2, "micro_rows": 1, "context": 0, "running": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ConfigError(f"{self.name}: {name} must be at least {smallest}, got {getattr(self, name)}")
        if self.evaluate_every < 0 or self.evaluate_temperature < 0:
            raise ConfigError(f"{self.name}: evaluate_every and evaluate_temperature must not be negative")

    def to_json(self) -> dict[str, Any]:
        """As plain data; "kind" tells it from the configuration of other runs."""
        return {"kind": "rl"} | msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RlRun":
        """Reads `to_json`'s data.

        Raises:
            ConfigError: it was written by another version, or by hand and wrongly.
        """
        try:
            return msgspec.convert({key: value for key, value in data.items() if key != "kind"}, type=cls)
        except msgspec.ValidationError as error:
            raise ConfigError(f"config.json is not an RL run of this version: {error}") from None

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes what is computed; descriptions and cadences do not."""
        data = self.to_json()
        for passive in ("about", "hardware", "checkpoint_every", "measured", "evaluate_every", "evaluate_temperature"):
            data.pop(passive)
        return fingerprint_of(data)

    def shortened(self, share: float) -> "RlRun":
        """The same run with fewer steps, at least one (for tests and quick looks)."""
        return dataclasses.replace(self, steps=max(1, round(self.steps * share)))
