"""`OneAnswer`: an environment of words whose first answer is the last, for samplers with a chat template of their own.

    the environment's messages → the template's ids → a completion → its text → the environment's judge

`TokenChat` writes chats as K2.5 reads them. A policy with another vocabulary brings its own `ChatTemplate`, and speaks
ids from there on (`TokenEnvironment`): what is learned from is what was sampled. There are no tools.

Report: App. D (token in, token out).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, Verdict
from manyeyes.agent.prompting.module import Variant
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.token_environment import TokenObservation, TokenStep
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message
from manyeyes.core.sampler import Completion, SamplingParams


class ChatTemplate(Protocol):
    """How a model's conversations are written."""

    @property
    def stops(self) -> frozenset[int]:
        """Ids that end a turn."""
        ...

    def prompt(self, messages: Sequence[Message]) -> NDArray[np.int32]:
        """A conversation and the head of the answer to it."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """What ids say, without special tokens."""
        ...


class _Asked(NamedTuple):
    """An attempt as its modules made it."""

    environment: Environment
    task: Task
    variant: Variant
    cut: bool = False


@dataclass(frozen=True, slots=True)
class OneAnswer:
    """See the module, and `TokenEnvironment`.

    Attributes:
        environment: whose messages are answered and who judges; its limits and its way of sampling do not hold here.
        template: of the policy.
        params: how tokens are chosen; `stop_ids` are those of the template, `of` sees to it.
        name: for records and pages.
    """

    environment: Environment
    template: ChatTemplate
    params: SamplingParams
    name: str

    @classmethod
    def of(cls, environment: Environment, template: ChatTemplate, params: SamplingParams) -> "OneAnswer":
        """An environment by its own name, with answers that end where the template ends a turn."""
        return cls(environment, template, replace(params, stop_ids=template.stops), environment.name)

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        """See `TokenEnvironment.reset`.

        Raises:
            ConfigError: the environment has tools.
        """
        environment, shown, variant = self.environment.drawn(task, seed=ctx.attempt.seed, name=ctx.attempt.name)
        async with environment.open(ctx) as session:
            if session.tools:
                raise ConfigError(f"{self.name} has tools, and a single answer calls none; roll it out by a TokenChat")
        ctx.state = _Asked(environment, shown, variant)
        if variant:
            ctx.trajectory.variant = variant
        return TokenObservation(self.template.prompt(environment.prompt(shown)))

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        """See `TokenEnvironment.step`: that was all."""
        ctx.state = ctx.state._replace(cut=completion.stop == "length")
        return TokenStep(None, text=self.template.text(completion.ids))

    async def judge(self, outcome: Outcome, ctx: RolloutCtx) -> Verdict | None:
        """See `TokenEnvironment.judge`; the judge is told where an answer was cut off."""
        environment, task, variant, cut = ctx.state
        if environment.judge is None:
            return None
        outcome = replace(outcome, stop="cut_off") if cut else outcome
        return await environment.judge(Case(task, outcome, ctx.trajectory, variant, ctx))
