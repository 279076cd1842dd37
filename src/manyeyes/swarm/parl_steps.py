"""What a rollout did, as actions: its critical steps, when each call was over, and which assigned tasks were finished.

    answer with k direct calls                   k actions (1 where there is none): S_main counts operations
    answer that starts sub-agents                one action, with these as its children
    critical steps                               `critical_steps` of the orchestrator's actions

A task is finished when its sub-agent ended by itself, said something, and had worked for it: it made calls, and the
last of them had a result. That is the runtime's record and not text: an apology is no finish, nor is a made-up answer.
The same task twice is one task: who assigns one row six times has started six sub-agents and finished one task.

Report: §3 (critical steps; r_finish); `swarm.critical_steps` counts an answer as one step however many calls it holds.
That a task counts once is a choice here: r_finish is there against agents that are started for nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from manyeyes.core.trajectory import MAIN, Trajectory
from manyeyes.swarm.critical_steps import Action, critical_steps, total_steps
from manyeyes.swarm.parl_log import Call, Deeds, Log, Place, log_of


class Work(NamedTuple):
    """What an orchestrator's rollout did.

    Attributes:
        critical: critical steps.
        total: steps of all agents.
        started: sub-agents of the orchestrator.
        finished: different tasks that they finished.

    Example:
        >>> Work(critical=6, total=18, started=4, finished=3).parallelism
        3.0
    """

    critical: int
    total: int
    started: int
    finished: int

    @property
    def parallelism(self) -> float:
        """Agents at work at once, over the critical steps."""
        return self.total / self.critical if self.critical else 0.0

    @property
    def finish_rate(self) -> float:
        """Finished tasks for each sub-agent; 0 where there are none."""
        return self.finished / self.started if self.started else 0.0


class Timed(NamedTuple):
    """A call, and the critical steps after which it was over."""

    steps: int
    call: Call


def work_of(trajectory: Trajectory) -> Work:
    """Of a whole rollout.

    Raises:
        DataError: see `parl_log.log_of`.
    """
    log = log_of(trajectory)
    actions = actions_of(log)
    return Work(
        critical_steps(actions), total_steps(actions), len(log[MAIN].children), len(finished_tasks(trajectory, log))
    )


def actions_of(log: Log, agent: str = MAIN) -> list[Action]:
    """Of one agent, in order, those that it started inside."""
    deeds = log[agent]
    direct, groups = _direct(deeds), _groups(deeds)
    actions: list[Action] = []
    for answer in range(deeds.answers):
        actions.append(Action(tuple(tuple(actions_of(log, child)) for _, child in groups[answer])))
        actions += [Action()] * (direct[answer] - 1)
    return actions


def timed(log: Log) -> list[Timed]:
    """All calls that came to an end, in the order in which they did: by critical steps; then agents by their places in
    the tree, then calls by theirs. Which of two agents had the faster machine changes nothing.

    A call of a sub-agent is made as many steps behind the action that started it as the sub-agent has taken by then.
    """
    found: list[tuple[int, tuple[Place, ...], Call]] = []
    _time(log, MAIN, (), 0, found)
    found.sort(key=lambda one: (one[0], one[1], one[2].place))
    return [Timed(steps, call) for steps, _, call in found]


def finished_tasks(trajectory: Trajectory, log: Log) -> set[str]:
    """The words of the tasks that sub-agents finished; see the module."""
    prompts = {call.place.call: " ".join(call.prompt.split()).casefold() for call in log[MAIN].calls}
    stopped = {span.name: (span.stop, span.text) for span in trajectory.agents}
    return {
        prompts.get(place.call) or child
        for place, child in log[MAIN].children.items()
        if is_finished(log[child].calls, *stopped[child])
    }


def is_finished(calls: Iterable[Call], stop: str, text: str) -> bool:
    """Whether an agent that made these calls and ended so finished its task; see the module."""
    made = sorted(calls, key=lambda call: call.place)
    return stop == "done" and bool(text.strip()) and bool(made) and not made[-1].result["failure"]


def _time(
    log: Log, agent: str, path: tuple[Place, ...], start: int, found: list[tuple[int, tuple[Place, ...], Call]]
) -> int:
    """Puts an agent's calls and those of its children to `found`; returns the steps at its end."""
    deeds = log[agent]
    direct, groups = _direct(deeds), _groups(deeds)
    calls = defaultdict[int, list[Call]](list)
    for call in deeds.calls:
        calls[call.place.answer].append(call)
    now = start
    for answer in range(deeds.answers):
        now += max(1, direct[answer])
        now = max((_time(log, child, (*path, at), now, found) for at, child in groups[answer]), default=now)
        found += [(now, path, call) for call in calls[answer]]
    return now


def _direct(deeds: Deeds) -> Counter[int]:
    """Direct calls by answer."""
    return Counter(call.place.answer for call in deeds.calls if call.direct)


def _groups(deeds: Deeds) -> defaultdict[int, list[tuple[Place, str]]]:
    """Children by answer, in order."""
    groups = defaultdict[int, list[tuple[Place, str]]](list)
    for place, child in sorted(deeds.children.items()):
        groups[place.answer].append((place, child))
    return groups
