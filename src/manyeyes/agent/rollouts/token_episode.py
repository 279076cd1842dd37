"""`TokenEpisode`: the loop that drives a `TokenEnvironment` with a sampler.

Report: App. D.
"""

from math import fsum

from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.token_environment import TokenEnvironment, TokenObservation
from manyeyes.agent.task import CAPS, Outcome, Stop
from manyeyes.core.sampler import TooLong


class TokenEpisode:
    """See the module, and `Episode`."""

    __slots__ = ("environment",)

    def __init__(self, environment: TokenEnvironment) -> None:
        self.environment = environment

    async def run(self, ctx: RolloutCtx) -> Outcome:
        """See `Episode.run`."""
        environment, parts = self.environment, dict[str, float]()
        given: TokenObservation | None = await ctx.waiting("tool", environment.reset(ctx.task, ctx))
        stop: Stop | None = None
        text = why = ""
        while given is not None and stop is None:
            try:
                completion = await ctx.sample(given.ids, params=environment.params, media=given.media)
            except TooLong as error:
                stop, why = "context_overflow", str(error)
                break
            given, earned, text = await ctx.waiting("tool", environment.step(completion, ctx))
            for part, value in earned.items():
                parts[part] = parts.get(part, 0.0) + value
            if given is not None:
                stop = _cap(ctx)
        outcome = Outcome(stop or "done", text, why or (f"its {stop}" if stop else ""), turns=ctx.turns)
        if ctx.depth == 0:
            await self._judge(ctx, outcome, parts)
        return outcome

    async def _judge(self, ctx: RolloutCtx, outcome: Outcome, parts: dict[str, float]) -> None:
        await ctx.judged(lambda: self.environment.judge(outcome, ctx))
        if ctx.attempt.verdict is None and parts:
            ctx.reward(fsum(parts.values()), parts)


def _cap(ctx: RolloutCtx) -> Stop | None:
    """Which limit of the task is reached."""
    limits = ctx.task.limits
    if ctx.turns >= limits.turns or ctx.turns >= limits.steps:
        return CAPS["turns"] if ctx.turns >= limits.turns else CAPS["steps"]
    if ctx.seconds >= limits.seconds:
        return CAPS["seconds"]
    used = ctx.trajectory.tokens if limits.tokens < float("inf") else 0
    return CAPS["tokens"] if used >= limits.tokens else None
