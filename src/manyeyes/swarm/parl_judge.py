"""The judge of an orchestrator's attempt: the task reward, and the parts that PARL's reward is made of.

    performance      item-F1 of the rows, 0 to 1; 0 where the critical steps ran over their budget      the reward
    parallel         sub-agents that were started, as a share of those that are enough, at most 1
    finish           different tasks that were finished, as a share of the sub-agents that were started
    critical_steps, agents, started, finished, parallelism                               measured, never rewarded

A task that is assigned six times starts six sub-agents, as r_parallel counts, and is finished once, as r_finish does:
agents that are started for nothing new are the spurious parallelism that it is there against.

Report: §3 (PARL reward, critical steps), Fig. 4 (accuracy and parallelism).
"""

from dataclasses import dataclass
from typing import Literal

from manyeyes.agent.judge import Case, JudgeFailed, Verdict
from manyeyes.agent.task import Outcome
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Trajectory
from manyeyes.swarm.parl import FINISH, PARALLEL, PERFORMANCE
from manyeyes.swarm.parl_log import log_of
from manyeyes.swarm.parl_plan import Plan
from manyeyes.swarm.parl_rows import item_agreement, written_rows
from manyeyes.swarm.parl_shared import shared_rows
from manyeyes.swarm.parl_steps import Work, work_of

Deliver = Literal["table", "answer"]


@dataclass(frozen=True, slots=True)
class ParlJudge:
    """See the module.

    Attributes:
        plan: the task with its truth.
        budget: critical steps; None for as many as it takes.
        enough: sub-agents from which on more earn nothing; 0 for as many as rows are asked for.
        deliver: whether rows stand where agents put them down together, or in the answer.
    """

    plan: Plan
    budget: int | None
    enough: int = 4
    deliver: Deliver = "table"

    def __post_init__(self) -> None:
        if self.enough < 0:
            raise ConfigError(f"enough sub-agents are one or more, or 0 for as many as rows, got {self.enough}")

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`."""
        if case.trajectory is None:
            raise JudgeFailed(f"{case.task.id}: critical steps are counted in a trajectory, and nobody kept one")
        work = work_of(case.trajectory)
        over = self.budget is not None and work.critical > self.budget
        worth = 0.0 if over else item_agreement(self._told(case.outcome, case.trajectory), self.plan.rows).f1
        return Verdict(worth, self._parts(worth, work), {"family": self.plan.family, "over_budget": over})

    def _told(self, outcome: Outcome, trajectory: Trajectory) -> str:
        if self.deliver == "answer":
            return outcome.text
        return written_rows(shared_rows(log_of(trajectory)))

    def _parts(self, worth: float, work: Work) -> dict[str, float]:
        return {
            PERFORMANCE: worth,
            PARALLEL: min(1.0, work.started / (self.enough or len(self.plan.rows))),
            FINISH: work.finish_rate,
            "critical_steps": float(work.critical),
            "agents": float(work.started),
            "started": float(work.started),
            "finished": float(work.finished),
            "parallelism": work.parallelism,
        }
