"""`RlConfig`: what holds for a whole run of reinforcement learning, synchronous or not.

    step       one batch of groups is taken and, where it teaches anything, learned from; versions count steps
    update     a step of the optimiser; schedules and temperatures count updates, Toggle's phases steps

Report: §4.4.2.
"""

from dataclasses import dataclass, field

from manyeyes.core.errors import ConfigError
from manyeyes.optim.schedule import Schedule
from manyeyes.rl.logprobs import SampledFrom
from manyeyes.rl.sample_rules import SampleRules
from manyeyes.rl.step import StepRules
from manyeyes.rl.temperature import TemperatureSchedule


@dataclass(frozen=True, slots=True)
class RlConfig:
    """See the module.

    Attributes:
        samples: how groups become a batch.
        steps: batches that are taken.
        groups: tasks of a batch.
        attempts: K, rollouts of a task.
        quorum: attempts with a verdict that make a group complete; all when left out.
        update: objective, micro-batches, gradient norm.
        schedule: learning rate by finished updates.
        temperature: of rollouts by finished updates; `Place.episode` is told.
        never: ids that rollouts must not sample, as their `SamplingParams` say.
        max_staleness: versions that a token may be behind when it is trained on (asynchronous loop).
        right: the least reward of a success, where its judge does not say, for figures (`rl.right`).
        checkpoint_every: steps.
        keep_attempts: whether checkpoints hold attempts under way, which go on where they stood, not anew; for samplers
            that hand back, in chats that are made over a `CapturedSampler`.
        seed: of all draws.

    Example:
        >>> RlConfig(SampleRules(row_length=64, pad_id=0), steps=3, groups=2, attempts=4).source(0)
        SampledFrom(temperature=1.0, never=frozenset())
    """

    samples: SampleRules
    steps: int = 100
    groups: int = 16
    attempts: int = 8
    quorum: int | None = None
    update: StepRules = field(default_factory=StepRules)
    schedule: Schedule = field(default_factory=lambda: Schedule(peak=1e-4, decay=0.0))
    temperature: TemperatureSchedule = field(default_factory=TemperatureSchedule)
    never: frozenset[int] = frozenset()
    max_staleness: int = 1
    right: float = 1.0
    checkpoint_every: int = 10
    keep_attempts: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "groups", "attempts", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"an RL run needs {name} of at least 1, got {getattr(self, name)}")
        if self.max_staleness < 0:
            raise ConfigError(f"an RL run needs max_staleness of at least 0, got {self.max_staleness}")

    def source(self, updates: int) -> SampledFrom:
        """The distribution that rollouts after so many updates are sampled from."""
        return SampledFrom(self.temperature.at(updates), self.never)
