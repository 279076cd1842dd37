"""`SamplerCall`: one request on its way to a sampler: messages, prompt, and how its tokens are chosen.

Report: App. D (token in, token out).
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from manyeyes.agent.gateway.conversations import Conversations
from manyeyes.agent.gateway.dialect import Json
from manyeyes.agent.gateway.sampler_settings import LONGEST_ANSWER, TokenSettings
from manyeyes.agent.token_chat_prompt import Prompt
from manyeyes.agent.token_chat_reading import CALL_ID
from manyeyes.agent.token_chat_reading import read as read_turn
from manyeyes.core.chat_parse import function_name
from manyeyes.core.conversation import check
from manyeyes.core.media import Media
from manyeyes.core.messages import Message, Tool
from manyeyes.core.sampler import Completion, Constraint, SamplingParams
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.serve_choice import ChatChoice
from manyeyes.inference.serve_errors import bad
from manyeyes.inference.serve_messages import messages_of, texts_of, tools_of
from manyeyes.inference.serve_prompt import Served, check_chat, thinks, turn_constraint
from manyeyes.inference.serve_wire import ChatRequest


class SamplerCall:
    """See the module. Raises ApiError for a request that contradicts itself."""

    def __init__(
        self,
        request: ChatRequest,
        served: Served,
        settings: TokenSettings,
        conversations: Conversations,
        sampling: dict[str, Any],
        seed: int,
    ) -> None:
        check_chat(request)
        self.request, self.served, self.settings, self.sampling = request, served, settings, sampling
        self.seed = seed
        said = request.thinking is not None or request.chat_template_kwargs is not None
        self.thinking = thinks(request) if said else self.settings.thinking
        self.conversations = conversations
        self.conversation = self.conversations.modes[self.thinking]
        self.messages: Sequence[Message] = ()
        self.tools: Sequence[Tool] = ()

    async def prompt(self) -> tuple[Prompt, tuple[Media, ...]]:
        """What is sent. Raises ApiError or ManyeyesError."""
        self._read()
        media = await self._decoded()
        prompt = self.conversation.write(self.messages, self.tools)
        self.conversation.segments.trim()
        if len(prompt.ids) >= self.served.context_tokens:
            raise bad(
                f"this model's context is {self.served.context_tokens:,} tokens; the prompt has {len(prompt.ids):,}",
                "messages", code="context_length_exceeded",
            )  # fmt: skip
        return prompt, media

    def _read(self) -> None:
        request, served = self.request, self.served
        served.refuse_many(len(request.messages), "messages")
        read = messages_of(request.messages, served.media)
        served.refuse_long((text for message in read for text in texts_of(message)), "messages")
        self.tools = [] if request.tool_choice == "none" else tools_of(request.tools or ())
        check(read)
        self.messages = self.conversation.restored(self.conversations.known(read, request.messages), self.tools)

    async def _decoded(self) -> tuple[Media, ...]:
        """Pictures are decoded once, in a thread."""
        segments, media = self.conversation.segments, []
        for message in self.messages:
            known = segments.media_of(message)
            if known is None:
                decoded = await asyncio.to_thread(segments.decode, message)
                segments.keep_decoded(message, decoded)
                known = decoded.media
            media += known
        return tuple(media)

    async def params(self, prompt: Prompt) -> SamplingParams:
        """How its tokens are chosen. Raises ApiError for a schema that no grammar holds."""
        request, tokenizer = self.request, self.served.tokenizer
        asked = request.max_completion_tokens or request.max_tokens or LONGEST_ANSWER
        own: dict[str, Any] = {
            "temperature": self.settings.temperature if request.temperature is None else request.temperature,
            "top_p": self.settings.top_p if request.top_p is None else request.top_p,
            "top_k": max(0, request.top_k or 0),
            "min_p": request.min_p or 0.0,
            "seed": self.conversations.next_seed(prompt.chain, self.seed) if request.seed is None else request.seed,
            "max_new_tokens": asked,
        } | self.sampling  # fmt: skip
        room = self.served.context_tokens - len(prompt.ids)
        own["max_new_tokens"] = max(1, min(own["max_new_tokens"], room))
        return SamplingParams(
            **own,
            stop_ids=frozenset(tokenizer.stops),
            stop_texts=self.stops,
            never=self._never(),
            top_logprobs=(request.top_logprobs or 0) if request.logprobs else 0,
            constraint=await self._constraint(),
            record_routing=self.settings.record_routing,
        )

    def _never(self) -> frozenset[int]:
        never = never_of(self.settings, self.served.tokenizer)
        return never | _call_marks(self.served.tokenizer) if self.request.tool_choice == "none" else never

    async def _constraint(self) -> Callable[[], Constraint] | None:
        if not _constrains(self.request):
            return None
        work = partial(turn_constraint, self.request, list(self.messages), self.served, thinking=self.thinking)
        return await asyncio.to_thread(work)

    def choice(self) -> ChatChoice:
        """A reader of its tokens."""
        request = self.request
        return ChatChoice(
            0, self.served.tokenizer, thinking=self.thinking, stops=self.stops, logprobs=bool(request.logprobs),
            top=bool(request.top_logprobs),
        )  # fmt: skip

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer."""
        stop = self.request.stop
        return (stop,) if isinstance(stop, str) else tuple(stop or ())

    def stop_text(self, done: Completion) -> str | None:
        """Which of them did."""
        if done.stop != "stop_text":
            return None
        text = self.served.tokenizer.decode(done.ids)
        return min((stop for stop in self.stops if stop in text), key=text.find, default=None)

    def said(self, done: Completion) -> "Said":
        """What the client is told, at once."""
        tokenizer, cut = self.served.tokenizer, done.stop == "length"
        turn = read_turn(done.ids, tokenizer, thinking=self.thinking, cut=cut)
        # Both readers say the same of a whole turn (inference.serve_turn); one of them reads token by token.
        if turn.malformed or done.stop != "stop" or self.request.logprobs or not _plain(turn.message):
            reader = self.choice()
            choice = reader.whole(done)
            return Said(choice, reader.reasoning_tokens, turn.malformed)
        thought = done.ids.index(tokenizer.end_think) + 1 if self.thinking and tokenizer.end_think in done.ids else 0
        return Said(_choice(turn.message, thinking=self.thinking), thought, "")


class Said(NamedTuple):
    """What tokens say, in the chat form.

    Attributes:
        reasoning_tokens: of them.
        malformed: why they are no assistant turn; "" when they are one.
    """

    choice: Json
    reasoning_tokens: int
    malformed: str


def _plain(message: Message) -> bool:
    """Whether its calls have the ids that were sampled, and it is as long as it was sampled."""
    return all(CALL_ID.fullmatch(call.id) and call.name == function_name(call.id) for call in message.tool_calls)


def _choice(message: Message, *, thinking: bool) -> Json:
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.tool_calls
    ]
    told: Json = {"role": "assistant", "content": message.text or (None if calls else ""), "refusal": None}
    if thinking:
        told["reasoning_content"] = message.reasoning or ""
    finish = "tool_calls" if calls else "stop"
    whole = told | ({"tool_calls": calls} if calls else {})
    return {"index": 0, "message": whole, "logprobs": None, "finish_reason": finish}


def never_of(settings: TokenSettings, tokenizer: Tokenizer) -> frozenset[int]:
    """Ids that are not sampled."""
    marks = (tokenizer.media_begin, tokenizer.media_content, tokenizer.media_pad, tokenizer.media_end)
    return frozenset(marks) if settings.never is None else settings.never


def _constrains(request: ChatRequest) -> bool:
    """Whether a request may need a grammar: making one takes a thread."""
    strict = any(tool.function.strict for tool in request.tools or ())
    free = request.tool_choice in (None, "auto", "none") and request.parallel_tool_calls is not False
    return request.response_format is not None or strict or not free


def _call_marks(tokenizer: Tokenizer) -> frozenset[int]:
    marks = (tokenizer.calls_begin, tokenizer.calls_end, tokenizer.call_begin, tokenizer.call_end)
    return frozenset((*marks, tokenizer.call_argument_begin))
