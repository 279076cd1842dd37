"""`RlRun`: the configuration of a whole run of reinforcement learning, as data. Recipes are functions that return one.

    places      environments by their registered names, each with its tasks, by capability
    measured    the same for held-out tasks, scored while the run trains

Everything in it is plain data, so it is written to `config.json` and read back from there, and any field can be set
from the command line.

Report: §2.3, §4.4.2.
"""

from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Literal

from manyeyes.core.errors import ConfigError
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.rl_parts import BlindRule, Frozen, Measured, PlaceSpec, PtxSpec
from manyeyes.recipes.run_json import from_plain, to_plain
from manyeyes.rl.advantage import AdvantageRule
from manyeyes.rl.curriculum import CurriculumRule
from manyeyes.rl.temperature import TemperatureSchedule
from manyeyes.rl.toggle import ToggleRule
from manyeyes.swarm.parl import Fade, ParlRule

Learner = Literal["vision_tower", "mm_projector", "language_model"]
LEARNERS: tuple[Learner, ...] = ("vision_tower", "mm_projector", "language_model")
ObjectiveName = Literal["eq1", "grpo", "gspo", "icepop", "k15"]
LEAST = {
    "steps": 1, "groups": 1, "attempts": 1, "row_length": 2, "micro_rows": 1, "context": 0, "least_told": 1,
    "max_staleness": 0, "evaluate_every": 0, "checkpoint_every": 1, "running": 1, "cache_tokens": 1,
}  # fmt: skip
"""What fields must be at least."""
PASSIVE = (
    "about", "hardware", "checkpoint_every", "keep_attempts", "measured", "evaluate_every", "evaluate_temperature",
    "engine", "engine_weights",
)  # fmt: skip
"""Fields that change nothing of what is learned: words, cadences, what a stop costs, and where the engine stands."""


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
        frozen: checkpoints that take its place, each from a step on, in order.
        engine: address of `manyeyes serve`, whose tokens are learned from; "" for an engine of the run's own. It serves
            the model that the run starts from, and was not given weights yet (see `recipes.rl_engine`).
        engine_weights: folder that new weights are put into for it: its `--weights-root`.
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
        context: tokens of a conversation at most; 0 for the row length, and never more.
        objective: `rl.objective` (Eq. 1) or one of those beside it.
        objective_options: its fields, such as {"tau": 0.01}.
        advantage: baseline and scale.
        schedule: learning rate by updates.
        temperature: of rollouts by updates.
        toggle: None leaves rewards as they are; else a run begins and ends with a brief phase.
        curriculum: None takes tasks as they come.
        blind: None keeps tasks that are solved without their picture; else places with pictures need a `size`.
        parl: how rewards of orchestrators are put together, by updates; None takes the judge's.
        ptx: None for no auxiliary loss.
        drop_equal: leave groups whose advantages are all 0 out of the batch.
        least_told: groups with an advantage that is not 0 that an update needs.
        trainable: components that learn; the others keep their weights.
        optimizer, gradient_norm, bias_rate: of an update.
        max_staleness: versions that a token may be behind, in the asynchronous loop.
        evaluate_every: steps between measurements in between; 0 measures before the first step and behind the last.
        evaluate_temperature: of attempts that are measured.
        checkpoint_every: steps.
        keep_attempts: whether checkpoints of the asynchronous loop hold attempts under way, which a run that was ended
            goes on with where they stood. Each checkpoint then holds sampling up for a moment. False makes them anew,
            as a synchronous run does, which samples the same tokens again.
        running: attempts at once.
        cache_tokens: of the engine.
        invariant: whether what is rolled out depends to the last bit on weights and requests alone, so that a
            synchronous run that was killed ends with the same weights on the same machine with as many threads
            (`EngineConfig`). None: where the engine's kernels are to be had, on a CPU with a compiler; the log's
            "start" says what it came to.
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
    frozen: tuple[Frozen, ...] = ()
    engine: str = ""
    engine_weights: str = ""
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
    blind: BlindRule | None = None
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
    keep_attempts: bool = True
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
        if bad := {name: weight for name, weight in self.domains.items() if not 0 < weight < inf}:
            raise ConfigError(
                f"{self.name}: weights of domains must be above 0, got {bad}; leave its places out instead"
            )
        for name, smallest in LEAST.items():
            if getattr(self, name) < smallest:
                raise ConfigError(f"{self.name}: {name} must be at least {smallest}, got {getattr(self, name)}")
        if not 0 <= self.evaluate_temperature < inf or not self.gradient_norm > 0 or not 0 <= self.bias_rate < inf:
            raise ConfigError(
                f"{self.name}: evaluate_temperature and bias_rate must not be negative and gradient_norm above 0, got "
                f"{self.evaluate_temperature}, {self.bias_rate} and {self.gradient_norm}"
            )
        steps = [one.from_step for one in self.frozen]
        if steps != sorted(set(steps)):
            raise ConfigError(f"{self.name}: frozen checkpoints come in the order of their steps, got {steps}")

    def to_json(self) -> dict[str, Any]:
        """As plain data; "kind" tells it from the configuration of other runs."""
        return to_plain(self, "rl")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RlRun":
        """Reads `to_json`'s data.

        Raises:
            ConfigError: it was written by another version, or by hand and wrongly.
        """
        return from_plain(data, cls, kind="rl", called="an RL run")

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes what is computed; descriptions and cadences do not."""
        return fingerprint_of({name: value for name, value in self.to_json().items() if name not in PASSIVE})

    @property
    def longest(self) -> int:
        """Tokens of a conversation at most."""
        return self.context or self.row_length

    @property
    def has_frozen(self) -> bool:
        """Whether sub-agents may be started that are not trained."""
        return self.parl is not None or bool(self.frozen_model or self.frozen)

    def frozen_at(self, step: int) -> str:
        """The checkpoint of sub-agents after so many steps."""
        due = [one.model for one in self.frozen if one.from_step <= step]
        return due[-1] if due else self.frozen_model or self.start_model

    @property
    def unconstrained_step(self) -> int:
        """Where Toggle's last unconstrained phase ends; 0 without one."""
        return 0 if self.toggle is None else self.steps - self.toggle.every

    def is_final(self, step: int) -> bool:
        """Whether held-out tasks are asked in full then."""
        return step in (0, self.unconstrained_step, self.steps)

    def is_due(self, step: int) -> bool:
        """Whether held-out tasks are asked then."""
        return self.is_final(step) or bool(self.evaluate_every and step % self.evaluate_every == 0)

    def shortened(self, share: float) -> "RlRun":
        """The same run with fewer steps, at least one, and all that is counted in steps with them.

        With Toggle they are whole phases, an odd number of them. Sub-agents for whom no step is left are left out.
        """
        toggle = self.toggle and replace(self.toggle, every=_part(self.toggle.every, share))
        steps = _part(self.steps, share) if toggle is None else toggle.every * _odd(self.steps * share / toggle.every)
        return replace(
            self, steps=steps, toggle=toggle,
            schedule=replace(self.schedule, warmup=round(self.schedule.warmup * share)),
            temperature=replace(
                self.temperature, steps=_part(self.temperature.steps, share), hold=_part(self.temperature.hold, share)
            ),
            parl=self.parl and ParlRule(_faster(self.parl.parallel, share), _faster(self.parl.finish, share)),
            frozen=_earlier(self.frozen, share, steps),
            evaluate_every=self.evaluate_every and _part(self.evaluate_every, share),
            checkpoint_every=_part(self.checkpoint_every, share),
        )  # fmt: skip


def _part(steps: int, share: float) -> int:
    return max(1, round(steps * share))


def _odd(phases: float) -> int:
    """The nearest odd number."""
    return 2 * max(0, round((phases - 1) / 2)) + 1


def _earlier(frozen: tuple[Frozen, ...], share: float, steps: int) -> tuple[Frozen, ...]:
    """Each answers from its share of the steps on, behind the one before it; who answers first, still does."""
    found: list[Frozen] = []
    for one in frozen:
        before = found[-1].from_step if found else 0
        at = one.from_step and max(before + 1, round(one.from_step * share))
        if at < steps:
            found.append(replace(one, from_step=at))
    return tuple(found)


def _faster(fade: Fade, share: float) -> Fade:
    until = _part(fade.until, share)
    return replace(fade, hold=min(round(fade.hold * share), until - 1), until=until)
