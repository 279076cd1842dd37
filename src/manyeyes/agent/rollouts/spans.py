"""Critical steps of an attempt, from its trajectory: how long it is if everything that can run at once does.

    CriticalSteps = Σ_t ( S_main(t) + max_i S_sub,i(t) )

t counts the answers of an agent, S_main is 1 for each, S_sub,i are the critical steps of the i-th agent that the answer
started. Answers are nodes with sampled tokens, and replies of models that are no samplers.

Report: §3; the same accounting as `swarm.critical_steps`, which reads it from a journal.
"""

from typing import NamedTuple

from manyeyes.core.trajectory import NOBODY, Trajectory


class Steps(NamedTuple):
    """Steps of an attempt: on the critical path, and of all agents together.

    Example:
        >>> Steps(critical=5, total=12).at_once
        2.4
    """

    critical: int
    total: int

    @property
    def at_once(self) -> float:
        """How many steps are made at once, on average."""
        return self.total / self.critical if self.critical else 0.0


def steps(trajectory: Trajectory) -> Steps:
    """Of the main agent and everything below it."""
    answers, started_by = _answers(trajectory)
    longest = [[0] * count for count in answers]
    critical = [0] * len(answers)
    for number in reversed(range(len(answers))):  # agents stand behind those that started them
        critical[number] = answers[number] + sum(longest[number])
        parent, action = trajectory.agents[number].parent, started_by[number]
        if parent != NOBODY and action >= 0:
            longest[parent][action] = max(longest[parent][action], critical[number])
    return Steps(critical[0], sum(answers))


def _answers(trajectory: Trajectory) -> tuple[list[int], list[int]]:
    """How many answers each agent gave, and by which of its parent's it was started; -1 for none."""
    answers = [0] * len(trajectory.agents)
    of_node = []
    for node in trajectory.nodes:
        of_node.append(answers[node.agent])
        answers[node.agent] += len(node.sampled) > 0
    by_name = {span.name: number for number, span in enumerate(trajectory.agents)}
    started_by = [of_node[span.node] if span.node != NOBODY else -1 for span in trajectory.agents]
    for event in trajectory.events:
        if event.kind == "reply":
            answers[event.agent] += 1
        elif event.kind == "spawned" and event.node == NOBODY:
            started_by[by_name[event.data["agent"]]] = answers[event.agent] - 1
    return answers, started_by
