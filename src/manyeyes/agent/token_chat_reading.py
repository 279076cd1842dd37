"""What sampled ids say: a message where they are a turn, their text where they are none; and their text as it comes.

A turn that does not parse is an answer all the same: the agent goes on with its text, and the trainer is told why.
Call ids follow the template, `functions.NAME:IDX`, IDX counting the calls of the conversation; one that does not is
replaced, because results are returned under it.

Report: App. D; the id's form is that of the released template.
"""

import codecs
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from manyeyes.agent.chat_model import Stop
from manyeyes.core.chat_parse import function_name, parse
from manyeyes.core.conversation import ChatError
from manyeyes.core.messages import Message, ToolCall
from manyeyes.core.tokenizer import Tokenizer

CALL_ID = re.compile(r"functions\.\S+:\d+")


class Read(NamedTuple):
    """What was said.

    Attributes:
        message: of the assistant.
        stop: why it ended.
        malformed: why the ids are no turn; "" when they are one.
    """

    message: Message
    stop: Stop
    malformed: str = ""


def read(ids: Sequence[int], tokenizer: Tokenizer, *, thinking: bool, cut: bool, calls_before: int = 0) -> Read:
    """Sampled ids as a message.

    Args:
        ids: what followed the generation prompt.
        tokenizer: the vocabulary they are of.
        thinking: which generation prompt that was.
        cut: the longest length was reached. A call that was cut open is not made.
        calls_before: calls of the conversation so far.
    """
    try:
        message = _named(parse(ids, tokenizer, thinking=thinking), calls_before)
    except ChatError as error:
        told = _as_text(ids, tokenizer, thinking, str(error))
        return (_before_calls(ids, tokenizer, thinking) or told._replace(stop="length")) if cut else told
    return Read(message, "length" if cut else "tool_calls" if message.tool_calls else "stop")


def closing(ids: Sequence[int], tokenizer: Tokenizer, *, thinking: bool) -> list[int]:
    """What the template writes behind sampled ids so that the turn is over: of a cut thought its end, and the end."""
    over = bool(ids) and ids[-1] == tokenizer.im_end
    thought = thinking and tokenizer.end_think not in ids
    return [] if over else [*([tokenizer.end_think] if thought else []), tokenizer.im_end]


def out_of_turn(tokenizer: Tokenizer, *, thinking: bool) -> frozenset[int]:
    """Special ids that no assistant turn holds; those of tool calls stay.

    A mask changes the distribution that is sampled from, by what the model gives these ids: a lot while it has learned
    little.
    """
    calls = {tokenizer.calls_begin, tokenizer.calls_end, tokenizer.call_begin, tokenizer.call_end}
    said = {*tokenizer.stops, *calls, tokenizer.call_argument_begin, *([tokenizer.end_think] if thinking else ())}
    return frozenset(tokenizer.special.values()) - said


class ContentStream:
    """Sampled ids, one by one, to pieces of the answer's text: no reasoning, no calls, no half characters."""

    def __init__(self, tokenizer: Tokenizer, on_text: Callable[[str], None], *, thinking: bool) -> None:
        self._tokenizer, self._on_text = tokenizer, on_text
        self._thinks, self._over = thinking, False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: int, logprob: float) -> None:
        """An id was sampled."""
        if self._over:
            return
        if self._tokenizer.is_special(token):
            thought = self._thinks and token == self._tokenizer.end_think
            self._thinks, self._over = self._thinks and not thought, not thought
        elif not self._thinks:
            self._tell(self._decoder.decode(self._tokenizer.token_bytes(token)))

    def close(self) -> None:
        """No more will come."""
        self._tell(self._decoder.decode(b"", final=True))

    def _tell(self, text: str) -> None:
        if text:
            self._on_text(text)


def _named(message: Message, calls_before: int) -> Message:
    calls = tuple(_call(call, calls_before + number) for number, call in enumerate(message.tool_calls))
    return replace(message, tool_calls=calls) if calls != message.tool_calls else message


def _call(call: ToolCall, index: int) -> ToolCall:
    if CALL_ID.fullmatch(call.id):
        return call
    name = function_name(call.id).strip()
    if not name:
        raise ChatError(f"tool call {index} names no function, expected functions.NAME:{index}")
    return ToolCall(f"functions.{name}:{index}", name, call.arguments)


def _before_calls(ids: Sequence[int], tokenizer: Tokenizer, thinking: bool) -> Read | None:
    """An answer that was cut off inside its calls: what stands before them; None where that is no turn either."""
    if tokenizer.calls_begin not in ids:
        return None
    try:
        return Read(parse(ids[: list(ids).index(tokenizer.calls_begin)], tokenizer, thinking=thinking), "length")
    except ChatError:
        return None


def _as_text(ids: Sequence[int], tokenizer: Tokenizer, thinking: bool, why: str) -> Read:
    said = list(ids[:-1] if ids and ids[-1] in tokenizer.stops else ids)
    reasoning = None
    if thinking:
        at = said.index(tokenizer.end_think) if tokenizer.end_think in said else len(said)
        reasoning, said = tokenizer.decode(said[:at]), said[at + 1 :]
    return Read(Message("assistant", tokenizer.decode(said), reasoning), "stop", malformed=why)
