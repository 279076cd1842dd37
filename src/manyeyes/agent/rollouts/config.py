"""`RolloutConfig`: how many attempts run at once, how long anything may take, and what happens when it fails.

Report: App. D.
"""

from dataclasses import dataclass
from math import inf

from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RolloutConfig:
    """Of a `RolloutManager`. All times in seconds; they stand still while the run is suspended.

    Attributes:
        most_running: attempts at once.
        most_open: attempts that are queued, running, or ended in a group that nobody has taken yet; more are refused.
        burst: attempts that may start in a tick of 50 ms, beside those that take the place of one that has ended.
        adaptive: let the cap on attempts shrink and grow with what `take_engine_sample` is told; `most_running` is its
            ceiling, `least_running` its floor.
        attempt_seconds: of one attempt, its sub-agents and its judge included.
        model_seconds: of one completion, queues and retries included.
        tool_seconds: of one tool call, or step of a token environment.
        pool_seconds: for a lease.
        judge_seconds: for a verdict.
        model_tries: further tries of a request that failed and was nobody's fault.
        judge_tries: further questions to a judge that gave no verdict, before the attempt is run again.
        infra_retries, data_retries: times that one attempt is run again after such a failure.
        infra_retries_of_run, data_retries_of_run: of all attempts together.
        breaker: failures of infrastructure in a row after which nothing starts for `breaker_seconds`, then for twice as
            long, and so on; after `breaker_trips` times in a row everything that is queued fails.
        batch, max_staleness: groups that the trainer takes a step, and versions that a token may be behind then. A
            batch of 0 leaves staleness alone.
        straggler_seconds: after a group's quorum is reached, the time that the others have left.
        most_depth: of agents that start agents; the main agent is at depth 0.
        most_agents: of one attempt.
        snapshot_seconds: between snapshots.
    """

    most_running: int = 1024
    most_open: int = 1 << 18
    burst: int = 64
    adaptive: bool = False
    least_running: int = 16
    attempt_seconds: float = 3600.0
    model_seconds: float = 900.0
    tool_seconds: float = 300.0
    pool_seconds: float = 300.0
    judge_seconds: float = 300.0
    model_tries: int = 4
    judge_tries: int = 1
    infra_retries: int = 2
    data_retries: int = 0
    infra_retries_of_run: float = inf
    data_retries_of_run: float = inf
    breaker: int = 64
    breaker_seconds: float = 5.0
    breaker_trips: int = 8
    batch: int = 0
    max_staleness: int = 1
    straggler_seconds: float = inf
    most_depth: int = 8
    most_agents: int = 16_384
    snapshot_seconds: float = 1.0

    def __post_init__(self) -> None:
        for name in ("most_running", "most_open", "burst", "most_agents", "breaker", "breaker_trips"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("attempt_seconds", "model_seconds", "tool_seconds", "pool_seconds", "judge_seconds"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
