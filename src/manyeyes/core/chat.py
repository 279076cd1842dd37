"""Conversations and documents as token ids with a loss weight each, in the exact format of K2.5.

    message := ROLE name <|im_middle|> body <|im_end|>        ROLE = <|im_user|>, <|im_assistant|> or <|im_system|>
    assistant body := <think>reasoning</think> content tool-calls

Tools are declared first. Reasoning is kept only in the open turn: everything up to the last assistant message without
tool calls is history and starts with an empty `<think></think>`. So a longer conversation of the same open turn only
appends ids. An image is `<|media_begin|>image<|media_content|><|media_pad|>...<|media_end|>` and a newline, a clip is
one such block with a time before it for each chunk. Text between two special tokens is encoded in one piece.

Weights: what the model itself writes weighs 1: the reasoning and its `</think>`, the content, the tool calls and
`<|im_end|>`. All that the template forces, and all media, weigh 0.
Report: §4.2, App. D; the rules are those of the released chat template. `preserve_thinking` is that of K2.6.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.chat_parse import parse
from manyeyes.core.conversation import ChatError, check
from manyeyes.core.media import Clip, MediaRules, Picture, Visual, image_visual, video_visuals
from manyeyes.core.messages import ImagePart, Message, Part, TextPart, Tool, VideoPart, part_of
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.tool_declaration import declare

__all__ = ["ChatError", "Rendered", "parse", "render", "render_document"]


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """Ids with weights, and the media whose pixels nobody has decoded yet.

    Attributes:
        ids: int32 [T].
        weights: float32 [T], the weight of predicting `ids[t]`; `weights[0]` is 0.
        visuals: one for each run of `<|media_pad|>`, in order; each fills `visual.grid.tokens` of them.
    """

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    visuals: tuple[Visual, ...] = ()

    @property
    def length(self) -> int:
        """Number of tokens, media tokens included."""
        return int(self.ids.shape[0])

    def sample(self, name: str) -> Sample:
        """The trainable record: decodes the pixels. Raises MediaError on damaged ones."""
        return Sample(self.ids, self.weights, tuple(visual.media() for visual in self.visuals), name)


def render(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    *,
    rules: MediaRules,
    tools: Sequence[Tool] = (),
    thinking: bool = True,
    generation_prompt: bool = False,
    weight_roles: Collection[str] = ("assistant",),
    preserve_thinking: bool = False,
    as_sampled: bool = False,
) -> Rendered:
    """A conversation as ids. Decodes no pixels.

    Args:
        messages: at least one.
        tokenizer: vocabulary and special ids.
        rules: how pictures and clips become tokens.
        tools: what the assistant may call.
        thinking: False is instant mode: no reasoning, not even in the open turn.
        generation_prompt: end with the head of an assistant message, for the model to go on.
        weight_roles: whose bodies are learned from.
        preserve_thinking: every assistant message keeps its reasoning (K2.6).
        as_sampled: the last message, an assistant's, stands as it was sampled: after the ids of
            `render(messages[:-1], generation_prompt=True)`, with its reasoning. This is what supervised training on
            reasoning and reinforcement learning want; without it a final answer closes the turn and drops it.

    Raises:
        ChatError: a conversation that has no rendering.
    """
    check(messages)
    if as_sampled and messages[-1].role != "assistant":
        raise ChatError(f"as_sampled expects an assistant message at the end, got {messages[-1].role}")
    writer = _Writer(tokenizer, rules)
    if tools:
        writer.head(tokenizer.im_system, "tool_declare")
        writer.text(declare(tools))
        writer.special(tokenizer.im_end)
    first_open = 0 if preserve_thinking else _first_open(messages[:-1] if as_sampled else messages)
    for index, message in enumerate(messages):
        weight = float(message.role in weight_roles)
        _write_message(writer, message, weight, thinks=thinking and index >= first_open)
    if generation_prompt:
        writer.head(tokenizer.im_assistant, "assistant")
        writer.special(tokenizer.think)
        if not thinking:
            writer.special(tokenizer.end_think)
    return writer.rendered()


def render_document(
    parts: Sequence[str | Picture | Clip | Part], tokenizer: Tokenizer, *, rules: MediaRules
) -> Rendered:
    """A document for pre-training, `[BOS] parts [EOS]`: all its text and the end weigh 1, media weigh 0.

    Media stand as in a chat, without the newline.
    """
    writer = _Writer(tokenizer, rules)
    writer.special(tokenizer.bos)
    for part in parts:
        writer.part(part_of(part), 1.0, newline="")
    writer.special(tokenizer.eos, 1.0)
    rendered = writer.rendered()
    if rendered.length == 2:
        raise ChatError("a document needs text or media, this one is empty")
    return rendered


def _first_open(messages: Sequence[Message]) -> int:
    """Index after the last assistant message without tool calls: where the open turn starts."""
    closing = [i for i, message in enumerate(messages) if message.role == "assistant" and not message.tool_calls]
    return closing[-1] + 1 if closing else 0


def _write_message(writer: "_Writer", message: Message, weight: float, *, thinks: bool) -> None:
    tokenizer = writer.tokenizer
    role = {"user": tokenizer.im_user, "assistant": tokenizer.im_assistant}.get(message.role, tokenizer.im_system)
    writer.head(role, message.name or message.role)
    if message.role == "assistant":
        _write_reasoning(writer, message.reasoning if thinks else None, weight)
    if message.role == "tool":
        writer.text(f"## Return of {message.tool_call_id}\n")
    for part in message.parts:
        writer.part(part, weight, newline="\n")
    _write_calls(writer, message, weight)
    writer.special(tokenizer.im_end, weight)


def _write_reasoning(writer: "_Writer", reasoning: str | None, weight: float) -> None:
    writer.special(writer.tokenizer.think)
    writer.text(reasoning or "", weight)
    writer.special(writer.tokenizer.end_think, 0.0 if reasoning is None else weight)


def _write_calls(writer: "_Writer", message: Message, weight: float) -> None:
    if not message.tool_calls:
        return
    tokenizer = writer.tokenizer
    writer.special(tokenizer.calls_begin, weight)
    for call in message.tool_calls:
        writer.special(tokenizer.call_begin, weight)
        writer.text(call.id, weight)
        writer.special(tokenizer.call_argument_begin, weight)
        writer.text(call.arguments, weight)
        writer.special(tokenizer.call_end, weight)
    writer.special(tokenizer.calls_end, weight)


@dataclass(slots=True)
class _Writer:
    """Collects ids and weights. Text waits until a special token ends it, then is encoded in one piece."""

    tokenizer: Tokenizer
    rules: MediaRules
    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    visuals: list[Visual] = field(default_factory=list)
    waiting: list[tuple[str, float]] = field(default_factory=list)

    def head(self, role: int, name: str) -> None:
        self.special(role)
        self.text(name)
        self.special(self.tokenizer.im_middle)

    def text(self, text: str, weight: float = 0.0) -> None:
        if text:
            self.waiting.append((text, weight))

    def special(self, token: int, weight: float = 0.0, *, times: int = 1) -> None:
        self._write_text()
        self.ids.extend([token] * times)
        self.weights.extend([weight] * times)

    def part(self, part: Part, weight: float, *, newline: str) -> None:
        match part:
            case TextPart(text):
                self.text(text, weight)
            case ImagePart(image):
                self._block("image", image_visual(image, self.rules))
                self.text(newline)
            case VideoPart(video):
                for timestamp, visual in video_visuals(video, self.rules):
                    self.text(timestamp)
                    self._block("video", visual)
                self.text(newline)

    def rendered(self) -> Rendered:
        self._write_text()
        return Rendered(np.array(self.ids, np.int32), np.array(self.weights, np.float32), tuple(self.visuals))

    def _block(self, kind: str, visual: Visual) -> None:
        self.special(self.tokenizer.media_begin)
        self.text(kind)
        self.special(self.tokenizer.media_content)
        self.special(self.tokenizer.media_pad, times=visual.grid.tokens)
        self.special(self.tokenizer.media_end)
        self.visuals.append(visual)

    def _write_text(self) -> None:
        if not self.waiting:
            return
        ids = self.tokenizer.encode("".join(text for text, _ in self.waiting))
        self.ids.extend(ids)
        self.weights.extend(self._weights_of(ids))
        self.waiting.clear()

    def _weights_of(self, ids: Sequence[int]) -> list[float]:
        """A token weighs what its last byte weighs (a newline that the template forced may join the text after it)."""
        _, first = self.waiting[0]
        if all(weight == first for _, weight in self.waiting):
            return [first] * len(ids)
        ends = np.cumsum([len(text.encode("utf-8", "surrogatepass")) for text, _ in self.waiting])
        last_bytes = np.cumsum([len(self.tokenizer.token_bytes(token)) for token in ids]) - 1
        owners = np.searchsorted(ends, last_bytes, side="right").clip(max=len(ends) - 1)
        return [self.waiting[owner][1] for owner in owners]
