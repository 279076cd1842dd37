"""`Judge`: says what an attempt was worth: one reward for the trainer, and the named parts that it is made of.

    Rewards(correct=correct, brevity=Weighted(brevity, 0.1))      functions of a `Case`, plain or async, and judges

The reward is the weighted sum of the parts. A judge may itself be an agent task (`agent.judge_agent`) or a quorum of
judges (`agent.judge_quorum`). A judge that failed says nothing about the answer: that is an error, never a reward of 0.
Judges have no deadline of their own; whoever asks one sets it.

Report: App. D (judge module, several dimensions of reward), §4.4.2 (several rubrics against reward hacking).
"""

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from manyeyes.agent.task import Outcome, Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Policy, Trajectory
from manyeyes.reward.judge import JudgeError

JudgeFailed = JudgeError
"""No verdict: a failure of the infrastructure, not of the attempt."""


class Spawns(Protocol):
    """Whoever can run another agent; every `agent.environment.Ctx` can."""

    async def spawn(self, task: Task, environment: Any, *, role: str, policy: Policy = "frozen") -> Outcome:
        """See `Ctx.spawn`."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """What a judge is shown.

    Attributes:
        task: as the attempt saw it, and the truth that the attempt did not see.
        outcome: how the attempt ended; its text is the answer.
        trajectory: what happened on the way; None where nobody kept it.
        variant: what prompt modules drew for this attempt.
        ctx: for judges that run agents of their own; None where nobody can.
    """

    task: Task
    outcome: Outcome
    trajectory: Trajectory | None = None
    variant: dict[str, Any] = field(default_factory=dict)
    ctx: Spawns | None = None


class Verdict(NamedTuple):
    """What an attempt was worth.

    Attributes:
        reward: what the trainer sees; finite.
        parts: what it is made of, by name, before weights.
        notes: how it came about, for people; plain JSON.
    """

    reward: float
    parts: dict[str, float]
    notes: dict[str, Any] = {}


class Judge(Protocol):
    """Gives verdicts."""

    async def __call__(self, case: Case) -> Verdict:
        """Judge one attempt.

        Raises:
            JudgeFailed: there is no verdict.
        """
        ...


Reward = Callable[[Case], "float | Verdict | Awaitable[float | Verdict]"]
"""A function of a case; what a judge gave counts with its own parts, named "<reward>/<part>"."""


class Weighted(NamedTuple):
    """A reward and how much it counts."""

    reward: Reward
    weight: float = 1.0


class Rewards:
    """A judge of several named rewards, all asked at once.

    Args:
        floor: the reward is never less; 0.0 where a budget multiplies it (Toggle, §4.4.2: 0 of a negative is a prize).
        rewards: by name; a weight of 0 measures without rewarding.

    Raises:
        ConfigError: no reward, or a weight that is not finite.

    Example:
        >>> right, short = lambda case: 1.0, lambda case: 0.5
        >>> asyncio.run(Rewards(right=right, short=Weighted(short, 0.1))(Case(Task("t", "?"), Outcome("done", "42"))))
        Verdict(reward=1.05, parts={'right': 1.0, 'short': 0.5}, notes={})
    """

    def __init__(self, *, floor: float | None = None, **rewards: Reward | Weighted) -> None:
        if not rewards:
            raise ConfigError("a judge needs at least one reward: Rewards(correct=...)")
        self.floor = floor
        self.rewards = {name: one if isinstance(one, Weighted) else Weighted(one) for name, one in rewards.items()}
        for name, one in self.rewards.items():
            if not math.isfinite(one.weight):
                raise ConfigError(f"the weight of reward {name!r} must be finite, got {one.weight}")

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`; the first reward that fails ends the others."""
        verdict = await _sum_of(self.rewards, case)
        return verdict if self.floor is None else verdict._replace(reward=max(self.floor, verdict.reward))


@dataclass(frozen=True, slots=True)
class Also:
    """A judge's verdict and further rewards on top, which prompt modules bring along.

    Attributes:
        judge: None where the environment has none.
        rewards: by name; must not be called as a part of the judge's verdict is.
    """

    judge: Judge | None
    rewards: Mapping[str, Weighted]

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`."""
        verdict = Verdict(0.0, {}) if self.judge is None else checked("judge", await self.judge(case))
        if clash := sorted(verdict.parts.keys() & self.rewards.keys()):
            raise ConfigError(f"the judge's parts and a prompt module's rewards are both called {clash}; rename one")
        more = await _sum_of(self.rewards, case)
        return Verdict(verdict.reward + more.reward, verdict.parts | more.parts, verdict.notes | more.notes)


def checked(name: str, given: float | Verdict) -> Verdict:
    """A verdict whose numbers are numbers.

    Raises:
        JudgeFailed: one of them is not finite.
    """
    verdict = given if isinstance(given, Verdict) else Verdict(float(given), {})
    for part, value in {"": verdict.reward, **verdict.parts}.items():
        if not math.isfinite(value):
            raise JudgeFailed(f"expected a finite number from {name!r}{f' ({part})' if part else ''}, got {value}")
    return verdict


async def _sum_of(rewards: Mapping[str, Weighted], case: Case) -> Verdict:
    try:
        async with asyncio.TaskGroup() as group:
            asked = {name: _asked(group, name, one.reward, case) for name, one in rewards.items()}
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    given = {name: one.result() if isinstance(one, asyncio.Task) else one for name, one in asked.items()}
    reward = math.fsum(rewards[name].weight * verdict.reward for name, verdict in given.items())
    return Verdict(reward, _parts(given), {name: verdict.notes for name, verdict in given.items() if verdict.notes})


def _asked(group: asyncio.TaskGroup, name: str, reward: Reward, case: Case) -> "Verdict | asyncio.Task[Verdict]":
    """The verdict of a plain function at once, of an async one in time."""
    given = reward(case)
    return group.create_task(_awaited(name, given)) if inspect.isawaitable(given) else checked(name, given)


async def _awaited(name: str, given: Awaitable[float | Verdict]) -> Verdict:
    return checked(name, await given)


def _parts(given: Mapping[str, Verdict]) -> dict[str, float]:
    whole = {name: verdict.reward for name, verdict in given.items()}
    return whole | {f"{name}/{part}": value for name, verdict in given.items() for part, value in verdict.parts.items()}
