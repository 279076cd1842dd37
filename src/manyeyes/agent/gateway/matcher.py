"""`Matcher`: which assistant messages of a conversation were sampled here, though the client wrote them anew.

    the same conversation before it, and it reads the same                the turn that was sampled there
    the same conversation before it, and it means the same (loose)        that turn, of several the newest
    another conversation before it (compaction), it means the same        the turn that does, if there is but one

What is found takes the message's place, so that its ids are sent as they were sampled. "Means the same" leaves out the
reasoning, white space at the ends, how the JSON of tool arguments is written, and the ids of calls; results are told
under the ids that were sampled.

Report: App. D (token in, token out).
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.token_chat_segments import Segments
from manyeyes.agent.token_chat_turns import Turn, Turns, chained
from manyeyes.core.messages import Message

Matching = Literal["loose", "strict"]
"""loose: what means the same is the same; strict: what is the same in every field."""
KEPT = 4096
"""Turns of a session that are looked for."""
THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


class Matcher:
    """See the module.

    Args:
        turns: what was sampled.
        segments: what stands for a message.
        matching: how messages are compared.
    """

    def __init__(self, turns: Turns, segments: Segments, matching: Matching) -> None:
        self._turns, self._segments, self._matching = turns, segments, matching
        self._there: OrderedDict[bytes, Turn] = OrderedDict()
        self._anywhere: OrderedDict[bytes, Turn | None] = OrderedDict()

    def restored(self, messages: Sequence[Message], declared: NDArray[Any]) -> list[Message]:
        """The conversation, with the messages that were sampled in the place of those that mean them."""
        chain, restored, ids = chained(b"", declared.tobytes()), [], {}
        for message in messages:
            if message.role == "assistant":
                message = self._found(message, chain, ids)
            elif message.tool_call_id in ids:
                message = replace(message, tool_call_id=ids[message.tool_call_id])
            chain = chained(chain, self._segments.mark(message))
            restored.append(message)
        return restored

    def learn(self, turn: Turn, before: bytes) -> None:
        """A turn was sampled behind the conversation that `before` stands for."""
        exact, meaning = self._segments.mark(turn.message), self._meaning(turn.message)
        for key in (chained(before, exact), chained(before, meaning)):
            _remember(self._there, key, turn)
        known = self._anywhere.get(meaning, turn)
        one = known is not None and np.array_equal(known.sampled.ids, turn.sampled.ids)
        _remember(self._anywhere, meaning, turn if one else None)

    def _found(self, message: Message, chain: bytes, ids: dict[str | None, str]) -> Message:
        turn = self._kept(self._there.get(chained(chain, self._segments.mark(message))))
        if turn is None:
            meaning = self._meaning(message)
            turn = self._kept(self._there.get(chained(chain, meaning))) or self._kept(self._anywhere.get(meaning))
        if turn is None:
            for call in message.tool_calls:  # clients number the calls of every turn anew
                ids.pop(call.id, None)
            return message
        ids.update((told.id, own.id) for told, own in zip(message.tool_calls, turn.message.tool_calls, strict=True))
        return turn.message

    def _kept(self, turn: Turn | None) -> Turn | None:
        return turn if turn is not None and self._turns.of(turn.message) is turn else None

    def _meaning(self, message: Message) -> bytes:
        return meaning(message) if self._matching == "loose" else b"=" + self._segments.mark(message)


def meaning(message: Message) -> bytes:
    """Equal for assistant messages that mean the same; see the module.

    Example:
        >>> from manyeyes.core.messages import ToolCall, assistant
        >>> one = assistant("Look. ", reasoning="hm", calls=(ToolCall("functions.zoom:0", "zoom", '{"x":1, "y":2}'),))
        >>> two = assistant("Look.", calls=(ToolCall("call_7", "zoom", '{"y": 2.0, "x": 1}'),))
        >>> meaning(one) == meaning(two)
        True
    """
    digest = hashlib.blake2b(digest_size=16)
    called = [part for call in message.tool_calls for part in (call.name, canonical(call.arguments))]
    for piece in (THOUGHT.sub("", message.text).strip(), *called):
        data = piece.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


def canonical(arguments: str) -> str:
    """JSON in one way of writing it; what is no JSON without the space around it."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return arguments.strip()
    return msgspec.json.encode(_plain(value), order="sorted").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and abs(value) < 2**53 and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _remember(turns: "OrderedDict[bytes, Any]", key: bytes, turn: Turn | None) -> None:
    turns[key] = turn
    turns.move_to_end(key)
    if len(turns) > KEPT:
        turns.popitem(last=False)
