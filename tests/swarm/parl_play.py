"""Scripts of `swarm.parl_scripts` as a chat model, and attempts at PARL tasks with them through the rollout manager."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from manyeyes.agent.chat_model import Reply
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.core.messages import Message, Tool, ToolCall, assistant
from manyeyes.core.trajectory import Trajectory
from manyeyes.swarm.orchestrator import ASSIGN
from manyeyes.swarm.parl_environment import Parl
from manyeyes.swarm.parl_scripts import Script, parallel, worker

Maker = Callable[[str], Script]


def model(make: Maker) -> Scripted:
    """A model without memory: the script is run again over the whole conversation for every answer."""
    return Scripted(lambda messages: _next(make, messages))


def _next(make: Maker, messages: Sequence[Message]) -> Message:
    script = make(next(message.text for message in messages if message.role == "user"))
    calls = 0
    told: list[str] | None = None
    turns = [at for at, message in enumerate(messages) if message.role == "assistant"]
    try:
        for at in [*turns, len(messages)]:
            wanted = next(script) if told is None else script.send(told)
            if at == len(messages):
                named = enumerate(wanted, calls)
                return assistant(calls=tuple(ToolCall.of(name, said, index=number) for number, (name, said) in named))
            count = len(messages[at].tool_calls)
            calls, told = calls + count, [message.text for message in messages[at + 1 : at + 1 + count]]
    except StopIteration as end:
        return assistant(end.value)
    raise AssertionError("the conversation has more answers than the script")


def attempt(environment: Parl, task: Task, make: Maker, sub: Maker = worker) -> Trajectory:
    """One attempt: the orchestrator by one script, its sub-agents by another."""

    async def go() -> Trajectory:
        models: dict[Any, Any] = {"live": model(make), "frozen": model(sub)}
        async with RolloutManager(models) as manager:
            manager.submit(GroupRequest("0", task, environment, 1))
            group = await manager.next_group()
            assert group is not None
            return group.trajectories[0]

    return asyncio.run(go())


class Player(Scripted):
    """One model for all agents: it assigns where it can, and looks things up where it cannot."""

    def __init__(self) -> None:
        super().__init__(lambda messages: assistant())

    async def complete(self, messages: Sequence[Message], tools: Sequence[Tool] = (), **settings: Any) -> Reply:
        """See `ChatModel.complete`."""
        can_assign = any(tool.name == ASSIGN for tool in tools)
        return await model(parallel if can_assign else worker).complete(messages, tools, **settings)
