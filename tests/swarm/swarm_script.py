"""A rule-based orchestrator and its sub-agents: the task "N M" starts N sub-agents of M look-ups each."""

import json
from collections.abc import Sequence

from manyeyes.core.messages import Message, ToolCall, assistant


def policy(messages: Sequence[Message]) -> Message:
    """The next answer of whoever holds this conversation."""
    turn = sum(message.role == "assistant" for message in messages)
    task = next(message.text for message in messages if message.role == "user")
    if "Kimi" in messages[0].text:
        return orchestrator(messages, turn, *map(int, task.splitlines()[0].split()))
    _, number, _, look_ups = task.split()
    if turn < int(look_ups) and messages[-1].role != "user" or turn == 0:
        return assistant("looking", calls=(call("look_up", f"s{turn}", key=f"{number}-{turn}"),))
    return assistant(f"found {number}")


def orchestrator(messages: Sequence[Message], turn: int, agents: int, look_ups: int) -> Message:
    """Create one specification, assign all at once, merge what comes back in order of the calls."""
    if turn == 0:
        return assistant("", calls=(call("create_subagent", "c", name="finder", system_prompt="You look up."),))
    if turn == 1:
        prompts = [f"topic {number} with {look_ups}" for number in range(agents)]
        calls = [call("assign_task", f"a{i}", agent="finder", prompt=prompt) for i, prompt in enumerate(prompts)]
        return assistant("", calls=tuple(calls))
    results = [message.text.partition("\n")[2] for message in messages if message.role == "tool"][1:]
    return assistant("merged: " + " | ".join(results))


def call(tool: str, id: str, /, **arguments: str) -> ToolCall:
    """A tool call."""
    return ToolCall(id, tool, json.dumps(arguments))
