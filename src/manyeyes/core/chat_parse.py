"""Token ids of an assistant turn back to a `Message`, by their special tokens: text that looks like one is just text.

The inverse of `core.chat.render` on what a model samples: ids(render(parse(ids))) = ids wherever the text in between
was encoded the usual way. A turn cut short by a length limit parses as far as it goes, so long as no tool call is open.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from manyeyes.core.conversation import ChatError
from manyeyes.core.messages import Message, ToolCall
from manyeyes.core.tokenizer import Tokenizer

_MISSPELT_BEGIN = "<|tool_call_section_begin|>"
_MISSPELT_END = "<|tool_call_section_end|>"


class _Body(NamedTuple):
    """Ids between the head of a turn and its end; `thinking`: they begin inside a thought; `marked`: with `<think>`."""

    name: str | None
    ids: list[int]
    thinking: bool
    marked: bool


def parse(ids: Iterable[int], tokenizer: Tokenizer, *, thinking: bool = True) -> Message:
    """The assistant message that ids say.

    Args:
        ids: a whole turn from `<|im_assistant|>` on, or only what was sampled after a generation prompt. `<|im_end|>`
            (or `[EOS]`) ends them; it may be missing.
        tokenizer: the vocabulary that wrote them.
        thinking: which generation prompt stood before sampled ids; a whole turn shows it itself.

    Raises:
        ChatError: ids after the end, a special token out of place, or a tool call that is not closed.
    """
    body = _body([int(token) for token in ids], tokenizer, thinking)
    reasoning, rest = _split_reasoning(body, tokenizer)
    content, calls = _split_calls(rest, tokenizer)
    text = _text(content, tokenizer, "content")
    return Message("assistant", text, reasoning, _parse_calls(calls, tokenizer), name=body.name)


def function_name(call_id: str) -> str:
    """The function that a call id names: after the first dot, before the last colon.

    Example:
        >>> function_name("functions.zoom:3"), function_name("zoom:3")
        ('zoom', 'zoom')
    """
    _, dot, after = call_id.strip().partition(".")
    name, colon, number = (after if dot else call_id.strip()).rpartition(":")
    return name if colon else number


def _body(ids: list[int], tokenizer: Tokenizer, thinking: bool) -> _Body:
    ids = _until_end(ids, tokenizer)
    name = None
    whole = ids[:1] == [tokenizer.im_assistant]
    if whole:
        if tokenizer.im_middle not in ids:
            raise ChatError("an assistant turn starts with <|im_assistant|>name<|im_middle|>, <|im_middle|> is missing")
        middle = ids.index(tokenizer.im_middle)
        name = _text(ids[1:middle], tokenizer, "name")
        ids = ids[middle + 1 :]
    marked = ids[:1] == [tokenizer.think]
    ids = ids[marked:]
    return _Body(None if name == "assistant" else name, ids, marked or (thinking and not whole), marked)


def _until_end(ids: list[int], tokenizer: Tokenizer) -> list[int]:
    end = next((at for at, token in enumerate(ids) if token in tokenizer.stops), len(ids))
    if end < len(ids) - 1:
        raise ChatError(f"{len(ids) - 1 - end} ids after the end of the assistant turn, expected none")
    return ids[:end]


def _split_reasoning(body: _Body, tokenizer: Tokenizer) -> tuple[str | None, list[int]]:
    if not body.thinking:
        return None, body.ids
    close = body.ids.index(tokenizer.end_think) if tokenizer.end_think in body.ids else len(body.ids)
    reasoning = _text(body.ids[:close], tokenizer, "reasoning")
    # An empty thought in a whole turn is what the template writes itself; a sampled one was the model's choice.
    return (None if body.marked and not reasoning else reasoning), body.ids[close + 1 :]


def _split_calls(ids: list[int], tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Content, and what stands inside the tool-call section (empty: there is none)."""
    if tokenizer.calls_begin not in ids:
        return _split_misspelt_calls(ids, tokenizer) if tokenizer.call_begin in ids else (ids, [])
    begin = ids.index(tokenizer.calls_begin)
    if ids[-1] != tokenizer.calls_end:
        raise ChatError("the tool-call section must close with <|tool_calls_section_end|> and end the turn")
    if len(ids) - begin == 2:
        raise ChatError("the tool-call section is empty, expected at least one call")
    return ids[:begin], ids[begin + 1 : -1]


def _split_misspelt_calls(ids: list[int], tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The released model sometimes spells the section's marks in the singular, as plain text, around real calls."""
    first = ids.index(tokenizer.call_begin)
    after_last = len(ids) - ids[::-1].index(tokenizer.call_end) if tokenizer.call_end in ids else len(ids)
    before, after = tokenizer.decode(ids[:first]), tokenizer.decode(ids[after_last:])
    if not before.endswith(_MISSPELT_BEGIN) or after.strip() not in ("", _MISSPELT_END):
        raise ChatError("tool calls must stand in a section that <|tool_calls_section_begin|> opens")
    return tokenizer.encode(before.removesuffix(_MISSPELT_BEGIN)), ids[first:after_last]


def _parse_calls(ids: list[int], tokenizer: Tokenizer) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    while ids:
        if ids[0] != tokenizer.call_begin or tokenizer.call_end not in ids:
            raise ChatError(f"tool call {len(calls)} must stand between <|tool_call_begin|> and <|tool_call_end|>")
        end = ids.index(tokenizer.call_end)
        calls.append(_parse_call(ids[1:end], tokenizer))
        ids = ids[end + 1 :]
    return tuple(calls)


def _parse_call(ids: list[int], tokenizer: Tokenizer) -> ToolCall:
    if tokenizer.call_argument_begin not in ids:
        raise ChatError("a tool call needs <|tool_call_argument_begin|> between its id and its arguments")
    middle = ids.index(tokenizer.call_argument_begin)
    call_id = _text(ids[:middle], tokenizer, "tool call id")
    return ToolCall(call_id, function_name(call_id), _text(ids[middle + 1 :], tokenizer, "tool call arguments"))


def _text(ids: Sequence[int], tokenizer: Tokenizer, where: str) -> str:
    special = next((token for token in ids if tokenizer.is_special(token)), None)
    if special is not None:
        raise ChatError(f"special token {tokenizer.decode([special])} in the {where}, expected text only")
    return tokenizer.decode(ids)
