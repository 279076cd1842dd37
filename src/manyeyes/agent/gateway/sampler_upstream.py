"""`SamplerUpstream`: any `Sampler` behind the gateway; prompts as `TokenChat` writes them, answers as a server does.

    request → messages → those that were sampled in their places → ids → tokens → pieces of a chat stream

Every draw, mask and default is that of `TokenChat`, so that a black box leaves the samples that the same conversation
leaves in the white box.

Report: App. D (token in, token out).
"""

import asyncio
from collections import Counter
from collections.abc import Callable

import numpy as np

from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.gateway.conversations import Conversation, Conversations
from manyeyes.agent.gateway.dialect import Answer, Ask, Heard, Json, Telling
from manyeyes.agent.gateway.lasting import Lasting
from manyeyes.agent.gateway.sampler_call import SamplerCall
from manyeyes.agent.gateway.sampler_settings import TokenSettings
from manyeyes.agent.gateway.session import Session
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.token_chat_persistence import Course, Persistence
from manyeyes.agent.token_chat_prompt import Prompt
from manyeyes.agent.token_chat_segments import Segments
from manyeyes.core.messages import Message, ToolCall
from manyeyes.core.sampler import Completion, Sampler, SampleRequest
from manyeyes.inference.serve_choice import ChatChoice
from manyeyes.inference.serve_errors import ApiError, bad
from manyeyes.inference.serve_prompt import Served

LEFT = "the client left while it was sampled"


class SamplerUpstream:
    """See the module.

    Args:
        sampler: what generates tokens.
        served: its vocabulary and limits.
        settings: how it is asked.
        limiter: shared by all that talk to this sampler; a new one when left out.

    Attributes:
        counts: what came of the calls; see `TokenChat.counts`.
    """

    takes_bodies = False

    def __init__(
        self, sampler: Sampler, served: Served, settings: TokenSettings | None = None, *, limiter: Limiter | None = None
    ) -> None:
        self.sampler, self.served, self.settings = sampler, served, settings or TokenSettings()
        self.counts: Counter[str] = Counter()
        self._persistence = Persistence(
            Lasting(sampler), limiter or Limiter(), self.counts, retries=self.settings.retries,
            patience=self.settings.patience,
        )  # fmt: skip
        self._segments = {
            thinking: Segments(served.tokenizer, served.rules, thinking=thinking) for thinking in (True, False)
        }

    @property
    def name(self) -> str:
        """Of the model."""
        return self.served.name

    @property
    def version(self) -> int:
        """Of the weights that sample now."""
        return self.sampler.version

    async def close(self) -> None:
        """Nothing is held open."""

    def published(self, version: int) -> None:
        """A sampler knows by itself."""

    async def count(self, ask: Ask, session: Session) -> int:
        """Tokens of the prompt. Raises ApiError or ManyeyesError."""
        prompt, _ = await self._call(ask, session).prompt()
        return len(prompt.ids)

    async def answer(self, ask: Ask, session: Session, telling: Telling) -> Answer:
        """An assistant turn.

        Raises:
            ApiError, ManyeyesError: it could not be had.
        """
        chat = self._call(ask, session)
        prompt, media = await chat.prompt()
        request = SampleRequest(prompt.ids, media, await chat.params(prompt))
        choice, part = chat.choice(), Completion(stop="aborted")

        def on_token(token: int, logprob: float) -> None:
            part.ids.append(token)
            part.logprobs.append(logprob)
            part.versions.append(self.sampler.version)
            if ask.stream:
                telling.pieces(choice.take(token, logprob))

        try:
            done = await self._sampled(request, on_token)
        except asyncio.CancelledError:
            telling.heard = _heard(prompt, request, part, "", LEFT) if part.ids else None
            raise
        return self._finished(ask, chat, prompt, request, done, choice, telling)

    async def _sampled(self, request: SampleRequest, on_token: Callable[[int, float], None]) -> Completion:
        course = Course()
        try:
            done = await self._persistence.sample(request, on_token, course)
        except ModelError as error:
            raise _refusal(error) from None
        if done.unfinished:
            raise ApiError(503, f"sampling failed: {course.why}; gave up after {course.attempts} tries",
                           code="sampling_failed", retry_after=1.0)  # fmt: skip
        return done

    def _finished(
        self, ask: Ask, chat: SamplerCall, prompt: Prompt, request: SampleRequest, done: Completion,
        choice: ChatChoice, telling: Telling,
    ) -> Answer:  # fmt: skip
        said = chat.said(done)
        whole, message = said.choice, _message(said.choice["message"])
        chat.conversation.keep(message, prompt, request.media, done)
        told = sum(one.role == "assistant" for one in chat.messages)
        telling.heard = _heard(prompt, request, done, said.malformed)._replace(told=told)
        self._count(prompt, said.malformed, done)
        if (text := chat.stop_text(done)) is not None:
            whole["stop_reason"] = text
        if ask.stream:
            *last, end = choice.finish(done)
            telling.pieces([*last, end | {"stop_reason": whole.get("stop_reason")}])
        return Answer(whole, _usage(prompt, done, said.reasoning_tokens))

    def _count(self, prompt: Prompt, malformed: str, done: Completion) -> None:
        continues = "appended" if prompt.parent is not None else "fresh"
        self.counts[f"forked: {prompt.fork}" if prompt.fork else continues] += 1
        self.counts["malformed"] += bool(malformed)
        self.counts["cut"] += done.stop == "length"

    def _call(self, ask: Ask, session: Session) -> SamplerCall:
        seed = self.settings.seed if session.draws is None else session.draws
        said = self._conversations(session)
        return SamplerCall(ask.chat, self.served, self.settings, said, session.sampling, seed)

    def _conversations(self, session: Session) -> Conversations:
        """Of a tree of sessions, made when they are first asked for."""
        if session.said is None:
            modes = {
                thinking: Conversation(segments, self.settings.history, self.settings.matching)
                for thinking, segments in self._segments.items()
            }
            session.said = Conversations(modes)
        return session.said


def _heard(prompt: Prompt, request: SampleRequest, done: Completion, malformed: str, masked: str = "") -> Heard:
    return Heard(
        prompt.ids, np.array(done.ids, np.int32), np.array(done.logprobs, np.float32),
        np.array(done.versions, np.int32), request.media, done.logprob_kind, done.stop, prompt.fork, malformed, masked,
        done.routing, draw=request.params.draw,
    )  # fmt: skip


def _message(told: Json) -> Message:
    """What the client was told, as a message: it will send this again."""
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in told.get("tool_calls") or ()
    )
    return Message("assistant", told["content"] or "", told.get("reasoning_content"), calls)


def _usage(prompt: Prompt, done: Completion, reasoning: int) -> Json:
    return {
        "prompt_tokens": len(prompt.ids),
        "completion_tokens": len(done.ids),
        "total_tokens": len(prompt.ids) + len(done.ids),
        "prompt_tokens_details": {"cached_tokens": done.usage.cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _refusal(error: ModelError) -> ApiError:
    if error.kind in ("request", "overflow"):
        return bad(str(error), code="context_length_exceeded" if error.kind == "overflow" else None)
    return ApiError(502 if error.kind == "endpoint" else 403, str(error), code=error.kind)
