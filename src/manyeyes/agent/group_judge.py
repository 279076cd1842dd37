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
from typing import Protocol, TypeAlias, cast

import msgspec

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, JudgeFailed, Verdict, checked
from manyeyes.agent.right_part import ALONE, BESIDE, GIVEN
from manyeyes.agent.rollouts.agent_waits import is_json
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.task import Outcome, Stop, Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Event, Trajectory

FAILED = "group_judge"
"""Among a group's failures: of the group, not of an attempt."""
SAID, SILENT = "group_judge", "group_judge_failed"
"""Kinds of an attempt's last event: what was said of it, and why nothing was."""
NO_VERDICT = "no verdict beside its group"
PAUSE = 1.0
"""Seconds before a judge that failed is asked again."""

Said: TypeAlias = "Verdict | str | None"
"""Of an attempt: its verdict; or why it has none, in words or not."""


class GroupJudge(Protocol):
    """Gives verdicts to the attempts of a group."""

    async def __call__(self, group: Group) -> Sequence[Said]:
        """Judge them together.

        Returns:
            One for each trajectory, in order. An attempt without a verdict is not learned from. For those that nobody
            asks about (see `ended`), None.

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


async def judged_together(
    group: Group, judge: GroupJudge, *, seconds: float | None = None, tries: int = 0, pause: float = PAUSE
) -> Group:
    """The group with rewards of its attempts beside each other; what is given stays as it is.

    Args:
        seconds: for each question. A judge that does not end then is left behind.
        tries: further questions to a judge that failed.
        pause: seconds before such a question.

    Raises:
        ConfigError: not one verdict for each attempt, or the judge's own.
    """
    if not group.complete or not ended(group):
        return group
    why = ""
    for again in range(tries + 1):
        await asyncio.sleep(pause if again else 0)
        given = await _asked(group, judge, seconds)
        try:
            return _judged(group, _unless_failed(given, seconds))
        except ConfigError:
            raise
        except JudgeFailed as failed:
            why = str(failed)
        except Exception as error:  # the boundary of whatever a judge calls, as `rollouts.failures` is of attempts
            why = f"{type(error).__name__}: {error}"
    failures = group.failures.copy()
    failures[FAILED] += 1
    asked = ended(group)
    whole = [_silent(one, why) if at in asked else one for at, one in enumerate(group.trajectories)]
    return replace(group, trajectories=whole, failures=failures)


async def _asked(group: Group, judge: GroupJudge, seconds: float | None) -> asyncio.Task[Sequence[Said]]:
    """The judge's task, which has ended or is late; it goes where this call is cancelled."""
    asked = asyncio.ensure_future(_called(judge, group))
    try:
        await asyncio.wait({asked}, timeout=seconds)
    finally:
        asked.cancel()
    return asked


async def _called(judge: GroupJudge, group: Group) -> Sequence[Said]:
    return await judge(group)


def _unless_failed(asked: asyncio.Task[Sequence[Said]], seconds: float | None) -> Sequence[Said]:
    if not asked.done():
        raise JudgeFailed(f"no verdict within {seconds:g} s")
    if asked.cancelled():
        raise JudgeFailed("it was cancelled from within")
    return asked.result()


def said_of(group: Group) -> Mapping[str, Event]:
    """By attempt: what a group judge said of it, or why it said nothing; empty where nobody was asked."""
    last = {one.name: one.events[-1] for one in group.trajectories if one.events}
    return {name: event for name, event in last.items() if event.kind in (SAID, SILENT)}


def _judged(group: Group, given: Sequence[Said]) -> Group:
    whole, asked = group.trajectories, ended(group)
    if len(given) != len(whole):
        raise ConfigError(
            f"a group judge gives one verdict for each attempt, None included: expected {len(whole)}, got {len(given)}"
        )
    return replace(
        group,
        trajectories=[_told(one, said, at in asked) for at, (one, said) in enumerate(zip(whole, given, strict=True))],
    )


def _told(one: Trajectory, said: Said, asked: bool) -> Trajectory:
    if isinstance(said, Verdict):
        return _given(one, _plain(said))
    if said is not None and not isinstance(said, str):
        raise JudgeFailed(f"expected a verdict, words or None, got {said!r:.200}")
    return _silent(one, said or NO_VERDICT) if asked else one


def _plain(verdict: Verdict) -> Verdict:
    """In Python's own numbers, with notes that a log can hold."""
    numbers = checked(SAID, Verdict(float(verdict.reward), {str(n): float(x) for n, x in verdict.parts.items()}))
    if verdict.notes and not is_json(verdict.notes):
        raise JudgeFailed(f"the notes of a verdict must be plain JSON, got {verdict.notes!r:.200}")
    return numbers._replace(notes=msgspec.json.decode(msgspec.json.encode(verdict.notes)))


def _given(one: Trajectory, verdict: Verdict) -> Trajectory:
    told = Event(SAID, data={"reward": verdict.reward, "parts": verdict.parts, "notes": verdict.notes})
    parts = {f"{BESIDE}{name}": value for name, value in verdict.parts.items()} | {GIVEN: verdict.reward}
    return replace(one, reward=verdict.reward, rewards=one.rewards | parts | _alone(one), events=[*one.events, told])


def _silent(one: Trajectory, why: str) -> Trajectory:
    """Not learned from; what is no number stays for the loop's own checks to tell."""
    if one.reward is not None and not math.isfinite(one.reward):
        return one
    told = Event(SILENT, data={"why": why})
    return replace(one, reward=None, rewards=one.rewards | _alone(one), masked=NO_VERDICT, events=[*one.events, told])


def _alone(one: Trajectory) -> dict[str, float]:
    return {} if one.reward is None else {ALONE: one.reward}
