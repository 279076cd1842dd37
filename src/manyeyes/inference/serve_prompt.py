"""What a request of the OpenAI API asks of the sampler: ids, media, and how tokens are chosen.

Runs in a thread: it renders, compiles grammars and decodes pictures.

Report: §4.1 (thinking and instant mode are one model), App. D (tool use).
"""

import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from manyeyes.core.chat import render
from manyeyes.core.media import MediaRules
from manyeyes.core.messages import Message
from manyeyes.core.sampler import Constraint, SampleRequest, SamplingParams
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.constraint import GrammarError, Grammars
from manyeyes.inference.constraint_turn import (
    ANY_OBJECT,
    MOST_CALLS,
    Calls,
    Schema,
    TurnShape,
    arguments_schema,
    turn_grammar,
)
from manyeyes.inference.serve_errors import bad
from manyeyes.inference.serve_media import MediaLimits
from manyeyes.inference.serve_messages import messages_of, texts_of, tools_of
from manyeyes.inference.serve_wire import ChatRequest, Function, NamedChoice, Sampling

MESSAGE_MARKS = 4
"""Tokens of a message without content: <|im_user|>, the name, <|im_middle|>, <|im_end|>."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is served, and within what limits.

    Attributes:
        name: of the model.
        tokenizer: its vocabulary.
        rules: how it sees pictures.
        context_tokens: prompt and completion together.
        media: limits of pictures and films.
        grammars: for constraints.
        longest_token: bytes.
    """

    name: str
    tokenizer: Tokenizer
    rules: MediaRules
    context_tokens: int
    grammars: Grammars
    media: MediaLimits = MediaLimits()
    longest_token: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "longest_token", max(map(len, self.tokenizer.tokens)))

    def refuse_long(self, texts: Iterable[str], param: str) -> None:
        """Raises ApiError for texts that cannot fit, however they are cut into tokens: before that takes a minute."""
        size = sum(map(len, texts))
        if size > self.context_tokens * self.longest_token:
            raise bad(
                f"this model's context is {self.context_tokens:,} tokens; {size:,} characters are never so few", param,
                code="context_length_exceeded",
            )  # fmt: skip

    def refuse_many(self, messages: int, param: str) -> None:
        """Raises ApiError for more messages than there is room for the marks of."""
        if messages * MESSAGE_MARKS > self.context_tokens:
            raise bad(
                f"this model's context is {self.context_tokens:,} tokens; {messages:,} messages do not fit", param,
                code="context_length_exceeded",
            )  # fmt: skip

    def room(self, prompt: int, asked: int | None, param: str, *, usual: int | None = None) -> int:
        """How many tokens may be sampled; `usual` where nothing was asked for.

        Raises:
            ApiError: the prompt leaves none, or fewer than are asked for.
        """
        left = self.context_tokens - prompt
        if left < 1 or (asked is not None and asked > left):
            more = f" and {asked:,} are asked for" if asked is not None and left >= 1 else ""
            raise bad(
                f"this model's context is {self.context_tokens:,} tokens; the prompt has {prompt:,}{more}",
                param if more else "messages", code="context_length_exceeded",
            )  # fmt: skip
        return asked if asked is not None else min(left, usual or left)


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A chat request, ready to be sampled."""

    request: SampleRequest
    thinking: bool
    offers_tools: bool


def chat_prompt(request: ChatRequest, served: Served) -> ChatPrompt:
    """Check, render, decode.

    Raises:
        ApiError, ManyeyesError: what is wrong with it.
    """
    check_chat(request)
    thinking = thinks(request)
    served.refuse_many(len(request.messages), "messages")
    messages = messages_of(request.messages, served.media)
    tools = tools_of(request.tools or ())
    served.refuse_long((text for message in messages for text in texts_of(message)), "messages")
    served.refuse_long((json.dumps(tool.parameters) + tool.description for tool in tools), "tools")
    rendered = render(
        messages, served.tokenizer, rules=served.rules, tools=tools, thinking=thinking, generation_prompt=True
    )
    asked = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    room = served.room(rendered.length, asked, "max_completion_tokens")
    calls = _calls(request)
    params = sampling_params(
        request, served.tokenizer, room=room, said=_said(served.tokenizer, thinking=thinking, calls=calls != "none"),
        top_logprobs=(request.top_logprobs or 0) if request.logprobs else 0,
        constraint=turn_constraint(request, messages, served, thinking=thinking),
    )  # fmt: skip
    media = tuple(visual.media() for visual in rendered.visuals)
    return ChatPrompt(SampleRequest(rendered.ids, media, params), thinking, calls != "none")


def thinks(request: ChatRequest) -> bool:
    """Whether the model may think before it answers."""
    if request.chat_template_kwargs is not None and request.chat_template_kwargs.thinking is not None:
        return request.chat_template_kwargs.thinking
    return request.thinking is None or request.thinking.type == "enabled"


def sampling_params(
    request: Sampling,
    tokenizer: Tokenizer,
    *,
    room: int,
    said: frozenset[int],
    top_logprobs: int = 0,
    constraint: Callable[[], Constraint] | None = None,
) -> SamplingParams:
    """How tokens are chosen; of the special ones only those `said` are."""
    stops = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    return SamplingParams(
        max_new_tokens=room,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=max(0, request.top_k or 0),
        min_p=request.min_p or 0.0,
        seed=secrets.randbits(31) if request.seed is None else request.seed,
        stop_ids=frozenset(tokenizer.stops),
        stop_texts=stops,
        never=frozenset(tokenizer.special.values()) - said,
        top_logprobs=top_logprobs,
        constraint=constraint,
    )


def text_ids(text: str, tokenizer: Tokenizer, *, begin: bool) -> np.ndarray:
    """Ids of a text, as a document begins or as they are."""
    return np.array([*([tokenizer.bos] if begin else []), *tokenizer.encode(text)], np.int32)


def check_chat(request: ChatRequest) -> None:
    """Raises ApiError for fields that contradict each other."""
    for name in ("functions", "function_call"):
        if getattr(request, name) is not None:
            raise bad(f"{name} is of an old form of the API: use tools and tool_choice", name)
    if request.top_logprobs and not request.logprobs:
        raise bad("top_logprobs goes with logprobs: true only", "top_logprobs")
    if not request.tools and request.tool_choice not in (None, "none"):
        raise bad("tool_choice goes with tools only", "tool_choice")
    if isinstance(request.tool_choice, NamedChoice):
        names = [spec.function.name for spec in request.tools or ()]
        if request.tool_choice.function.name not in names:
            raise bad(f"no tool {request.tool_choice.function.name[:64]!r} among {', '.join(names)}", "tool_choice")
    format = request.response_format
    schema = None if format is None or format.json_schema is None else format.json_schema.schema
    if format is not None and format.type == "json_schema" and schema is None:
        raise bad("response_format json_schema needs its schema", "response_format.json_schema.schema")


def _calls(request: ChatRequest) -> Calls:
    if not request.tools or request.tool_choice == "none":
        return "none"
    return "may" if request.tool_choice in (None, "auto") else "must"


def _said(tokenizer: Tokenizer, *, thinking: bool, calls: bool) -> frozenset[int]:
    """Special ids that a turn may hold."""
    marks = (
        tokenizer.calls_begin, tokenizer.calls_end, tokenizer.call_begin, tokenizer.call_argument_begin,
        tokenizer.call_end,
    )  # fmt: skip
    return frozenset([*tokenizer.stops, *(marks if calls else ()), *([tokenizer.end_think] if thinking else ())])


def turn_constraint(
    request: ChatRequest, messages: list[Message], served: Served, *, thinking: bool
) -> Callable[[], Constraint] | None:
    """The grammar of the turn; None where it may be anything."""
    calls, answer = _calls(request), _answer(request)
    strict = calls == "may" and any(spec.function.strict for spec in request.tools or ())
    single = calls == "may" and request.parallel_tool_calls is False
    if answer is None and calls != "must" and not strict and not single:
        return None
    shape = TurnShape(
        thinking=thinking, answer=answer, calls=calls,
        tools=tuple((f.name, _arguments(f, forced=calls == "must")) for f in _callable(request)),
        most_calls=1 if request.parallel_tool_calls is False or _named(request) else MOST_CALLS,
        first_call=sum(len(message.tool_calls) for message in messages),
    )  # fmt: skip
    for name, schema in shape.tools:
        _checked(served.grammars, schema, f"tool {name}", "tools")
    if answer is not None:
        _checked(served.grammars, answer, "response_format", "response_format")
    return served.grammars.compiled(turn_grammar(shape, served.tokenizer))


def _answer(request: ChatRequest) -> Schema | None:
    format = request.response_format
    if format is None or format.type == "text":
        return None
    if format.type == "json_object" or format.json_schema is None:
        return ANY_OBJECT
    return format.json_schema.schema or {}


def _callable(request: ChatRequest) -> list[Function]:
    functions = [spec.function for spec in request.tools or ()]
    return [function for function in functions if _named(request) in (None, function.name)]


def _named(request: ChatRequest) -> str | None:
    return request.tool_choice.function.name if isinstance(request.tool_choice, NamedChoice) else None


def _arguments(function: Function, *, forced: bool) -> Schema:
    """What arguments must fit: `strict` decides; left open, they fit where a call is asked for."""
    enforced = forced if function.strict is None else function.strict
    return arguments_schema(function.parameters or {}) if enforced else ANY_OBJECT


def _checked(grammars: Grammars, schema: Schema, where: str, param: str) -> None:
    try:
        grammars.check_schema(schema, where)
    except GrammarError as error:
        raise bad(str(error), param, code="unsupported_schema") from None
