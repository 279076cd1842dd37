"""`Segments`: the ids of single messages, each rendered once; a conversation is their concatenation.

    conversation = tools · message₀ · message₁ · … · head of the answer

A message begins and ends with special tokens, so its ids do not depend on its neighbours, only on whether it keeps its
reasoning. That is what makes a step of a long conversation as cheap as its newest messages.

Report: App. D; the rules are those of the released template (core.chat).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.chat import Rendered, render
from manyeyes.core.media import Media, MediaRules, Picture
from manyeyes.core.messages import ImagePart, Message, TextPart, Tool, ToolCall, VideoPart, user
from manyeyes.core.tokenizer import Tokenizer

KEPT_BYTES = 512 * 2**20
"""Of ids and patches; the messages that were not used for longest go first and are rendered again when asked for."""
TOOL_LISTS = 16
"""Declarations that are kept: as many as there are kinds of agents."""
Ids = NDArray[np.int32]


class Decoded(NamedTuple):
    """What the pixels of a message were read for."""

    media: tuple[Media, ...]
    mark: bytes


@dataclass(slots=True, eq=False)
class _Kept:
    """What is known of a message."""

    rendered: dict[bool, Rendered] = field(default_factory=dict)
    """By whether it keeps its reasoning."""
    media: tuple[Media, ...] | None = None
    mark: bytes = b""

    @property
    def size(self) -> int:
        """Bytes."""
        ids = sum(one.ids.nbytes + one.weights.nbytes for one in self.rendered.values())
        return 256 + ids + sum(item.patches.nbytes for item in self.media or ())


class Segments:
    """Messages to ids. Not thread-safe, but for `decode`.

    Args:
        thinking: False is instant mode.
        kept_bytes: of what is kept for the next time.
    """

    def __init__(
        self, tokenizer: Tokenizer, rules: MediaRules, *, thinking: bool = True, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self.tokenizer, self.rules, self.thinking, self.kept_bytes = tokenizer, rules, thinking, kept_bytes
        self._kept: OrderedDict[Message, _Kept] = OrderedDict()
        self._size = 0
        self._tools: list[tuple[tuple[Tool, ...], Ids]] = []
        nothing = (user(""),)
        answer = render(nothing, tokenizer, rules=rules, thinking=thinking, generation_prompt=True)
        self.head = answer.ids[self._plain(nothing).length :]
        closed = render(nothing, tokenizer, rules=rules, thinking=False, generation_prompt=True)
        self.thoughtless_head = closed.ids[self._plain(nothing).length :]

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    def tools(self, tools: Sequence[Tool]) -> Ids:
        """The declaration; agents of one kind have equal lists of their own, which are rendered once."""
        if not tools:
            return np.zeros(0, np.int32)
        wanted = tuple(tools)
        at = next((at for at, (known, _) in enumerate(self._tools) if known == wanted), None)
        newest = (wanted, self._declared(wanted)) if at is None else self._tools.pop(at)
        self._tools.insert(0, newest)
        del self._tools[TOOL_LISTS:]
        return newest[1]

    def message(self, message: Message, *, thinks: bool) -> Rendered:
        """One message; an assistant's with its reasoning or without.

        Raises:
            ChatError: it has no rendering.
        """
        thinks = thinks and self.thinking and message.role == "assistant"
        kept = self._of(message)
        if thinks not in kept.rendered:
            self._size -= kept.size
            kept.rendered[thinks] = self._render(message, thinks)
            self._size += kept.size
        return kept.rendered[thinks]

    def mark(self, message: Message) -> bytes:
        """Equal for equal messages, whichever objects they are."""
        kept = self._of(message)
        if not kept.mark:
            kept.mark = _digest(message)
        return kept.mark

    def media_of(self, message: Message) -> tuple[Media, ...] | None:
        """Its decoded media, where they are known."""
        return self._of(message).media if message.media else ()

    def decode(self, message: Message) -> Decoded:
        """Its media and its mark, which both need every pixel: slow, and may run in a thread.

        Raises:
            MediaError: damaged pixels.
        """
        visuals = self._render(message, thinks=False).visuals
        return Decoded(tuple(visual.media() for visual in visuals), _digest(message))

    def keep_decoded(self, message: Message, decoded: Decoded) -> None:
        """Remember what `decode` gave."""
        kept = self._of(message)
        self._size -= kept.size
        kept.media, kept.mark = decoded
        self._size += kept.size

    def trim(self) -> None:
        """Forget what was not used for longest, down to `kept_bytes`."""
        while self._size > self.kept_bytes and self._kept:
            _, dropped = self._kept.popitem(last=False)
            self._size -= dropped.size

    def _of(self, message: Message) -> _Kept:
        kept = self._kept.get(message)
        if kept is None:
            kept = self._kept[message] = _Kept()
            self._size += kept.size
        else:
            self._kept.move_to_end(message)
        return kept

    def _render(self, message: Message, thinks: bool) -> Rendered:
        if message.role != "tool":
            return self._plain((message,), thinking=thinks)
        # A result alone is no conversation: the call that it answers stands before it and is cut off again.
        call = (Message("assistant", "", tool_calls=(ToolCall(message.tool_call_id or "", "", "{}"),)),)
        whole, before = self._plain((*call, message)), self._plain(call).length
        return Rendered(whole.ids[before:], whole.weights[before:], whole.visuals)

    def _declared(self, tools: tuple[Tool, ...]) -> Ids:
        nothing = (user(""),)
        whole = render(nothing, self.tokenizer, rules=self.rules, tools=tools)
        return whole.ids[: whole.length - self._plain(nothing).length]

    def _plain(self, messages: Sequence[Message], *, thinking: bool = False) -> Rendered:
        return render(messages, self.tokenizer, rules=self.rules, thinking=thinking, preserve_thinking=True)


def _digest(message: Message) -> bytes:
    """Of everything that a message says."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in _said(message):
        data = piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


def _said(message: Message) -> Iterator[str | bytes]:
    yield from (message.role, repr(message.name), repr(message.tool_call_id), repr(message.reasoning is None))
    yield message.reasoning or ""
    yield str(len(message.tool_calls))
    for call in message.tool_calls:
        yield from (call.id, call.name, call.arguments)
    for part in message.parts:
        yield type(part).__name__
        match part:
            case TextPart(text):
                yield text
            case ImagePart(image):
                yield _content(image)
            case VideoPart(video):
                yield repr((video.fps, len(video.frames)))
                yield from map(_content, video.frames)


def _content(picture: Picture) -> bytes:
    return picture.encoded or np.ascontiguousarray(picture.pixels()).tobytes()
