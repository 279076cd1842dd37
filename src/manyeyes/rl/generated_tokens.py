"""How much a rollout's live agents said: the length that budgets, rewards and N of Eq. 1 count. Needs no torch.

Report: §4.4.2 (|y| of Eq. 2; N of Eq. 1).
"""

from manyeyes.core.trajectory import Trajectory


def generated(trajectory: Trajectory) -> int:
    """Tokens that its live agents sampled, each once, masked or not: |y| of the report.

    What was given, what tools answered and what frozen agents said is not among them.
    """
    live = [agent.policy == "live" for agent in trajectory.agents]
    return sum(len(node.ids) - node.given for node in trajectory.nodes if live[node.agent])
