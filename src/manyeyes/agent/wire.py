"""The OpenAI chat format on the wire: messages and tools to JSON bytes, streamed chunks back to one message.

Each message is encoded once and its bytes are kept, so a step of a long conversation encodes only what is new.
`reasoning_content` goes back to the endpoint as it came: endpoints that think refuse an assistant message with tool
calls that lost it. Pictures travel as data URLs, clips as frames with their timestamps, which every vision endpoint
understands, or as MP4 files where the endpoint takes those.

Format: OpenAI chat completions, with `reasoning_content` as Moonshot, vLLM and SGLang send it.
"""

import base64
import io
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import av
import msgspec
import numpy as np
from PIL import Image

from manyeyes.agent.chat_model import Stop, Usage
from manyeyes.agent.tool_media import ToolMedia
from manyeyes.core.media import Clip, MediaRules, Picture, sample_frames, timestamp
from manyeyes.core.messages import ImagePart, Message, Part, TextPart, Tool, ToolCall

KEPT_BYTES = 256 * 2**20
"""Encoded messages that are kept at most; the oldest unused ones go first and are encoded again when asked for."""
STOPS: dict[str, Stop] = {
    "stop": "stop", "tool_calls": "tool_calls", "function_call": "tool_calls", "length": "length",
    "content_filter": "filter",
}  # fmt: skip
_ENCODE = msgspec.json.Encoder().encode


class MessageEncoder:
    """Messages to JSON, each once.

    Args:
        frames: frames of a clip that are sent at most.
        media_of_tools: whose message holds pictures that a tool gave. OpenAI's own endpoint takes none in tool
            messages; they then follow the round's last result as a message of the user.
        video: as frames with timestamps, or as one `video_url` part.
    """

    def __init__(
        self,
        *,
        frames: int = 32,
        media_of_tools: Literal["tool", "user"] = "tool",
        video: Literal["frames", "video_url"] = "frames",
    ) -> None:
        self.frames, self.media_of_tools, self.video = frames, media_of_tools, video
        self._kept: OrderedDict[int, tuple[Message, bytes]] = OrderedDict()
        self._media = ToolMedia()
        self._size = 0

    def conversation(self, messages: Sequence[Message]) -> bytes:
        """The JSON array of a conversation."""
        if self.media_of_tools == "user":
            messages = tuple(self._media.moved(messages))
        return b"[" + b",".join(map(self.message, messages)) + b"]"

    def message(self, message: Message) -> bytes:
        """The JSON object of one message."""
        kept = self._kept.get(id(message))
        if kept is not None and kept[0] is message:
            self._kept.move_to_end(id(message))
            return kept[1]
        written = _ENCODE(self._plain(message))
        self._kept[id(message)] = (message, written)
        self._size += len(written)
        while self._size > KEPT_BYTES and len(self._kept) > 1:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._size -= len(dropped)
        return written

    def _plain(self, message: Message) -> dict[str, Any]:
        plain: dict[str, Any] = {"role": message.role, "content": self._content(message)}
        if message.name is not None:
            plain["name"] = message.name
        if message.tool_call_id is not None:
            plain["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            plain["tool_calls"] = [_call(call) for call in message.tool_calls]
        if message.role == "assistant" and (message.reasoning is not None or message.tool_calls):
            plain["reasoning_content"] = message.reasoning or ""
        return plain

    def _content(self, message: Message) -> str | list[dict[str, Any]]:
        if isinstance(message.content, str):
            return message.content
        return [piece for part in message.content for piece in self._pieces(part)]

    def _pieces(self, part: Part) -> list[dict[str, Any]]:
        if isinstance(part, TextPart):
            return [{"type": "text", "text": part.text}]
        if isinstance(part, ImagePart):
            return [_image(part.image)]
        if self.video == "video_url":
            return [{"type": "video_url", "video_url": {"url": video_url(part.video)}}]
        return self._clip(part.video)

    def _clip(self, clip: Clip) -> list[dict[str, Any]]:
        rules = MediaRules(max_num_frames_each_video=self.frames)
        chosen = sample_frames(len(clip.frames), clip.fps, rules)
        pieces: list[dict[str, Any]] = []
        for index in chosen:
            pieces.append({"type": "text", "text": timestamp(index / clip.fps)})
            pieces.append(_image(clip.frames[index]))
        return pieces


def tools_json(tools: Sequence[Tool]) -> bytes:
    """The JSON array of tool declarations."""
    return _ENCODE(
        [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in tools
        ]
    )


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _image(picture: Picture) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_url(picture)}}


def data_url(picture: Picture) -> str:
    """A picture as a data URL: the file's own bytes where it has some that endpoints take, else PNG."""
    content = picture.encoded
    kind = _kind_of(content) if content else None
    if content is None or kind is None:
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(picture.pixels())).save(buffer, format="PNG")
        content, kind = buffer.getvalue(), "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def video_url(clip: Clip) -> str:
    """A clip as MP4 in a data URL: H.264, even sides, its own frame rate."""
    buffer = io.BytesIO()
    width, height = (side - side % 2 for side in (clip.frames[0].width, clip.frames[0].height))
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(clip.fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = max(2, width), max(2, height), "yuv420p"
        for picture in clip.frames:
            pixels = np.ascontiguousarray(np.asarray(picture.pixels())[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return f"data:video/mp4;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _kind_of(content: bytes) -> str | None:
    if content.startswith(b"\x89PNG"):
        return "png"
    if content.startswith(b"\xff\xd8"):
        return "jpeg"
    return "webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None


class Delta(msgspec.Struct):
    """What a chunk adds to the message."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list["CallDelta"] | None = None


class FunctionDelta(msgspec.Struct):
    """A piece of a call."""

    name: str | None = None
    arguments: str | None = None


class CallDelta(msgspec.Struct):
    """A piece of a call, and which one; without an index its place in the list says that."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class Choice(msgspec.Struct):
    """The one choice that is asked for; `message` where an endpoint does not stream."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None


class CachedTokens(msgspec.Struct):
    """Part of the prompt that the endpoint had seen before."""

    cached_tokens: int | None = None


class UsageChunk(msgspec.Struct):
    """Tokens as the endpoint counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: CachedTokens | None = None
    cached_tokens: int | None = None


class Chunk(msgspec.Struct):
    """One `data:` line of a stream, or a whole answer."""

    choices: list[Choice] = []
    usage: UsageChunk | None = None
    error: Any = None


@dataclass(slots=True)
class _Call:
    """A call as far as it has arrived."""

    index: int
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def is_over(self, piece: CallDelta) -> bool:
        """Whether a piece of the same index starts another call: some endpoints send index 0 for every call.

        A new id alone does not say so: others make one up for every piece; but only the first piece has a name.
        """
        named = piece.function is not None and piece.function.name
        return bool(self.id and piece.id and piece.id != self.id and named)

    def take(self, piece: CallDelta) -> None:
        """Add a piece."""
        self.id = self.id or piece.id or ""
        if piece.function is not None:
            self.name = piece.function.name or self.name
            if piece.function.arguments:
                self.arguments.append(piece.function.arguments)


class Assembler:
    """Chunks of one answer, put together."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] | None = None
        self.calls: list[_Call] = []
        self.stop: Stop | None = None
        self.usage: Usage | None = None

    def add(self, chunk: Chunk) -> str:
        """Take one chunk in; returns the text that it adds."""
        if chunk.usage is not None:
            self.usage = _usage(chunk.usage)
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        if choice.finish_reason:
            self.stop = STOPS.get(choice.finish_reason, "stop")
        whole = choice.delta is None
        delta = choice.message if choice.delta is None else choice.delta
        if delta is None:
            return ""
        thought = delta.reasoning_content if delta.reasoning_content is not None else delta.reasoning
        if thought is not None:
            self.reasoning = self.reasoning or []
            self.reasoning.append(thought)
        for place, piece in enumerate(delta.tool_calls or ()):
            index = place if whole or piece.index is None else piece.index
            self._call_of(index, piece).take(piece)
        if delta.content:
            self.text.append(delta.content)
        return delta.content or ""

    @property
    def written(self) -> str:
        """The text so far."""
        return "".join(self.text)

    @property
    def started(self) -> bool:
        """Whether anything has arrived."""
        return bool(self.text or self.calls or self.reasoning)

    def message(self, *, prefix: str) -> Message:
        """The assistant message; calls without an id get `prefix` and their number."""
        ordered = sorted(self.calls, key=lambda call: call.index)
        calls = tuple(
            ToolCall(call.id or f"{prefix}:{number}", call.name, "".join(call.arguments) or "{}")
            for number, call in enumerate(ordered)
        )
        reasoning = None if self.reasoning is None else "".join(self.reasoning)
        return Message("assistant", self.written, reasoning=reasoning, tool_calls=calls)

    def _call_of(self, index: int, piece: CallDelta) -> _Call:
        """The call that a piece belongs to, a new one where it starts one."""
        call = next((call for call in reversed(self.calls) if call.index == index), None)
        if call is None or call.is_over(piece):
            call = _Call(index)
            self.calls.append(call)
        return call


def _usage(chunk: UsageChunk) -> Usage:
    details = chunk.prompt_tokens_details
    cached = chunk.cached_tokens or (details.cached_tokens if details is not None else 0) or 0
    return Usage(chunk.prompt_tokens, chunk.completion_tokens, cached)
