"""`GroupJudge`: what attempts at one task are worth beside each other; asked when all of them have ended.

    environment's judge, of each attempt alone  →  complete group  →  group judge  →  rewards that are learned from

    GrmRanking      a generative reward model compares them in pairs                     agent.grm_ranking
    BriefInGroup    the shorter of those that are right, as K1.5 rewards it              agent.group_length

`RlLoop(together=...)` asks one. The attempt's own verdict keeps its parts, and its reward is the part `alone`. A group
that is incomplete or stale is not learned from, and nobody is asked about it. Where a group judge failed, no attempt of
the group has a verdict: it is counted and teaches nothing.

Report: §4.4.2 (rewards relative to a group; budget control).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, cast

from manyeyes.agent.judge import Case, JudgeFailed, Verdict, checked
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.task import Outcome, Stop
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Event, Trajectory

ALONE = "alone"
"""The part that holds an attempt's reward before it stood beside others."""
FAILED = "group_judge"
"""Among a group's failures."""
SAID, SILENT = "group judge", "group judge failed"
"""Kinds of an attempt's last event: what was said of it, and why nothing was said of its group."""


class GroupJudge(Protocol):
    """Gives verdicts to the attempts of a group."""

    async def __call__(self, group: Group) -> Sequence[Verdict | None]:
        """Judge them together.

        Returns:
            One for each trajectory, in order; None for an attempt without a verdict, and for all that are not
            `counted`.

        Raises:
            JudgeFailed: there is no verdict on any of them.
        """
        ...


def counted(group: Group) -> list[int]:
    """Numbers of the attempts that have a verdict of their own and may be learned from."""
    return [at for at, one in enumerate(group.trajectories) if not one.masked and one.reward is not None]


def own_verdict(trajectory: Trajectory) -> Verdict:
    """What an attempt's own judge said.

    Raises:
        ConfigError: it has no reward.
    """
    if trajectory.reward is None:
        raise ConfigError(f"{trajectory.name} has no verdict of its own; ask about `counted` attempts only")
    return Verdict(trajectory.reward, dict(trajectory.rewards))


def case_of(group: Group, at: int) -> Case:
    """An attempt as a judge is shown it; what its agents used and left behind is told by its trajectory alone."""
    whole = group.trajectories[at]
    main = whole.agents[0]
    outcome = Outcome(cast(Stop, main.stop), main.text, main.reason)  # kept as a word
    return Case(group.request.task, outcome, whole, dict(whole.variant))


async def judged_together(group: Group, judge: GroupJudge) -> Group:
    """The group with rewards of its attempts beside each other; that which is given stays as it is.

    Raises:
        ConfigError: not one verdict for each attempt.
    """
    if not group.complete:
        return group
    try:
        given = await judge(group)
        if len(given) != len(group.trajectories):
            raise ConfigError(
                f"a group judge gives one verdict for each attempt, None included: expected {len(group.trajectories)}, "
                f"got {len(given)}"
            )
        verdicts = [None if one is None else checked(SAID, one) for one in given]
    except JudgeFailed as failed:
        return _without(group, str(failed))
    whole = [_given(one, verdict) for one, verdict in zip(group.trajectories, verdicts, strict=True)]
    return replace(group, trajectories=whole)


def _given(one: Trajectory, verdict: Verdict | None) -> Trajectory:
    if verdict is None:
        return replace(one, reward=None)
    alone = {} if one.reward is None else {ALONE: one.reward}
    told = Event(SAID, data={"reward": verdict.reward, "parts": verdict.parts, "notes": verdict.notes})
    parts = {**one.rewards, **alone, **verdict.parts}
    return replace(one, reward=verdict.reward, rewards=parts, events=[*one.events, told])


def _without(group: Group, why: str) -> Group:
    told = Event(SILENT, data={"why": why})
    whole = [replace(one, reward=None, events=[*one.events, told]) for one in group.trajectories]
    failures = group.failures.copy()
    failures[FAILED] += 1
    return replace(group, trajectories=whole, failures=failures)
