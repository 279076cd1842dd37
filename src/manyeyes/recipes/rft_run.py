"""`RftRun`: rejection sampling as data: attempts at tasks, of which the right ones become examples to be learned from.

    places ── attempts ──▶ trajectories ── rl.rft ──▶ samples ── one stage of fine-tuning ──▶ weights

Report: §2.3, §4.4; Kimi K1.5 (arXiv 2501.12599, §2.4).
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import msgspec

from manyeyes.core.errors import ConfigError
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.rl_run import Measured, PlaceSpec
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
        beside_share: of the tokens.
        steps, row_length, rows, micro_rows, schedule: of the fine-tuning.
        measured: held-out tasks, scored before and behind it.
        loop: optimiser, checkpoints.
        running: attempts at once.
        cache_tokens: of the engine.
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
    seed: int = 0

    def __post_init__(self) -> None:
        names = [place.name for place in self.places]
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"{self.name}: an RFT run needs places of different names, got {', '.join(names)}")
        least = {"tasks": 1, "attempts": 1, "steps": 1, "row_length": 2, "rows": 1, "micro_rows": 1, "running": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ConfigError(f"{self.name}: {name} must be at least {smallest}, got {getattr(self, name)}")
        if self.rows % self.micro_rows:
            raise ConfigError(f"{self.name}: rows={self.rows} is not a multiple of micro_rows={self.micro_rows}")
        if not 0.0 <= self.beside_share < 1.0 or (self.beside_share > 0 and not self.beside):
            raise ConfigError(
                f"{self.name}: beside_share is 0 to below 1, and above 0 only with sources beside; got "
                f"{self.beside_share} with {self.beside or 'none'}"
            )

    def to_json(self) -> dict[str, Any]:
        """As plain data; "kind" tells it from the configuration of other runs."""
        return {"kind": "rft"} | msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RftRun":
        """Reads `to_json`'s data.

        Raises:
            ConfigError: it was written by another version, or by hand and wrongly.
        """
        try:
            return msgspec.convert({key: value for key, value in data.items() if key != "kind"}, type=cls)
        except msgspec.ValidationError as error:
            raise ConfigError(f"config.json is not an RFT run of this version: {error}") from None

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes what is computed."""
        data = self.to_json()
        for name in PASSIVE:
            data.pop(name)
        data["loop"].pop("checkpoint_every")
        return fingerprint_of(data)

    def shortened(self, share: float) -> "RftRun":
        """The same run with fewer tasks and steps, at least one of each (for tests and quick looks)."""
        return dataclasses.replace(
            self, tasks=max(1, round(self.tasks * share)), steps=max(1, round(self.steps * share))
        )
