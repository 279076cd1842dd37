"""Toggle: turns of learning to be brief and of learning to use all the tokens there are.

    phase 0, floor(t/m) even   r~(x, y) = r(x, y) * [ mean_k r(x, y_k) < lambda  or  |y| <= budget(x) ]
    phase 1, floor(t/m) odd    r~(x, y) = r(x, y)
    budget(x)                  rho-th percentile of |y| over the correct answers to x, estimated once and kept   (Eq. 2)

t counts the steps of the run ("learning iterations"), whether or not one of them taught anything, so that phases end
where everybody knows; not when a rollout was sent out: a stale rollout is gated by the phase it is learned in. |y| are
the tokens that live agents sampled. Until some answer to x is correct its budget is not known: nothing is gated,
and the estimate is tried again. The gate comes before the baseline. Rewards must not be negative: a gate would lift
them.

The report gives no values. Its text speaks of the median, so rho is 50; m and lambda are ours.

Report: §4.4.2 (token efficient reinforcement learning), Eq. 2. Shapes: K attempts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeGuard

import numpy as np

from manyeyes.core.errors import CheckpointError, ConfigError

Phase = Literal[0, 1]


@dataclass(frozen=True, slots=True)
class ToggleRule:
    """The report's hyper-parameters.

    Attributes:
        every: m, steps of a phase.
        threshold: lambda, the mean reward of a task from which its budget holds.
        percentile: rho, 0 to 100.
        correct: the least reward of a correct answer, where its judge does not say (`rl.right`).

    Example:
        >>> [ToggleRule(every=2).phase(step) for step in range(6)]
        [0, 0, 1, 1, 0, 0]
    """

    every: int = 10
    threshold: float = 0.5
    percentile: float = 50.0
    correct: float = 1.0

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"Toggle: a phase takes at least one step, got every={self.every}")
        if not 0.0 <= self.percentile <= 100.0:
            raise ConfigError(f"Toggle: percentile must lie in 0..100, got {self.percentile}")
        if not (math.isfinite(self.threshold) and 0.0 < self.correct < math.inf):
            raise ConfigError(
                f"Toggle: threshold must be finite and correct above 0, got {self.threshold} and {self.correct}"
            )

    def phase(self, step: int) -> Phase:
        """Of the step that follows `step` finished ones."""
        return 1 if step // self.every % 2 else 0


class Gated(NamedTuple):
    """What Toggle made of one group's rewards.

    Attributes:
        rewards: None where there was none.
        phase: it was learned in.
        budget: of the task; infinite while unknown.
        enforced: whether the budget held: phase 0, budget known, mean reward of at least lambda.
        gated: attempts whose reward became 0 although they had one above.
    """

    rewards: list[float | None]
    phase: Phase
    budget: float
    enforced: bool
    gated: int


class Toggle:
    """The budgets of a run; they belong into its checkpoints.

    Example:
        >>> toggle = Toggle(ToggleRule(every=1))
        >>> toggle.observe("sum", [True, True, False, True], [10, 30, 5, 20])
        >>> toggle.gate("sum", [1.0, 1.0, 0.0, 1.0], [10, 30, 5, 20], step=0).rewards
        [1.0, 0.0, 0.0, 1.0]
        >>> toggle.gate("sum", [1.0, 1.0, 0.0, 1.0], [10, 30, 5, 20], step=1).rewards
        [1.0, 1.0, 0.0, 1.0]
    """

    def __init__(self, rule: ToggleRule | None = None) -> None:
        self.rule = rule or ToggleRule()
        self._budgets: dict[str, float] = {}

    def __len__(self) -> int:
        """Tasks whose budget is known."""
        return len(self._budgets)

    def budget(self, task: str) -> float:
        """Tokens; infinite while unknown."""
        return self._budgets.get(task, math.inf)

    def observe(self, task: str, correct: Sequence[bool], lengths: Sequence[int]) -> None:
        """Estimate a task's budget, once: nothing happens where it is known, or nothing is correct.

        In either phase. Give all attempts of a step at one task together, so that their order does not matter.

        Args:
            correct: which attempts were (`rl.right`).
            lengths: tokens that live agents sampled in each.
        """
        found = [length for good, length in zip(correct, lengths, strict=True) if good]
        if task not in self._budgets and found:
            self._budgets[task] = float(np.percentile(found, self.rule.percentile))

    def gate(self, task: str, rewards: Sequence[float | None], lengths: Sequence[int], *, step: int) -> Gated:
        """The rewards that a group is learned from.

        Args:
            lengths: tokens that live agents sampled in each attempt.
            step: finished steps of the run.

        Raises:
            ConfigError: a negative reward.
        """
        _require(task, rewards, lengths)
        phase, budget = self.rule.phase(step), self.budget(task)
        enforced = phase == 0 and math.isfinite(budget) and self._mostly_right(rewards)
        if not enforced:
            return Gated(list(rewards), phase, budget, False, 0)
        over = [length > budget for length in lengths]
        gated = sum(far and _is_number(reward) and reward > 0 for far, reward in zip(over, rewards, strict=True))
        kept = [0.0 if far and _is_number(reward) else reward for far, reward in zip(over, rewards, strict=True)]
        return Gated(kept, phase, budget, True, gated)

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"percentile": self.rule.percentile, "correct": self.rule.correct, "budgets": dict(self._budgets)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What `state_dict` gave.

        Raises:
            CheckpointError: budgets were estimated by another rule.
        """
        mine, theirs = self.state_dict(), {key: state.get(key) for key in ("percentile", "correct")}
        for key, value in theirs.items():
            if value != mine[key]:
                raise CheckpointError(
                    f"Toggle's budgets were estimated with {key}={value} and are kept for the whole run, but this run "
                    f"says {key}={mine[key]}; go on with the old value, or begin anew"
                )
        self._budgets = {task: float(tokens) for task, tokens in state["budgets"].items()}

    def _mostly_right(self, rewards: Sequence[float | None]) -> bool:
        """Not below lambda in the mean over the attempts that have a verdict."""
        members = [reward for reward in rewards if _is_number(reward)]
        return bool(members) and math.fsum(members) / len(members) >= self.rule.threshold


def _is_number(reward: float | None) -> TypeGuard[float]:
    return reward is not None and math.isfinite(reward)


def _require(task: str, rewards: Sequence[float | None], lengths: Sequence[int]) -> None:
    if len(rewards) != len(lengths):
        raise ConfigError(f"Toggle: {task} has {len(rewards)} rewards and {len(lengths)} lengths")
    lowest = min((reward for reward in rewards if _is_number(reward)), default=0.0)
    if lowest < 0:
        raise ConfigError(
            f"Toggle: {task} has a reward of {lowest:g}, and rewards must be at least 0: the gate multiplies by 0, "
            "which would make a prize of a penalty. Shift the task's rewards, or train it without Toggle"
        )
