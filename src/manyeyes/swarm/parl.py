"""The PARL reward: what an orchestrator learns from; two auxiliary rewards fade, and the one that counts remains.

    r_PARL(x, y) = λ1 · r_parallel + λ2 · r_finish + r_perf(x, y)

    r_parallel   sub-agents that were started, up to a number: against serial collapse          "parallel"
    r_finish     finished tasks as a share of the sub-agents: against spurious parallelism      "finish"
    r_perf       what the judge says of the result                                              "performance"

λ1 and λ2 are functions of finished updates and end at 0, so that the last policy is trained on r_perf alone. The judge
(`parl_judge`) names the parts; they are put together at the update that learns from them (`rl.group_samples.RewardOf`),
so that an attempt which waited is not paid by an older λ. Only the orchestrator's tokens learn: sub-agents are spawned
frozen, and `rl.advantage.to_main` credits nobody else.

Report: §3 (PARL reward). The report names neither values nor the form of the schedules; both are choices here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Trajectory

PERFORMANCE, PARALLEL, FINISH = "performance", "parallel", "finish"


@dataclass(frozen=True, slots=True)
class Fade:
    """A weight that is held, falls in a straight line, and is 0 from then on.

    Attributes:
        start: at first.
        hold: updates before it falls.
        until: updates after which it is 0.

    Example:
        >>> [Fade(0.4, hold=10, until=30).at(updates) for updates in (0, 10, 20, 30, 99)]
        [0.4, 0.4, 0.2, 0.0, 0.0]
    """

    start: float
    hold: int = 0
    until: int = 40

    def __post_init__(self) -> None:
        if self.start < 0 or not 0 <= self.hold < self.until:
            raise ConfigError(
                f"a fading weight needs start >= 0 and 0 <= hold < until, got {self.start}, {self.hold}, {self.until}"
            )

    def at(self, updates: int) -> float:
        """After so many finished updates."""
        left = (self.until - updates) / (self.until - self.hold)
        return self.start * min(1.0, max(0.0, left))


@dataclass(frozen=True, slots=True)
class ParlRule:
    """The two auxiliary weights.

    Attributes:
        parallel: λ1.
        finish: λ2.
    """

    parallel: Fade = Fade(0.3)
    finish: Fade = Fade(0.3)


def parl_reward(parts: Mapping[str, float], updates: int, rule: ParlRule) -> float:
    """The reward after so many finished updates.

    Args:
        parts: "performance", "parallel" and "finish", each 0 to 1.

    Raises:
        ConfigError: a part is missing.

    Example:
        >>> rule = ParlRule(Fade(0.5, until=10), Fade(0.5, until=10))
        >>> parts = {"performance": 0.8, "parallel": 1.0, "finish": 0.5}
        >>> parl_reward(parts, 0, rule), parl_reward(parts, 10, rule)
        (1.55, 0.8)
    """
    if missing := [name for name in (PERFORMANCE, PARALLEL, FINISH) if name not in parts]:
        raise ConfigError(f"a PARL reward needs the parts of `parl_judge`, missing: {', '.join(missing)}")
    auxiliary = rule.parallel.at(updates) * parts[PARALLEL] + rule.finish.at(updates) * parts[FINISH]
    return auxiliary + parts[PERFORMANCE]


def parl_reward_of(rule: ParlRule) -> Callable[[Trajectory, int], float | None]:
    """The reward of an attempt at the update that learns from it, for `RlLoop(reward_of=...)`.

    Attempts elsewhere, whose verdicts have no such parts, keep their judge's word.
    """

    def reward_of(trajectory: Trajectory, updates: int) -> float | None:
        if trajectory.reward is None or PARALLEL not in trajectory.rewards:
            return trajectory.reward
        return parl_reward(trajectory.rewards, updates, rule)

    return reward_of
