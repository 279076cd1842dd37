"""A rule-based orchestrator and its sub-agents, which look things up; and what they look them up with."""

import json
from collections.abc import Sequence

from manyeyes.core.messages import Message, ToolCall, assistant


def policy(messages: Sequence[Message], agents: int = 4, look_ups: int = 2) -> Message:
    """An orchestrator that starts sub-agents and tells what came back; sub-agents that look up."""
    turn = sum(message.role == "assistant" for message in messages)
    if "Kimi" not in messages[0].text:
        if turn < look_ups:
            return assistant(f"looking for {messages[1].text}", calls=(call("look_up", key=str(turn)),))
        return assistant(f"found {messages[1].text}")
    if turn == 0:
        return assistant("", calls=(call("create_subagent", name="finder", system_prompt="You look up."),))
    if turn == 1:
        return assistant("", calls=tuple(call("assign_task", agent="finder", prompt=str(i)) for i in range(agents)))
    return assistant(" | ".join(message.text.partition("\n")[2] for message in messages if message.role == "tool")[3:])


def call(tool: str, **arguments: str) -> ToolCall:
    return ToolCall("c", tool, json.dumps(arguments))


async def look_up(key: str) -> str:
    """Look something up."""
    return f"value of {key}"
