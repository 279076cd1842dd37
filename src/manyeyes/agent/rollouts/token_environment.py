"""`TokenEnvironment`: an environment that speaks ids: the cheapest way to have a policy act, for one turn or many.

    given = await environment.reset(task, ctx)
    while given is not None:
        completion = …sampled behind everything before…
        given, parts = await environment.step(completion, ctx)
    verdict = await environment.judge(outcome, ctx)

One environment serves all attempts: what belongs to one attempt it keeps in `ctx.state`. What it does to the world
outside goes through `ctx` (`call`, `lease`, `spawn`), so that an attempt can be replayed.

Report: App. D (token in, token out).
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.judge import Verdict
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.media import Media
from manyeyes.core.sampler import Completion, SamplingParams


class TokenObservation(NamedTuple):
    """What an agent is given to read.

    Attributes:
        ids: int32 [T], what stands before the next completion and behind everything so far.
        media: one item for each run of `<|media_pad|>` in `ids`.
    """

    ids: NDArray[np.int32]
    media: tuple[Media, ...] = ()


class TokenStep(NamedTuple):
    """What a completion led to.

    Attributes:
        given: to read next; None ends the episode.
        parts: of the reward, by name; those of all steps add up.
        text: last words, for people.
    """

    given: TokenObservation | None
    parts: dict[str, float] = {}
    text: str = ""


class TokenEnvironment(Protocol):
    """See the module.

    Attributes:
        name: for records and pages.
        params: how tokens are chosen; each completion gets a seed of its own.
    """

    name: str
    params: SamplingParams

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        """Begin an attempt."""
        ...

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        """Act on a completion."""
        ...

    async def judge(self, outcome: Outcome, ctx: RolloutCtx) -> Verdict | None:
        """What the attempt was worth; None leaves it to the parts that the steps gave."""
        ...
