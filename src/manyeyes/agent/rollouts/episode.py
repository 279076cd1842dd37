"""`Episode`: what an agent lives through, from its first turn to its outcome; anything with `run(ctx)` is one.

    TextEpisode(environment)          the one loop of `agent.loop`, in an `Environment`
    TokenEpisode(environment)         a `TokenEnvironment`
    your own                          async def run(self, ctx): … await ctx.sample(…) … return Outcome("done", "")

Report: App. D (each task an independent coroutine).
"""

from typing import Any, Protocol

from manyeyes.agent.environment import Environment
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.text_episode import TextEpisode
from manyeyes.agent.rollouts.token_episode import TokenEpisode
from manyeyes.agent.task import Outcome
from manyeyes.core.errors import ConfigError


class Episode(Protocol):
    """See the module."""

    async def run(self, ctx: RolloutCtx) -> Outcome:
        """Live through it. An error ends the attempt as failed; `failures.AttemptFailed` says why."""
        ...


def episode_of(thing: Any) -> Episode:
    """The episode that something stands for.

    Raises:
        ConfigError: it stands for none.
    """
    if isinstance(thing, Environment):
        return TextEpisode(thing)
    if callable(getattr(thing, "run", None)):
        return thing
    if callable(getattr(thing, "reset", None)) and callable(getattr(thing, "step", None)):
        return TokenEpisode(thing)
    raise ConfigError(
        f"expected an Environment, a TokenEnvironment or something with `async def run(self, ctx)`, got {thing!r}"
    )
