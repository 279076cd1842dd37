"""`GroupJudge`: what attempts at one task are worth beside each other; asked when all of them have ended.

    environment's judge, of each attempt alone → complete group → group judge → rewards that are learned from

    GrmRanking      a generative reward model compares them in pairs              agent.grm_ranking
    BriefInGroup    the shorter of those that are right, as K1.5 rewards it       agent.brief_in_group

`RlLoop(together=...)` asks one. What an attempt's own judge said stays: its parts under their names, its reward as the
part `together/alone`, by which it is right or not (`rl.right`). Nobody is asked about a group that is incomplete or
stale, for it is not learned from. Whatever goes wrong in a judge leaves its group without verdicts: that is counted,
named in the log, and the run goes on; only a `ConfigError`, which the next group would meet too, goes through.

Report: §4.4.2 (rewards relative to a group; budget control).
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, cast

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, JudgeFailed, Verdict, checked
from manyeyes.agent.rollouts.agent_waits import is_json
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.task import Outcome, Stop, Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Event, Trajectory

OWN = "together/"
"""What a group judge's parts begin with."""
ALONE = f"{OWN}alone"
"""The part that holds an attempt's reward from before it stood beside others."""
FAILED = "group_judge"
"""Among a group's failures: of the group, not of an attempt."""
SAID, SILENT = "group_judge", "group_judge_failed"
"""Kinds of an attempt's last event: what was said of it, and why nothing was."""
NO_VERDICT = "no verdict beside its group"


class GroupJudge(Protocol):
    """Gives verdicts to the attempts of a group."""

    async def __call__(self, group: Group) -> Sequence[Verdict | None]:
        """Judge them together.

        Returns:
            One for each trajectory, in order. None for an attempt without a verdict, which then is not learned from,
            and for those that there is nothing to say about: see `ended`, `counted`.

        Raises:
            JudgeFailed: there is no verdict on any of them.
        """
        ...


def ended(group: Group) -> list[int]:
    """Numbers of the attempts that came to their end and may be learned from."""
    return [at for at, one in enumerate(group.trajectories) if not one.masked and one.stop != "failed"]


def counted(group: Group) -> list[int]:
    """Of `ended`, those with a reward of their own that is a number."""
    rewards = group.rewards
    return [at for at in ended(group) if (own := rewards[at]) is not None and math.isfinite(own)]


def own_verdict(trajectory: Trajectory) -> Verdict:
    """What an attempt's own judge said.

    Raises:
        ConfigError: it has no reward.
    """
    if trajectory.reward is None:
        raise ConfigError(f"{trajectory.name} has no verdict of its own; ask about `counted` attempts only")
    return Verdict(trajectory.reward, dict(trajectory.rewards))


def case_of(group: Group, at: int) -> Case:
    """An attempt as a judge is shown it: the task as it saw it; what it left behind elsewhere is gone."""
    whole = group.trajectories[at]
    main = whole.agents[0]
    outcome = Outcome(cast(Stop, main.stop), main.text, main.reason)  # kept as a word
    return Case(_task_of(group, whole), outcome, whole, dict(whole.variant))


def _task_of(group: Group, whole: Trajectory) -> Task:
    task, episode = group.request.task, group.request.episode
    return episode.varied(task, whole.variant)[1] if whole.variant and isinstance(episode, Environment) else task


async def judged_together(group: Group, judge: GroupJudge, *, seconds: float | None = None, tries: int = 0) -> Group:
    """The group with rewards of its attempts beside each other; what is given stays as it is.

    Args:
        seconds: for each question.
        tries: further questions to a judge that failed.

    Raises:
        ConfigError: not one verdict for each attempt, or the judge's own.
    """
    if not group.complete:
        return group
    why = ""
    for _ in range(tries + 1):
        try:
            async with asyncio.timeout(seconds):
                return _judged(group, await judge(group))
        except ConfigError:
            raise
        except TimeoutError:
            why = "TimeoutError" if seconds is None else f"no verdict within {seconds:g} s"
        except JudgeFailed as failed:
            why = str(failed)
        except Exception as error:  # the boundary of whatever a judge calls, as `rollouts.failures` is of attempts
            why = f"{type(error).__name__}: {error}"
    failures = group.failures.copy()
    failures[FAILED] += 1
    whole = [_silent(one, at in ended(group), why) for at, one in enumerate(group.trajectories)]
    return replace(group, trajectories=whole, failures=failures)


def said_of(group: Group) -> Mapping[str, Event]:
    """By attempt: what a group judge said of it, or why it said nothing; empty where nobody was asked."""
    last = {one.name: one.events[-1] for one in group.trajectories if one.events}
    return {name: event for name, event in last.items() if event.kind in (SAID, SILENT)}


def _judged(group: Group, given: Sequence[Verdict | None]) -> Group:
    whole = group.trajectories
    if len(given) != len(whole):
        raise ConfigError(
            f"a group judge gives one verdict for each attempt, None included: expected {len(whole)}, got {len(given)}"
        )
    verdicts = [None if one is None else _plain(one) for one in given]
    asked = set(ended(group))
    return replace(
        group,
        trajectories=[
            _silent(one, at in asked, NO_VERDICT) if verdict is None else _given(one, verdict)
            for at, (one, verdict) in enumerate(zip(whole, verdicts, strict=True))
        ],
    )


def _plain(verdict: Verdict) -> Verdict:
    """In Python's own numbers, with notes that a log can hold."""
    numbers = checked(SAID, Verdict(float(verdict.reward), {str(n): float(x) for n, x in verdict.parts.items()}))
    if verdict.notes and not is_json(verdict.notes):
        raise JudgeFailed(f"the notes of a verdict must be plain JSON, got {verdict.notes!r:.200}")
    return numbers._replace(notes=verdict.notes)


def _given(one: Trajectory, verdict: Verdict) -> Trajectory:
    told = Event(SAID, data={"reward": verdict.reward, "parts": verdict.parts, "notes": verdict.notes})
    parts = {f"{OWN}{name}": value for name, value in verdict.parts.items()}
    return replace(one, reward=verdict.reward, rewards=_kept(one) | parts, events=[*one.events, told])


def _silent(one: Trajectory, asked: bool, why: str) -> Trajectory:
    """Not learned from, where it would have been; what is no number stays for the loop's own checks to tell."""
    if not asked or (one.reward is not None and not math.isfinite(one.reward)):
        return one
    told = Event(SILENT, data={"why": why})
    return replace(one, reward=None, rewards=_kept(one), masked=NO_VERDICT, events=[*one.events, told])


def _kept(one: Trajectory) -> dict[str, float]:
    return one.rewards | ({} if one.reward is None else {ALONE: one.reward})
