"""`AgentModel`: the model of a run as one of its agents sees it: a deadline on every answer, seeds to replay it with.

Report: App. D.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace

from manyeyes.agent.chat_model import DEFAULT_SAMPLING, ChatModel, Reply, Sampling, Usage
from manyeyes.agent.gate import Gate
from manyeyes.agent.rollouts.agent_waits import AgentWaits
from manyeyes.agent.rollouts.past import reply_of
from manyeyes.agent.token_chat import TokenChat
from manyeyes.core.messages import Message, Tool

ASKING: ContextVar[AgentWaits | None] = ContextVar("the agent whose answer is being sampled", default=None)


class AgentModel:
    """See the module, and `ChatModel`."""

    __slots__ = ("_agent", "_model")

    def __init__(self, agent: AgentWaits, model: ChatModel) -> None:
        self._agent, self._model = agent, model

    @property
    def name(self) -> str:
        """See `ChatModel.name`."""
        return self._model.name

    def cost(self, usage: Usage) -> float:
        """See `ChatModel.cost`."""
        return self._model.cost(usage)

    async def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        sampling: Sampling = DEFAULT_SAMPLING,
        priority: int = 0,
        on_text: Callable[[str], None] | None = None,
        gate: Gate | None = None,
    ) -> Reply:
        """See `ChatModel.complete`."""
        agent = self._agent
        agent.asked_at = agent.seconds
        if agent.past is not None and agent.past.replies:
            known = agent.past.replies.popleft()
            agent.asked_at, agent.replayed = known.at, 0
            return reply_of(known)
        if isinstance(self._model, TokenChat) and "seed" not in sampling.extra:
            sampling = replace(sampling, extra={**sampling.extra, "seed": agent.turn_seed()})
        token = ASKING.set(agent)
        try:
            answer = self._model.complete(
                messages, tools, sampling=sampling, priority=priority, on_text=on_text, gate=gate
            )
            return await agent.waiting("model", answer, ticks=agent.host.model_ticks)
        finally:
            ASKING.reset(token)
