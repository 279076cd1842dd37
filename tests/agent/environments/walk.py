"""What a run is to an environment, and no more: for tests of environments that need no model and no manager."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, Verdict
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import Message, ToolCall

Policy = Callable[[list[Message]], Awaitable[Message]]


@dataclass
class Caller:
    """A `Ctx` that makes calls and nothing else."""

    agent: str = "main"
    noted: list[dict[str, Any]] = field(default_factory=list)

    async def call(self, toolset: Toolset, call: ToolCall, *, position: int) -> ToolResult:
        result = await toolset.call(call)
        self.noted.append(result.data)
        return result

    async def spawn(self, task: Task, environment: Environment, **_: Any) -> Outcome:
        raise AssertionError("nothing here starts agents")


@dataclass
class Walk:
    """How an attempt went: what the model was shown last, its history, the verdict."""

    shown: list[Message]
    history: list[Message]
    verdict: Verdict | None
    noted: list[dict[str, Any]]


async def walk(environment: Environment, task: Task, policy: Policy, *, name: str = "t/0/0", most: int = 200) -> Walk:
    """One attempt: show, ask, act until the session says that it is over, then judge."""
    here, task, variant = environment.drawn(task, seed=0, name=name)
    ctx = Caller()
    async with here.open(ctx) as session:
        history = here.prompt(task)
        for _ in range(most):
            shown = list(here.context.show(history, tokens=0).messages)
            answer = await policy(shown)
            history.append(answer)
            step = await session.step(answer)
            history += step.observations
            if step.done:
                break
    outcome = Outcome("done", history[-1].text)
    verdict = await here.judge(Case(task, outcome, None, variant)) if here.judge is not None else None
    return Walk(shown, history, verdict, ctx.noted)


def run(coming: Awaitable[Any]) -> Any:
    """From a plain test."""

    async def whole() -> Any:
        return await coming

    return asyncio.run(whole())
