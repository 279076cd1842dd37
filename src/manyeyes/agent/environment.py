"""`Environment`: what an agent lives in: a toolset, prompts, a context strategy, limits, and a judge of what comes out.

    async with environment.open(ctx) as session:
        messages = environment.prompt(task)
        step = await session.step(message)          as often as the model answers
    environment.judge(task, outcome)                a reward, where there is one

Gym-like, but observations are messages and an action is the assistant's message. One loop (`agent.loop`) drives any
environment with any `ChatModel`.

Report: App. D (toolset, judge, prompts).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from manyeyes.agent.budget import Limits
from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.context import ContextStrategy, ShowAll
from manyeyes.agent.record import tool_message
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import Message, Tool, ToolCall, system, user


class Step(NamedTuple):
    """What an action led to.

    Attributes:
        observations: tool messages, in the order of the calls.
        done: the agent has nothing more to do.
        steps: tool calls and environment interactions.
    """

    observations: tuple[Message, ...]
    done: bool
    steps: int


class Ctx(Protocol):
    """What a running agent may ask of whoever runs it."""

    @property
    def agent(self) -> str:
        """Its path in the tree of agents, such as "main" or "main/3"."""
        ...

    @property
    def noted(self) -> list[dict[str, Any]]:
        """What the agent's finished calls left behind (`ToolResult.data`) before the run was interrupted."""
        ...

    async def call(self, toolset: Toolset, call: ToolCall, *, position: int) -> ToolResult:
        """Make a tool call, recorded; on a resumed run the recorded result where there is one.

        Args:
            position: of the call in its answer, from 0; ids of calls may repeat.
        """
        ...

    async def spawn(self, task: Task, environment: "Environment", *, role: str) -> Outcome:
        """Run a sub-agent to its end; from within a tool call, which it belongs to. `data["agent"]` is its name."""
        ...


Judge = Callable[[Task, Outcome], Any]


@dataclass
class Environment:
    """A system prompt and a toolset; enough for most agents.

    Attributes:
        make_toolset: called for every agent anew, so that no two agents share a state.
        system: the system prompt; "" for none.
        context: what of a long history is shown.
        limits: of every agent here; a task's own limits hold too.
        sampling: how the model is asked to choose.
        judge: scores an outcome; None where nobody asks.
    """

    make_toolset: Callable[[Ctx], Toolset]
    system: str = ""
    context: ContextStrategy = ShowAll()
    limits: Limits = Limits()
    sampling: Sampling = Sampling()
    judge: Judge | None = None

    def prompt(self, task: Task) -> list[Message]:
        """The messages that an agent begins with."""
        return [*([system(self.system)] if self.system else []), user(task.prompt)]

    def open(self, ctx: Ctx) -> "Session":
        """One agent's life in here."""
        return Session(self, self.make_toolset(ctx), ctx)


class Session:
    """One agent's tools and what they hold; an async context manager."""

    def __init__(self, environment: Environment, toolset: Toolset, ctx: Ctx) -> None:
        self.environment, self.toolset, self.ctx = environment, toolset, ctx

    @property
    def tools(self) -> Sequence[Tool]:
        """What the model is told it can call."""
        return self.toolset.tools

    async def __aenter__(self) -> "Session":
        try:
            await self.toolset.open()
        except BaseException:
            await self.toolset.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.toolset.close()

    async def step(self, action: Message) -> Step:
        """All calls of an answer, at once; an answer without calls ends the task."""
        if not action.tool_calls:
            return Step((), True, 0)
        results = await self._results(action.tool_calls)
        observations = tuple(
            tool_message(call.id, result) for call, result in zip(action.tool_calls, results, strict=True)
        )
        return Step(observations, False, sum(result.steps for result in results))

    async def _results(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """All at once; when one cannot even be recorded, the others end with it."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.ctx.call(self.toolset, call, position=position))
                    for position, call in enumerate(calls)
                ]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]
