"""`Parl`: an orchestrator with more work than it has steps for; it may do it itself, or start sub-agents.

    environment = Parl(budget=9)          an episode of at most 9 critical steps
    environment = Parl(mode="alone")      the same tasks for one agent: no sub-agents, no budget

Every agent searches and reads the pages of the task's own world. When one critical step is left, the last result says
so; who makes a call all the same ends the episode by it, without an answer, and is judged by the rows that have been
put down. Sub-agents are frozen: they are part of the world.

Report: §3 (PARL; critical steps as the budget of an episode), App. E.8.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, Self, get_args

from manyeyes.agent.budget import Limits
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.environment import Session as AgentSession
from manyeyes.agent.environments.attempt_environment import AttemptEnvironment
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.tools.local_web import LocalWeb
from manyeyes.agent.toolset import Together, Toolset
from manyeyes.core.errors import ConfigError
from manyeyes.data.collection import Split
from manyeyes.swarm.orchestrator import Count, SwarmConfig
from manyeyes.swarm.parl_budget import BudgetedSession
from manyeyes.swarm.parl_judge import Deliver, ParlJudge
from manyeyes.swarm.parl_plan import Family, Limit, Plan, exceeds, plan_at
from manyeyes.swarm.parl_tools import CompactDelegation, SharingTool, web_of

Mode = Literal["swarm", "alone"]
BUDGET = 9
"""Critical steps: more than a row of any family takes with a sub-agent for it, fewer than three rows take alone."""
KEPT_WORLDS = 64


@dataclass
class Parl(AttemptEnvironment):
    """See the module.

    Attributes:
        mode: with sub-agents, or one agent alone.
        budget: critical steps of an episode; 0 for as many as it takes. An agent alone has none.
        deliver: "table": agents put rows into one that all of them share, and it is judged (sections into a report,
            where the task is to write one); "answer": the last words of the orchestrator hold the rows, which it has to
            copy from what comes back.
        enough: sub-agents from which on more earn nothing (r_parallel); 0 for as many as rows are asked for.
        most_agents: sub-agents of an episode.
        sub_turns: answers of a sub-agent, at most.
        sub_temperature: that sub-agents sample at; they are part of the world, and may be calmer than what learns.
        sub_tokens: of an answer of a sub-agent.
    """

    name: str = "parl"
    mode: Mode = "swarm"
    budget: int = BUDGET
    deliver: Deliver = "table"
    enough: int = 4
    most_agents: int = 24
    sub_turns: int = 10
    sub_temperature: float = 0.5
    sub_tokens: int = 96

    def bound(self, task: Task) -> Self:
        """See `AttemptEnvironment.bound`.

        Raises:
            ConfigError: the task is none of `task_source`, or a report that an answer is to hold.
        """
        plan, budget = plan_of(task), 0 if self.mode == "alone" else self.budget
        if plan.family == "report" and self.deliver == "answer":
            raise ConfigError(f"{task.id}: a report is written with a tool that all agents share; use deliver='table'")
        judge = self.judge or ParlJudge(plan, budget or None, self.enough, self.deliver)
        return replace(self, make_toolset=self._tools(plan), judge=judge, budget=budget)

    def open(self, ctx: Ctx) -> AgentSession:
        """See `Environment.open`: a session that counts critical steps."""
        opened = super().open(ctx)
        return BudgetedSession(self, opened.toolset, ctx, budget=self.budget)

    def _tools(self, plan: Plan) -> Callable[[Ctx], Toolset]:
        def world(ctx: Ctx) -> Toolset:
            web = world_of(plan.pages)
            sharing = [SharingTool(writes=plan.family == "report")] if self.deliver == "table" else []
            return Together(web_of(web, web, ctx, hits=plan.hits), *sharing)

        def with_sub_agents(ctx: Ctx) -> Toolset:
            return Together(CompactDelegation(team, ctx, Count()), world(ctx))

        sampling = replace(self.sampling, temperature=self.sub_temperature, max_tokens=self.sub_tokens)
        team = ParlTeam(world, most_agents=self.most_agents, sampling=sampling, sub_turns=self.sub_turns)
        return world if self.mode == "alone" else with_sub_agents


@dataclass(frozen=True)
class ParlTeam(SwarmConfig):
    """A swarm of agents that read few tokens: a sub-agent has the system prompt that it was created with, and no more.

    Attributes:
        sub_turns: answers of a sub-agent, at most.
    """

    sub_turns: int = 10

    def sub_agent(self, system_prompt: str, count: Count | None = None) -> Environment:
        """See `SwarmConfig.sub_agent`."""
        limits = Limits(turns=self.sub_turns)
        return Environment(self.make_tools, system=system_prompt, limits=limits, sampling=self.sampling)


@lru_cache(maxsize=KEPT_WORLDS)
def world_of(pages: tuple[Any, ...]) -> LocalWeb:
    """The web of a world; attempts at one task share it, for nobody can change it."""
    return LocalWeb.build(pages)


def plan_of(task: Task) -> Plan:
    """The plan that a task is made from. Raises ConfigError where it is another task."""
    if not isinstance(task.truth, Plan):
        raise ConfigError(f"the task {task.id!r} is none of `parl`: its truth is {type(task.truth).__name__}, no Plan")
    return task.truth


def environment(**options: Any) -> Parl:
    """The environment, for the registry; options are the fields of `Parl`.

    Raises:
        ConfigError: no such option or value.
    """
    try:
        made = Parl(**options)
    except TypeError as error:
        raise ConfigError(f"environment parl: {error}") from None
    known = made.mode in get_args(Mode) and made.deliver in get_args(Deliver)
    if not known or min(made.budget, made.enough) < 0:
        raise ConfigError(
            f"parl has modes {', '.join(get_args(Mode))}, delivers {' or '.join(get_args(Deliver))}, and has a budget "
            f"and `enough` of 0 or more; got {made.mode!r}, {made.deliver!r}, {made.budget}, {made.enough}"
        )
    return made


def task_source(
    seed: int = 0,
    split: Split = "train",
    *,
    size: int = 100_000,
    rows: tuple[int, int] = (4, 12),
    families: Mapping[Family, float] | None = None,
    budget: int = BUDGET,
) -> Tasks:
    """Tasks, each verified to exceed what one agent can do within the budget.

    Args:
        size: how many there are.
        rows: fewest and most.
        families: kinds of tasks by weight; wide tables when left out.
        budget: critical steps and tool calls of one agent; 0 verifies nothing.

    Raises:
        ConfigError: a task is within the budget of one agent.
    """
    kinds = families or {"wide": 1.0}

    def at(number: int) -> Task:
        plan = plan_at(number, seed=seed, split=split, rows=(rows[0], rows[1]), families=kinds)
        if budget and not exceeds(plan, Limit(budget, budget)):
            raise ConfigError(
                f"one agent can look up parl/{number} in {plan.lookups_alone} calls, and the budget is {budget}; ask "
                "for more rows, or for fewer steps"
            )
        return Task(f"parl/{split}/{seed}/{number}", plan.prompt, plan)

    return Tasks(at, size=size, seed=seed, epochs=None, name=f"parl-{split}")
