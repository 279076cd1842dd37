"""`Recorder`: what an agent's loop tells as it happens, and what it may know from an interrupted run.

Report: App. D (trajectories as events).
"""

from collections.abc import Sequence
from typing import Any, Protocol

from manyeyes.agent.chat_model import ModelError, Reply, Stop
from manyeyes.agent.context import Shown
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import Message, ToolCall
from manyeyes.core.trajectory import Policy


class Recorder(Ctx, Protocol):
    """What the loop tells about an agent as it happens, and what it may know from an interrupted run."""

    def began(self, messages: Sequence[Message]) -> None:
        """The history begins with these."""
        ...

    def asked(self, model: str, *, paused: float) -> None:
        """The model is asked, after so many seconds of a pause."""
        ...

    def answered(self, reply: Reply) -> None:
        """It answered; the message belongs to the history."""
        ...

    def observed(self, messages: Sequence[Message]) -> None:
        """The calls are over; these belong to the history."""
        ...

    def told(self, message: Message) -> None:
        """Somebody (a person, a limit) said something to the agent."""
        ...

    def shown(self, shown: Shown, *, before: int) -> None:
        """A context strategy left something out."""
        ...

    def summarised(self, reply: Reply) -> None:
        """The model wrote down what matters; the history begins anew with that."""
        ...

    def failed(self, error: ModelError) -> None:
        """The model gave no answer."""
        ...

    async def may_ask_again(self, error: ModelError, *, opened: int) -> bool:
        """Wait until a person has seen to it that the same call may work; False where nobody will.

        Args:
            opened: `Gate.opened` when the call was made.
        """
        ...

    def unclosed(self, why: str) -> None:
        """The agent's tools could not be closed."""
        ...

    def steering(self) -> list[Message]:
        """What a person said since the last turn."""
        ...

    @property
    def history(self) -> list[Message] | None:
        """Of an interrupted run, up to where it stopped; None for a fresh agent."""
        ...

    @property
    def end(self) -> Stop:
        """Of the last answer in `history`."""
        ...


class Witness:
    """Passes calls on and keeps the results of one round, for a round may end before all of its calls do."""

    def __init__(self, ctx: Ctx) -> None:
        self.ctx, self.results = ctx, dict[int, ToolResult]()

    @property
    def agent(self) -> str:
        """See `Ctx.agent`."""
        return self.ctx.agent

    @property
    def noted(self) -> list[dict[str, Any]]:
        """See `Ctx.noted`."""
        return self.ctx.noted

    async def call(self, toolset: Toolset, call: ToolCall, *, position: int) -> ToolResult:
        """See `Ctx.call`."""
        self.results[position] = result = await self.ctx.call(toolset, call, position=position)
        return result

    async def spawn(self, task: Task, environment: Environment, *, role: str, policy: Policy = "frozen") -> Outcome:
        """See `Ctx.spawn`."""
        return await self.ctx.spawn(task, environment, role=role, policy=policy)
