"""`RftRun`: rejection sampling as data: attempts at tasks, of which the right ones become examples to be learned from.

    places ── attempts ──▶ trajectories ── rl.rft ──▶ samples ── one stage of fine-tuning ──▶ weights

Report: §2.3, §4.4; Kimi K1.5 (arXiv 2501.12599, §2.4).
"""

import dataclasses
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from manyeyes.core.errors import ConfigError
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.rl_parts import Measured, PlaceSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run_json import from_plain, to_plain
from manyeyes.rl.rft import RftRules
from manyeyes.train.stages import LoopConfig

PASSIVE = ("about", "hardware", "measured", "running", "cache_tokens")
"""Fields that change nothing of what is learned."""


@dataclass(frozen=True, slots=True)
class RftRun:
    """See the module.

    Attributes:
        name, about, hardware: as those of an `RlRun`.
        after: the recipe whose newest finished run it goes on from, where `start_model` names nothing.
        start_model: checkpoint folder that samples, and is learned on.
        places: where tasks come from, drawn by their weights; `domains` as in an `RlRun`.
        tasks: how many are attempted.
        attempts: at each of them.
        temperature: of the attempts.
        rules: what is kept.
        beside: registered sources that are mixed in, by weight, against forgetting.
        beside_share: of the tokens; 0 leaves them out.
        steps, row_length, rows, micro_rows, schedule: of the fine-tuning.
        measured: held-out tasks, scored before and behind it.
        evaluate_temperature: of attempts that are measured.
        loop: optimiser, checkpoints.
        running: attempts at once.
        cache_tokens: of the engine.
        invariant: whether attempts depend to the last bit on weights and requests alone, as in an `RlRun`.
        seed: of every random stream.
    """

    name: str
    about: str
    hardware: str
    places: tuple[PlaceSpec, ...]
    after: str = ""
    start_model: str = ""
    domains: dict[str, float] = field(default_factory=dict)
    tasks: int = 512
    attempts: int = 8
    temperature: float = 1.0
    rules: RftRules = field(default_factory=RftRules)
    beside: dict[str, float] = field(default_factory=dict)
    beside_share: float = 0.2
    steps: int = 100
    row_length: int = 512
    rows: int = 8
    micro_rows: int = 4
    schedule: Schedule = field(default_factory=lambda: Schedule(peak=1e-3, warmup=5, decay=0.5))
    measured: tuple[Measured, ...] = ()
    evaluate_temperature: float = 1.0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(compute="float32"))
    running: int = 256
    cache_tokens: int = 131_072
    invariant: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for names in ([place.name for place in self.places], [one.name for one in self.measured]):
            if len(set(names)) != len(names):
                raise ConfigError(f"{self.name}: names of places must differ, got {', '.join(names)}")
        if not self.places:
            raise ConfigError(f"{self.name}: an RFT run needs at least one place with tasks to attempt")
        if unknown := self.domains.keys() - {place.domain for place in self.places}:
            raise ConfigError(f"{self.name}: no place belongs to the domain {', '.join(sorted(unknown))}")
        self._check_numbers()
        self._check_shares()

    def _check_numbers(self) -> None:
        least = {
            "tasks": 1, "attempts": 1, "steps": 1, "row_length": 2, "rows": 1, "micro_rows": 1, "running": 1,
            "cache_tokens": 1, "temperature": 0, "evaluate_temperature": 0,
        }  # fmt: skip
        for name, smallest in least.items():
            if not smallest <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{self.name}: {name} must be at least {smallest}, got {getattr(self, name)}")
        if self.rules.row_length is not None:
            raise ConfigError(f"{self.name}: leave rules.row_length out, samples have the rows of row_length tokens")
        if self.loop.compute == "bfloat16":
            raise ConfigError(f"{self.name}: RFT computes in float32, got loop.compute={self.loop.compute}")

    def _check_shares(self) -> None:
        if bad := {name: w for name, w in (self.beside | self.domains).items() if not (w > 0 and isfinite(w))}:
            raise ConfigError(f"{self.name}: weights must be above 0, got {bad}")
        if not 0.0 <= self.beside_share < 1.0:
            raise ConfigError(f"{self.name}: beside_share is 0 to below 1, got {self.beside_share}")

    def to_json(self) -> dict[str, Any]:
        """As plain data; "kind" tells it from the configuration of other runs."""
        return to_plain(self, "rft")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RftRun":
        """Reads `to_json`'s data.

        Raises:
            ConfigError: it was written by another version, or by hand and wrongly.
        """
        return from_plain(data, cls, kind="rft", called="an RFT run")

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes what is computed."""
        data = self.to_json()
        for name in PASSIVE:
            data.pop(name)
        data["loop"].pop("checkpoint_every")
        return fingerprint_of(data)

    def as_rl(self) -> RlRun:
        """What places and measurements read of it."""
        return RlRun(
            name=self.name, about=self.about, hardware=self.hardware, places=self.places, domains=self.domains,
            measured=self.measured, steps=self.steps, row_length=self.row_length, running=self.running,
            evaluate_temperature=self.evaluate_temperature, start_model=self.start_model, seed=self.seed,
        )  # fmt: skip

    def shortened(self, share: float) -> "RftRun":
        """The same run with fewer tasks, steps and updates of warm-up, at least one task and step."""
        return dataclasses.replace(
            self, tasks=max(1, round(self.tasks * share)), steps=max(1, round(self.steps * share)),
            schedule=dataclasses.replace(self.schedule, warmup=round(self.schedule.warmup * share)),
        )  # fmt: skip
