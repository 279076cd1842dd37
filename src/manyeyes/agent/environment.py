"""`Environment`: what an agent lives in: a toolset, prompts, a context strategy, limits, and a judge of what comes out.

    environment, task, variant = environment.drawn(task, seed=0, name="maze/17/3")      as this attempt sees them
    async with environment.open(ctx) as session:
        messages = environment.prompt(task)
        step = await session.step(message)          as often as the model answers
    await environment.judge(Case(task, outcome))    a verdict, where there is a judge

Gym-like, but observations are messages and an action is the assistant's message. One loop (`agent.loop`) drives any
environment with any `ChatModel`.

Report: App. D (toolset, judge, prompt modules).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, Self

from manyeyes.agent.budget import Limits
from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.context import ContextStrategy, ShowAll
from manyeyes.agent.judge import Also, Judge
from manyeyes.agent.prompting.module import Presentation, PromptModule, Variant, applied, drawn
from manyeyes.agent.record import tool_message
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, Tool, ToolCall, system, user
from manyeyes.core.trajectory import Policy

NO_TOOLS = ToolResult.failed("unknown_tool", "there are no tools here; act by the words of your answer")


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

    async def spawn(self, task: Task, environment: "Environment", *, role: str, policy: Policy = "frozen") -> Outcome:
        """Run a sub-agent to its end; from within a tool call, which it belongs to. `data["agent"]` is its name.

        Args:
            policy: whether it is trained by what it does; sub-agents are part of the world unless said otherwise (§3).
        """
        ...


@dataclass
class Environment:
    """A system prompt and a toolset; enough for most agents.

    Attributes:
        make_toolset: called for every agent anew, so that no two agents share a state.
        system: the system prompt; "" for none.
        context: what of a long history is shown.
        limits: of every agent here; a task's own limits hold too.
        sampling: how the model is asked to choose.
        judge: what an attempt was worth; None where nobody asks.
        name: for records and pages.
        modules: how an attempt is presented; drawn once for each, in order.
        presentation: what the modules made of it; only `drawn` and `varied` set this.
    """

    make_toolset: Callable[[Ctx], Toolset]
    system: str = ""
    context: ContextStrategy = ShowAll()
    limits: Limits = Limits()
    sampling: Sampling = Sampling()
    judge: Judge | None = None
    name: str = ""
    modules: tuple[PromptModule, ...] = ()
    presentation: Presentation | None = None

    # --- override this where an agent begins with more than text ---

    def messages(self, task: Task) -> list[Message]:
        """The opening messages, before modules arrange them."""
        return [*([system(self.system)] if self.system else []), user(task.prompt)]

    # --- machinery ---

    def prompt(self, task: Task) -> list[Message]:
        """The messages that an agent begins with."""
        messages = self.messages(task)
        return messages if self.presentation is None else self.presentation.arranged(messages)

    def open(self, ctx: Ctx) -> "Session":
        """One agent's life in here."""
        toolset = self.make_toolset(ctx)
        return Session(self, toolset if self.presentation is None else self.presentation.dressed(toolset), ctx)

    def drawn(self, task: Task, *, seed: int, name: str) -> tuple[Self, Task, Variant]:
        """The environment and the task as one attempt sees them, and the variant to record.

        Args:
            seed: of the run.
            name: of the attempt; attempts of one name see the same.
        """
        if not self.modules:
            return self, task, {}
        shown, variant = drawn(self.modules, Presentation(self.system, task.prompt), seed=seed, name=name)
        return *self._shown(task, shown), variant

    def varied(self, task: Task, variant: Variant) -> tuple[Self, Task]:
        """What `drawn` gave, from the recorded variant alone."""
        return self._shown(task, applied(self.modules, Presentation(self.system, task.prompt), variant))

    def _shown(self, task: Task, shown: Presentation) -> tuple[Self, Task]:
        if shown.layouts and type(self).prompt is not Environment.prompt:
            raise ConfigError(
                f"{type(self).__name__} overrides prompt, which arranges messages; override messages instead"
            )
        judge = Also(self.judge, shown.rewards) if shown.rewards else self.judge
        here = replace(self, system=shown.system, judge=judge, modules=(), presentation=shown)
        return here, replace(task, prompt=shown.prompt)


def no_tools(action: Message) -> tuple[Message, ...]:
    """What calls are told where words are actions: a history in which a call has no result is none for an endpoint."""
    return tuple(tool_message(call.id, NO_TOOLS) for call in action.tool_calls)


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

    def acts(self, answer: Message) -> bool:
        """Whether an answer is an action; if not, it is the last word. Override it where words are actions."""
        return bool(answer.tool_calls)

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
