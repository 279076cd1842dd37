"""The same conversation in the white box: `TokenChat` over the same sampler, with the draws that the gateway made."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from manyeyes.agent.chat_model import Reply
from manyeyes.agent.gateway.dialect import Answer, Ask, Telling
from manyeyes.agent.gateway.matcher import meaning
from manyeyes.agent.gateway.sampler_upstream import SamplerUpstream
from manyeyes.agent.gateway.session import Session
from manyeyes.agent.token_chat import TokenChat
from manyeyes.core.messages import Message, ToolCall
from manyeyes.core.sampler import Completion, OnToken, Sampler, SampleRequest, SamplingParams
from manyeyes.inference.serve_media import MediaLimits
from manyeyes.inference.serve_messages import messages_of, tools_of
from manyeyes.inference.serve_prompt import thinks
from manyeyes.inference.serve_wire import ChatRequest

from .gateways import RULES, TINY


class Watched(SamplerUpstream):
    """Remembers what was asked and answered, call by call."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.talked: list[tuple[ChatRequest, Message]] = []

    async def answer(self, ask: Ask, session: Session, telling: Telling) -> Answer:
        answer = await super().answer(ask, session, telling)
        told = answer.choice["message"]
        calls = tuple(
            ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in told.get("tool_calls") or ()
        )
        said = Message("assistant", told["content"] or "", told.get("reasoning_content"), calls)
        self.talked.append((ask.chat, said))
        return answer


@dataclass
class Noted:
    """A sampler that keeps the parameters of its requests."""

    sampler: Sampler
    params: list[SamplingParams] = field(default_factory=list)

    @property
    def version(self) -> int:
        return self.sampler.version

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        self.params.append(request.params)
        return await self.sampler.sample(request, on_token=on_token)

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        return await self.sampler.sample_many(request, count)


@dataclass
class SameDraws:
    """A sampler that draws with given parameters, one after the other."""

    sampler: Sampler
    params: list[SamplingParams]

    @property
    def version(self) -> int:
        return self.sampler.version

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        return await self.sampler.sample(replace(request, params=self.params.pop(0)), on_token=on_token)

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        return await self.sampler.sample_many(request, count)


async def replayed(
    talked: Sequence[tuple[ChatRequest, Message]], sampler: Sampler, params: Sequence[SamplingParams],
    never: frozenset[int] | None, *, thinking: bool,
) -> list[Reply]:  # fmt: skip
    """What the white box samples in the same conversations."""
    draws = SameDraws(sampler, list(params))
    chats = {mode: TokenChat(draws, TINY, RULES, thinking=mode, never=never) for mode in (True, False)}
    replies: list[Reply] = []
    for request, _ in talked:
        said = messages_of(request.messages, MediaLimits())
        own = [_own(message, said[:at], talked, replies) for at, message in enumerate(said)]
        said_so = request.thinking is not None or request.chat_template_kwargs is not None
        chat = chats[thinks(request) if said_so else thinking]
        replies.append(await chat.complete(own, tools_of(request.tools or ())))
    return replies


def _own(
    message: Message, before: Sequence[Message], talked: Sequence[tuple[ChatRequest, Message]], replies: Sequence[Reply]
) -> Message:
    """The message that was sampled, where the black box writes it anew: in this conversation, or nowhere else.

    Where several mean the same in other conversations nobody can tell which of them is meant.
    """
    if message.role != "assistant":
        return message
    same = [at for at in range(len(replies)) if meaning(talked[at][1]) == meaning(message)]
    here = [at for at in same if _given(messages_of(talked[at][0].messages, MediaLimits())) == _given(before)]
    if here:
        return replies[here[-1]].message
    return replies[same[0]].message if len(same) == 1 else message


def _given(messages: Sequence[Message]) -> list[Message | None]:
    """A conversation as the world made it."""
    return [None if message.role == "assistant" else message for message in messages]
