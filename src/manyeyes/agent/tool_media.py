"""Pictures that tools gave, for endpoints that take only text in tool messages: moved behind the round's last result.

    assistant (calls a, b) → tool a: text + picture → tool b: text
becomes
    assistant (calls a, b) → tool a: text → tool b: text → user: "From the result of call a:" + picture

Report: none; a property of endpoints (OpenAI's own chat completions).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from manyeyes.core.messages import Message, TextPart, user

MOST_KEPT = 4096


class _Parted(NamedTuple):
    original: Message
    text: Message
    media: Message


class ToolMedia:
    """Moves media; remembers what it made, so that a message stays the same object from step to step."""

    def __init__(self) -> None:
        self._made: dict[int, _Parted] = {}

    def moved(self, messages: Sequence[Message]) -> Iterator[Message]:
        """The conversation as such an endpoint takes it."""
        waiting: list[Message] = []
        for message in messages:
            if message.role != "tool":
                yield from waiting
                waiting = []
                yield message
            elif isinstance(message.content, str) or all(isinstance(part, TextPart) for part in message.content):
                yield message
            else:
                parted = self._parted(message)
                yield parted.text
                waiting.append(parted.media)
        yield from waiting

    def _parted(self, message: Message) -> _Parted:
        made = self._made.get(id(message))
        if made is None or made.original is not message:
            media = [part for part in message.parts if not isinstance(part, TextPart)]
            text = f"{message.text}\n(what it shows follows)".lstrip()
            lead = f"From the result of call {message.tool_call_id}:"
            made = _Parted(message, replace(message, content=text), user(lead, *media))
            if len(self._made) >= MOST_KEPT:
                self._made.pop(next(iter(self._made)))
            self._made[id(message)] = made
        return made
