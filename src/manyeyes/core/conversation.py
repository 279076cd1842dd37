"""Which conversations make sense: checked before they are rendered, with a message that names the one at fault."""

from collections.abc import Sequence
from typing import get_args

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.messages import Message, Role

ROLES: tuple[str, ...] = get_args(Role)


class ChatError(ManyeyesError):
    """A conversation that has no rendering, or ids that are no assistant turn."""


def check(messages: Sequence[Message]) -> None:
    """Raises ChatError for an empty conversation, an unknown role, a field of another role, or an answer to no call."""
    if not messages:
        raise ChatError("a conversation needs at least one message, this one is empty")
    called: set[str] = set()
    for index, message in enumerate(messages):
        where = f"message {index} ({message.role})"
        _check_role(message, where)
        _check_calls(message, where)
        if message.role == "tool" and message.tool_call_id not in called:
            raise ChatError(
                f"{where} answers the call {message.tool_call_id!r}, which no assistant message before it made; "
                f"calls so far: {', '.join(sorted(called)) or 'none'}"
            )
        called.update(call.id for call in message.tool_calls)


def _check_role(message: Message, where: str) -> None:
    if message.role not in ROLES:
        raise ChatError(f"{where}: unknown role, expected one of {', '.join(ROLES)}")
    if message.role != "assistant" and (message.reasoning is not None or message.tool_calls):
        raise ChatError(f"{where} has reasoning or tool calls, which only the assistant has")
    if message.role != "tool" and message.tool_call_id is not None:
        raise ChatError(f"{where} has a tool_call_id, which only role tool has")


def _check_calls(message: Message, where: str) -> None:
    for call in message.tool_calls:
        if not call.id:
            raise ChatError(f"{where}: a tool call without id; name it functions.{call.name}:<number>")
        if not isinstance(call.arguments, str):
            raise ChatError(f"{where}: arguments of {call.id} are {type(call.arguments).__name__}, expected JSON text")
