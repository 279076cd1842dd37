"""`TextEpisode`: an `Environment` and the one loop of `agent.loop`, as an attempt of a rollout.

Report: App. D.
"""

from manyeyes.agent.budget import Budget, tightest
from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case
from manyeyes.agent.loop import Agent
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.task import Outcome


class TextEpisode:
    """See the module, and `Episode`. Sub-agents are not judged: their parents are, by what they make of them."""

    __slots__ = ("environment",)

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    async def run(self, ctx: RolloutCtx) -> Outcome:
        """See `Episode.run`.

        Raises:
            ModelError: the main agent's model gave no answer, for a reason that is not the agent's.
        """
        name = ctx.attempt.name if ctx.depth == 0 else f"{ctx.attempt.name}/{ctx.agent}"
        environment, task, variant = self.environment.drawn(ctx.task, seed=ctx.attempt.seed, name=name)
        if variant and ctx.depth == 0:
            ctx.trajectory.variant = variant
        limits = tightest(task.limits, environment.limits)
        ctx.budget = Budget(limits, clock=ctx.host.clock) if ctx.budget is None else ctx.budget.child(limits)
        agent = Agent(task, environment, ctx.chat(), ctx, ctx.budget, priority=ctx.attempt.priority, gate=ctx.host.gate)
        outcome = await agent.run()
        if outcome.stop == "error" and ctx.failure is not None:
            raise ctx.failure
        if ctx.depth == 0 and (judge := environment.judge) is not None:
            case = Case(task, outcome, ctx.trajectory, variant, ctx)
            await ctx.judged(lambda: judge(case))
        return outcome
