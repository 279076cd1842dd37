"""The swarm as an environment: an orchestrator that is trained, sub-agents that are frozen, a table as the answer.

    python examples/swarm_environment.py

Rules that know one kind of task stand in for both models, on a web made of tables.
"""

import asyncio
from dataclasses import replace

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, Rewards, Verdict
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.agent.tools.citations import Citations
from manyeyes.agent.tools.pages import PageTools
from manyeyes.agent.tools.search import search_tool
from manyeyes.agent.toolset import Functions, Together
from manyeyes.reward.table_judge import ExactJudge
from manyeyes.reward.wide_table import score_table
from manyeyes.swarm.demo import table_task
from manyeyes.swarm.orchestrator import SwarmConfig
from manyeyes.swarm.rule_model import rule_model
from manyeyes.swarm.world import wide_tasks, world_web


async def table(case: Case) -> Verdict:
    score = await score_table(table_task(case.task.truth), case.outcome.text, ExactJudge())
    return Verdict(score.item.f1, {"rows": score.row.f1})


def swarm(web) -> Environment:
    def tools(ctx) -> Together:
        citations = Citations(ctx.noted)
        return Together(Functions([search_tool(web, citations)]), PageTools(web, citations, ctx.noted))

    return replace(SwarmConfig(tools).orchestrator(), judge=Rewards(table=table), name="swarm")


async def main() -> None:
    web, wide = world_web(), min(wide_tasks(), key=lambda task: len(task.gold))
    task = Task(wide.id, wide.query, truth=wide)
    async with RolloutManager({"live": rule_model(), "frozen": rule_model()}) as manager:
        manager.submit(GroupRequest("0", task, swarm(web), size=2))
        async for group in manager.results():
            for trajectory in group.trajectories:
                agents = [f"{agent.name} {agent.policy}" for agent in trajectory.agents]
                print(trajectory.reward, trajectory.rewards, *agents, sep="\n  ")
    await web.close()


if __name__ == "__main__":
    asyncio.run(main())
