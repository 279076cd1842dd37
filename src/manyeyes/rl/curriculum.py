"""`Curriculum`: which tasks are worth an attempt: what goes well comes less often, what never differs rests.

    success(x)   running mean of the share of right attempts, newest group with weight `memory`
    weight(x)    max(floor, 1 - success(x)); 1 for a task that was never tried; 0 while it rests
    rest         a task whose last `patience` groups were of equal rewards, all right or all wrong, rests `rest` steps

A task that a source brings is taken with its weight as probability, so any source will do. Groups of equal rewards have
advantages of 0: resting them leaves room for those that teach. Where rewards are more than 0 and 1, a group may well
be all wrong, or all right, and teach.

Report: §4.4.2 gives no curriculum; Kimi K1.5 (arXiv 2501.12599, §2.3.4) samples in proportion to 1 - success.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CurriculumRule:
    """See the module.

    Attributes:
        right: the least reward of a right attempt, where its judge does not say (`rl.right`).
        floor: the least weight of a task that does not rest, above 0.
        memory: weight of the newest group in the running mean, above 0 to 1.
        patience: groups of equal rewards in a row, all right or all wrong, before a task rests.
        rest: steps.
        most_skips: tasks that are passed over for one draw; the one behind them is taken as it is.
    """

    right: float = 1.0
    floor: float = 0.1
    memory: float = 0.5
    patience: int = 2
    rest: int = 20
    most_skips: int = 64

    def __post_init__(self) -> None:
        if not (0 < self.floor <= 1 and 0 < self.memory <= 1):
            raise ConfigError(f"curriculum: floor and memory lie above 0 to 1, got {self.floor} and {self.memory}")
        if self.patience < 1 or self.rest < 0 or self.most_skips < 0:
            raise ConfigError(
                f"curriculum: patience is at least 1, rest and most_skips at least 0, got {self.patience}, "
                f"{self.rest} and {self.most_skips}"
            )


@dataclass(slots=True)
class _Known:
    """Of one task: running mean, groups in a row that were all alike (> 0 right, < 0 wrong), end of its rest."""

    success: float
    streak: int = 0
    back: int = 0


class Curriculum:
    """What is known of tasks by their id; belongs into checkpoints.

    Example:
        >>> curriculum = Curriculum(CurriculumRule(patience=1, rest=5))
        >>> curriculum.observe("hard", [0.0, 1.0, 0.0, 0.0], [False, True, False, False], step=0)
        >>> curriculum.observe("easy", [1.0, 1.0], [True, True], step=0)
        >>> [curriculum.weight(task, step=1) for task in ("hard", "easy", "new")], curriculum.weight("easy", step=6)
        ([0.75, 0.0, 1.0], 0.1)
    """

    def __init__(self, rule: CurriculumRule | None = None) -> None:
        self.rule = rule or CurriculumRule()
        self._known: dict[str, _Known] = {}

    def __len__(self) -> int:
        """Tasks that were tried."""
        return len(self._known)

    def success(self, task: str) -> float:
        """The running share of right attempts; NaN for a task that was never tried."""
        return self._known[task].success if task in self._known else math.nan

    def resting(self, *, step: int) -> int:
        """Tasks that rest."""
        return sum(one.back > step for one in self._known.values())

    def weight(self, task: str, *, step: int) -> float:
        """The probability that it is taken when its turn comes."""
        known = self._known.get(task)
        if known is None:
            return 1.0
        return 0.0 if step < known.back else max(self.rule.floor, 1.0 - known.success)

    def observe(self, task: str, rewards: Sequence[float | None], right: Sequence[bool], *, step: int) -> None:
        """What a group came to; attempts without a verdict, or with one that is no number, say nothing.

        Args:
            right: which attempts were right (`rl.right`).
        """
        told = [(r, good) for r, good in zip(rewards, right, strict=True) if r is not None and math.isfinite(r)]
        if not told:
            return
        share, alike = sum(good for _, good in told) / len(told), len({reward for reward, _ in told}) == 1
        known = self._known.setdefault(task, _Known(share))
        known.success += self.rule.memory * (share - known.success)
        sign = 0 if not alike else 1 if share == 1.0 else -1
        known.streak = sign + (known.streak if known.streak * sign > 0 else 0)
        if abs(known.streak) >= self.rule.patience:
            known.streak, known.back = 0, step + 1 + self.rule.rest

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"tasks": {task: [one.success, one.streak, one.back] for task, one in self._known.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What `state_dict` gave; the rule may be another one."""
        self._known = {
            task: _Known(float(success), int(streak), int(back))
            for task, (success, streak, back) in state["tasks"].items()
        }
