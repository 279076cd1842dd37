"""Token in, token out: what is sent again is what was sampled, for every conversation that only grows."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.chat_model import ModelError, Reply, Sampling
from manyeyes.agent.context import with_hidden
from manyeyes.agent.gate import Gate
from manyeyes.agent.remote_errors import NotAllowed, Unreachable
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.token_chat_reading import ContentStream, out_of_turn, read
from manyeyes.agent.token_chat_sampled import Sampled
from manyeyes.agent.token_chat_segments import Segments
from manyeyes.agent.token_chat_turns import Turn, Turns
from manyeyes.agent.toolset import Functions
from manyeyes.core.chat import render
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.journal import Journal
from manyeyes.core.media import Clip, Grid, Media, MediaRules, Picture
from manyeyes.core.messages import ImagePart, Message, TextPart, Tool, ToolCall, assistant, system, tool_result, user
from manyeyes.core.sampler import (
    Completion,
    OnToken,
    Overloaded,
    RequestError,
    SampleRequest,
    SamplerError,
    SampleUsage,
    TooLong,
)
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.swarm.orchestrator import SwarmConfig

from .finders import look_up, policy

TINY = Tokenizer.tiny()
RULES = MediaRules(patch_size=8)
ZOOM = Tool("zoom", "Zooms in.", {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]})
BYTE = {TINY.tokens[rank]: rank for rank in range(TINY.n_ranks) if len(TINY.tokens[rank]) == 1}


@dataclass
class ScriptedSampler:
    """Samples what a script says: ids, a completion, or an error; the last entry again and again."""

    script: list[list[int] | Completion | SamplerError]
    version: int = 7
    requests: list[SampleRequest] = field(default_factory=list)

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        self.requests.append(request)
        entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(entry, SamplerError):
            raise entry
        told = entry if isinstance(entry, Completion) else self.completion(entry)
        for token, logprob in zip(told.ids, told.logprobs, strict=True):
            if on_token is not None:
                on_token(token, logprob)
        return told

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        return [await self.sample(request) for _ in range(count)]

    def completion(self, ids: list[int], stop: Any = "stop", version: int | None = None) -> Completion:
        logprobs = [-0.5 * (i + 1) for i in range(len(ids))]
        versions = [self.version if version is None else version] * len(ids)
        return Completion(list(ids), logprobs, versions, stop, usage=SampleUsage(0, 3, len(ids)))

    @property
    def sent(self) -> list[list[int]]:
        return [request.ids.tolist() for request in self.requests]


def said(message: Message, *, thinking: bool = True, spelt: bool = False) -> list[int]:
    """The ids a model would sample for a message; `spelt`: byte by byte, which no encoder does."""
    text = (lambda t: [BYTE[bytes([b])] for b in t.encode()]) if spelt else TINY.encode
    ids = [*text(message.reasoning or ""), TINY.end_think] if thinking else []
    ids += text(message.text)
    for number, call in enumerate(message.tool_calls):
        ids += [TINY.calls_begin] * (number == 0) + [TINY.call_begin, *text(call.id), TINY.call_argument_begin]
        ids += [*text(call.arguments), TINY.call_end]
    return [*ids, *([TINY.calls_end] if message.tool_calls else []), TINY.im_end]


def chat_of(*script: list[int] | Completion | SamplerError, **settings: Any) -> tuple[TokenChat, ScriptedSampler]:
    sampler = ScriptedSampler(list(script))
    return TokenChat(sampler, TINY, RULES, **settings), sampler


def ask(chat: TokenChat, messages: Sequence[Message], tools: Sequence[Tool] = (), **options: Any) -> Reply:
    return asyncio.run(chat.complete(messages, tools, **options))


def rendered(messages: Sequence[Message], tools: Sequence[Tool], **options: Any) -> list[int]:
    return render(messages, TINY, rules=RULES, tools=tools, generation_prompt=True, **options).ids.tolist()


def picture(level: int = 7, side: int = 32) -> Picture:
    return Picture.of(np.full((side, side, 3), level, np.uint8))


CALL = ToolCall("functions.zoom:0", "zoom", '{"x": 0.5}')
TEXT = st.text(st.sampled_from("ab é世\n<|im_end|>{}:.1"), max_size=12)
CALLS = st.lists(TEXT, max_size=2).map(
    lambda pieces: tuple(ToolCall(f"functions.zoom:{i}", "zoom", text) for i, text in enumerate(pieces))
)
ANSWERS = st.lists(st.builds(lambda text, why, calls: assistant(text, reasoning=why, calls=calls), TEXT, TEXT, CALLS),
                   min_size=1, max_size=5)  # fmt: skip
WORLD = st.one_of(TEXT.map(user), TEXT.map(lambda text: user(picture(), text)))


def grown(history: list[Message], reply: Message, more: Message) -> list[Message]:
    """The conversation with the answer, its results, and more from the user where there were none."""
    results = [tool_result(call, f"result {call.id}") for call in reply.tool_calls]
    return [*history, reply, *(results or [more])]


@settings(max_examples=60)
@given(ANSWERS, st.lists(WORLD, min_size=6, max_size=6), st.booleans(), st.booleans(), st.booleans())
def test_ids_are_those_of_the_template(answers, world, thinking, served, declared) -> None:
    tools = (ZOOM,) if declared else ()
    chat, sampler = chat_of([], thinking=thinking, history="as_served" if served else "append")
    history = [system("s"), world[0]]
    for answer, more in zip(answers, world[1:], strict=False):
        sampler.script = [said(answer, thinking=thinking)]
        reply = ask(chat, history, tools)
        assert sampler.sent[-1] == rendered(history, tools, thinking=thinking, preserve_thinking=not served)
        assert reply.message == (answer if thinking else replace(answer, reasoning=None))
        assert reply.stop == ("tool_calls" if answer.tool_calls else "stop")
        history = grown(history, reply.message, more)


@settings(max_examples=60)
@given(ANSWERS, st.lists(WORLD, min_size=6, max_size=6), st.booleans())
def test_a_turn_appends_to_the_one_before_however_it_was_sampled(answers, world, spelt) -> None:
    chat, sampler = chat_of([])
    history, stream, media = [world[0]], [], 0
    for answer, more in zip(answers, world[1:], strict=False):
        sampler.script = [ids := said(answer, spelt=spelt and answer.text.isascii())]
        reply = ask(chat, history)
        sent, sampled = sampler.sent[-1], reply.sampled
        assert sampled is not None and sent[: len(stream)] == stream
        assert sampled.prompt_ids.tolist() == sent and sampled.prompt_ids_len == len(sent)
        assert len(sampled.all_media) == len(sampler.requests[-1].media) >= media
        stream, media = [*sent, *ids], len(sampled.all_media)
        assert sampled.stream.tolist() == stream
        history = grown(history, reply.message, more)
    assert chat.forks == 0 and chat.counts["fresh"] == 1 and chat.counts["appended"] == len(answers[:5]) - 1


def test_what_was_sampled_is_kept_as_it_was() -> None:
    ids = said(assistant("Hi", reasoning="why"), spelt=True)
    assert ids != said(assistant("Hi", reasoning="why"))
    chat, _ = chat_of(ids)
    reply = ask(chat, [user("Hello")])
    sampled = reply.sampled
    assert sampled is not None and chat.sampled(reply.message) is sampled
    assert sampled.ids.tolist() == ids and sampled.versions.tolist() == [7] * len(ids)
    assert sampled.logprobs.tolist() == [-0.5 * (i + 1) for i in range(len(ids))]
    assert reply.usage.prompt == sampled.prompt_ids_len and reply.usage.completion == len(ids)
    assert chat.sampled(replace(reply.message)) is None  # known by itself, not by its words


def test_an_equal_conversation_finds_its_tokens_again() -> None:
    chat, sampler = chat_of(said(assistant("Hi", reasoning="why"), spelt=True))
    first = ask(chat, [user("Hello")])
    copies = [user("Hello"), replace(first.message), user("more")]
    again = ask(chat, copies)
    assert again.sampled is not None and again.sampled.parent is first.sampled and chat.forks == 0


def test_twins_that_read_the_same_are_not_taken_for_each_other() -> None:
    message = assistant("Hi", reasoning="why")
    chat, sampler = chat_of(said(message), said(message, spelt=True), said(assistant("end", reasoning="")))
    one, other = ask(chat, [user("Hello")]), ask(chat, [user("Hello")])
    for twin in (one, other):  # each by its own object
        reply = ask(chat, [user("Hello"), twin.message, user("more")])
        assert reply.sampled is not None and reply.sampled.parent is twin.sampled
    told = ask(chat, [user("Hello"), replace(one.message), user("more")])
    assert told.sampled is not None and told.sampled.parent is None
    assert sampler.sent[-1] == rendered([user("Hello"), message, user("more")], (), preserve_thinking=True)


def test_the_released_template_drops_the_reasoning_of_a_turn_that_is_over_and_that_is_a_fork() -> None:
    answer = assistant("Hi", reasoning="why")
    chat, sampler = chat_of(said(answer), history="as_served")
    first = ask(chat, [user("Hello")])
    history = [user("Hello"), first.message, user("more")]
    second = ask(chat, history)
    assert sampler.sent[-1] == rendered(history, ())
    assert second.sampled is not None and second.sampled.fork == "closed" and second.sampled.parent is None
    assert chat.counts["forked: closed"] == chat.forks == 1


def test_served_content_keeps_the_ids_it_was_sampled_with() -> None:
    answer = assistant("Hi there", reasoning="why")
    chat, sampler = chat_of(said(answer, spelt=True), history="as_served")
    first = ask(chat, [user("Hello")])
    ask(chat, [user("Hello"), first.message, user("more")])
    spelt = said(replace(answer, reasoning=None), spelt=True, thinking=False)
    assert ",".join(map(str, spelt)) in ",".join(map(str, sampler.sent[-1]))


@pytest.mark.parametrize("history", ["append", "as_served"])
def test_a_changed_past_is_counted_and_sent_as_it_is_now(history) -> None:
    calls = [
        said(assistant("", reasoning=f"r{i}", calls=(ToolCall(f"functions.zoom:{i}", "zoom", "{}"),))) for i in range(3)
    ]
    chat, sampler = chat_of(*calls, history=history)
    messages = [user("Look")]
    for _ in range(2):
        reply = ask(chat, messages, (ZOOM,))
        messages += [reply.message, tool_result(reply.message.tool_calls[0], "something long")]
    hidden = with_hidden(messages, 3)
    reply = ask(chat, hidden, (ZOOM,))
    assert sampler.sent[-1] == rendered(hidden, (ZOOM,), preserve_thinking=True)
    assert reply.sampled is not None and reply.sampled.fork == "changed" and chat.forks == 1
    ask(chat, messages, ())  # last words: the declaration of tools is gone
    assert chat.counts["forked: changed"] == 2


def test_an_answer_that_came_back_in_other_words_is_told_again_and_counted() -> None:
    chat, sampler = chat_of(said(assistant("Hi", reasoning="why")))
    first = ask(chat, [user("Hello")])
    second = ask(chat, [user("Hello"), first.message, user("more")])
    edited = [user("Hello"), first.message, user("more"), replace(second.message, reasoning=None), user("end")]
    third = ask(chat, edited)
    assert sampler.sent[-1] == rendered(edited, (), preserve_thinking=True)
    assert third.sampled is not None and third.sampled.fork == "retold" and third.sampled.parent is first.sampled


def test_a_cut_answer_goes_as_far_as_it_went_and_the_next_turn_appends() -> None:
    for ids, message in (
        (TINY.encode("thinking ab"), assistant("", reasoning="thinking ab")),
        ([*TINY.encode("r"), TINY.end_think, *TINY.encode("half an ans")], assistant("half an ans", reasoning="r")),
        (said(assistant("a", reasoning="r", calls=(CALL,)))[:-3], assistant("a", reasoning="r")),
    ):
        sampler = ScriptedSampler([])
        for history in ("append", "as_served"):
            sampler.script = [sampler.completion(ids, "length"), said(assistant("x", reasoning=""))]
            chat = TokenChat(sampler, TINY, RULES, history=history)
            reply = ask(chat, [user("Hello")])
            assert reply.message == message and reply.stop == "length" and chat.counts["cut"] == 1
            conversation = [user("Hello"), reply.message, user("go on")]
            ask(chat, conversation)
            if history == "as_served":
                assert sampler.sent[-1] == rendered(conversation, ())
            else:
                assert sampler.sent[-1][: len(sampler.sent[-2]) + len(ids)] == [*sampler.sent[-2], *ids]
                assert chat.forks == 0


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([TINY.think, TINY.end_think, TINY.im_user], "<|im_user|>"),
        ([TINY.end_think, *TINY.encode("a"), TINY.end_think], "a</think>"),
        ([TINY.end_think, TINY.calls_begin, TINY.calls_end], "<|tool_calls_section_begin|><|tool_calls_section_end|>"),
        (
            said(assistant("", reasoning="", calls=(ToolCall("", "", "{}"),)))[:-1],
            "<|tool_calls_section_begin|><|tool_call_begin|><|tool_call_argument_begin|>{}<|tool_call_end|>"
            "<|tool_calls_section_end|>",
        ),
    ],
)
def test_a_turn_that_does_not_parse_is_its_text_and_flagged(body, text) -> None:
    ids = [*body, TINY.im_end]
    chat, sampler = chat_of(ids, said(assistant("fine", reasoning="")))
    reply = ask(chat, [user("Hello")], (ZOOM,))
    assert reply.message.text == text and reply.stop == "stop" and not reply.message.tool_calls
    assert reply.sampled is not None and reply.sampled.malformed and chat.counts["malformed"] == 1
    ask(chat, [user("Hello"), reply.message, user("Again")], (ZOOM,))  # and the agent goes on
    assert sampler.sent[1][: len(sampler.sent[0]) + len(ids)] == [*sampler.sent[0], *ids] and chat.forks == 0


@pytest.mark.parametrize(
    ("written", "expected"),
    [("functions.zoom:0", "functions.zoom:0"), ("zoom", "functions.zoom:3"), ("functions.zoom", "functions.zoom:3"),
     ("zoom:9", "functions.zoom:3")],
)  # fmt: skip
def test_calls_are_named_as_the_template_names_them(written, expected) -> None:
    ids = said(assistant("", reasoning="", calls=(ToolCall(written, "zoom", "{}"),)))
    found = read(ids, TINY, thinking=True, cut=False, calls_before=3)
    assert found.message.tool_calls == (ToolCall(expected, "zoom", "{}"),) and found.stop == "tool_calls"


@given(TEXT, TEXT, CALLS, st.booleans())
def test_streamed_text_is_the_content(text, why, calls, spelt) -> None:
    pieces: list[str] = []
    stream = ContentStream(TINY, pieces.append, thinking=True)
    encoded = [BYTE[bytes([b])] for b in text.encode()] if spelt else TINY.encode(text)
    whole = [*TINY.encode(why), TINY.end_think, *encoded, *said(assistant(calls=calls), thinking=False)]
    for token in whole:
        stream.add(token, 0.0)
    stream.close()
    assert "".join(pieces) == text and all(pieces)


@pytest.mark.parametrize("history", ["append", "as_served"])
def test_only_what_is_new_is_encoded(history) -> None:
    encoded: list[str] = []

    class Noting(Tokenizer):
        def encode(self, text: str) -> list[int]:
            encoded.append(text)
            return super().encode(text)

    sampler = ScriptedSampler([])
    chat = TokenChat(sampler, Noting(TINY.tokens), RULES, history=history)
    conversation = [system("s" * 50), user("Look")]
    for number in range(4):
        sampler.script = [said(assistant("", reasoning=f"why {number}", calls=(CALL,)))]
        before = len(encoded)
        reply = ask(chat, conversation, (ZOOM,))
        if number:
            told = "".join(encoded[before:])
            assert f"result {number - 1}" in told and "result 0" not in told.replace(f"result {number - 1}", "")
            assert "Look" not in told and "Zooms" not in told and "s" * 50 not in told
        conversation += [reply.message, tool_result(CALL, f"result {number}")]


def test_pictures_are_decoded_once_and_sent_with_every_turn() -> None:
    decoded: list[int] = []

    def load() -> np.ndarray:
        decoded.append(1)
        return np.full((32, 32, 3), 9, np.uint8)

    chat, sampler = chat_of(said(assistant("ok", reasoning="")))
    clip = Clip((picture(1), picture(2)), fps=1.0)
    history = [user(Picture.lazy(32, 32, load), "and", clip, "?")]
    first = ask(chat, history)
    before = len(decoded)
    second = ask(chat, [*history, first.message, user(picture(3), "this?")])
    assert len(decoded) == before and [len(request.media) for request in sampler.requests] == [2, 3]
    assert first.sampled and second.sampled and [len(turn.media) for turn in second.sampled.branch] == [2, 1]
    for request in sampler.requests:
        pads = sum(int(token) == TINY.media_pad for token in request.ids)
        assert pads == sum(item.grid.tokens for item in request.media)


def test_requests_say_what_is_asked_for() -> None:
    chat, sampler = chat_of(said(assistant("ok", reasoning="")), context_tokens=200)
    ask(chat, [user("Hello")], sampling=Sampling(0.6, 0.9, 1000, {"top_k": 5, "seed": 3}), priority=4)
    params = sampler.requests[0].params
    assert (params.temperature, params.top_p, params.top_k, params.seed) == (0.6, 0.9, 5, 3)
    assert params.max_new_tokens == 200 - len(sampler.sent[0]) and sampler.requests[0].priority == 4
    assert params.stop_ids == set(TINY.stops) and TINY.media_pad in params.never
    with pytest.raises(ModelError, match="thinking") as caught:
        ask(chat, [user("Hello")], sampling=Sampling(extra={"thinking": 1}))
    assert caught.value.kind == "request"


@pytest.mark.parametrize("default", [True, False])
def test_one_chat_answers_with_and_without_thoughts(default) -> None:
    """Each conversation appends within its mode; one that changes it is told again and counted."""
    chat, sampler = chat_of([], thinking=default)
    told = {mode: [user("Hello")] for mode in (True, False)}
    for turn in range(2):
        for mode, history in told.items():
            sampler.script = [said(answer := assistant(f"{mode} {turn}", reasoning="why"), thinking=mode)]
            extra = {} if mode == default else {"thinking": mode}
            reply = ask(chat, history, sampling=Sampling(extra=extra))
            assert sampler.sent[-1] == rendered(history, (), thinking=mode, preserve_thinking=True)
            assert reply.message == (answer if mode else replace(answer, reasoning=None))
            assert reply.sampled is not None and chat.sampled(reply.message) is reply.sampled
            told[mode] = grown(history, reply.message, user("More"))
    assert chat.forks == 0 and (chat.counts["fresh"], chat.counts["appended"]) == (2, 2)
    ask(chat, told[True], sampling=Sampling(extra={"thinking": False}))
    assert chat.counts["forked: retold"] == 1
    assert sampler.sent[-1] == rendered(told[True], (), thinking=False, preserve_thinking=True)


def test_a_mode_that_is_none_or_cannot_end_its_thoughts_is_refused() -> None:
    never = out_of_turn(TINY, thinking=False)
    chat, sampler = chat_of(said(assistant("ok"), thinking=False), thinking=False, never=never)
    assert ask(chat, [user("Hello")]).message.text == "ok"
    for mode, why in (("yes", "True or False"), (True, "</think>")):
        with pytest.raises(ModelError, match=why) as caught:
            ask(chat, [user("Hello")], sampling=Sampling(extra={"thinking": mode}))
        assert caught.value.kind == "request" and len(sampler.sent) == 1


def test_answers_of_one_conversation_are_drawn_apart_and_again_in_another_run() -> None:
    def seeds_of() -> list[int]:
        chat, sampler = chat_of(said(assistant("ok", reasoning="")))
        for text in ("a", "a", "b"):
            ask(chat, [user(text)])
        return [request.params.seed for request in sampler.requests]

    assert seeds_of() == seeds_of() and len(set(seeds_of())) == 3


def test_a_conversation_that_the_sampler_finds_too_long_is_an_overflow_too() -> None:
    sampler = FakeSampler([[TINY.im_end]], vocab_size=TINY.n_vocab, context_tokens=20)
    with pytest.raises(ModelError) as caught:
        ask(TokenChat(sampler, TINY, RULES), [user("a long story " * 20)])
    assert caught.value.kind == "overflow"


def test_a_conversation_that_does_not_fit_is_an_overflow() -> None:
    chat, sampler = chat_of([TINY.im_end], context_tokens=20)
    with pytest.raises(ModelError) as caught:
        ask(chat, [user("a long story " * 20)])
    assert caught.value.kind == "overflow" and not sampler.requests


@pytest.mark.parametrize(
    ("error", "kind"),
    [(RequestError("bad"), "request"), (TooLong("long"), "overflow"), (NotAllowed("401"), "quota"),
     (Unreachable("down"), "endpoint")],
)  # fmt: skip
def test_what_a_sampler_refuses_says_who_can_help(error, kind) -> None:
    chat, sampler = chat_of(error, retries=0)
    with pytest.raises(ModelError) as caught:
        ask(chat, [user("Hello")])
    assert caught.value.kind == kind and len(sampler.requests) == 1 and chat.limiter.in_flight == 0


def test_a_full_queue_is_waited_for_and_patience_ends() -> None:
    full = Overloaded("full", retry_after=0.03)
    chat, sampler = chat_of(full, full, said(assistant("ok", reasoning="")))
    reply = ask(chat, [user("Hello")])
    assert reply.message.text == "ok" and reply.attempts == 3 and reply.waited >= 0.05
    chat, _ = chat_of(Overloaded("full", retry_after=0.03), patience=0.05)
    with pytest.raises(ModelError, match="full") as caught:
        ask(chat, [user("Hello")])
    assert caught.value.kind == "endpoint"


def test_what_is_handed_back_or_cut_is_continued_and_nothing_is_sampled_twice() -> None:
    ids = said(assistant("answer", reasoning="because"))
    sampler = ScriptedSampler([])
    sampler.script = [
        sampler.completion(ids[:2], "handed_back", 1),
        sampler.completion(ids[2:4], "aborted", 2),
        sampler.completion(ids[4:], "stop", 3),
    ]
    pieces: list[str] = []
    chat = TokenChat(sampler, TINY, RULES)
    reply = ask(chat, [user("Hello")], on_text=pieces.append)
    assert reply.message == assistant("answer", reasoning="because") and "".join(pieces) == "answer"
    assert reply.sampled is not None and reply.sampled.versions.tolist() == [1, 1, 2, 2] + [3] * (len(ids) - 4)
    first, second, third = sampler.requests
    assert second.ids.tolist() == [*first.ids.tolist(), *ids[:2]] and (second.drawn, third.drawn) == (2, 4)
    assert third.params.max_new_tokens == first.params.max_new_tokens - 4 and third.params.seed == first.params.seed
    assert reply.usage.prompt == len(first.ids) and chat.counts["continued"] == 2


def test_a_sampler_that_only_aborts_is_given_up_with_what_there_is() -> None:
    sampler = ScriptedSampler([])
    sampler.script = [
        sampler.completion([TINY.end_think, *TINY.encode("part")], "aborted"),
        sampler.completion([], "aborted"),
    ]
    with pytest.raises(ModelError) as caught:
        ask(TokenChat(sampler, TINY, RULES, retries=1), [user("Hello")])
    assert caught.value.kind == "endpoint" and caught.value.partial == "part"


def test_a_shut_gate_holds_a_call_back() -> None:
    async def run() -> tuple[int, Reply]:
        chat, sampler = chat_of(said(assistant("ok", reasoning="")))
        gate = Gate()
        gate.shut("paused")
        call = asyncio.create_task(chat.complete([user("Hello")], gate=gate))
        for _ in range(20):
            await asyncio.sleep(0)
        before = len(sampler.requests)
        gate.open()
        return before, await call

    before, reply = asyncio.run(run())
    assert before == 0 and reply.message.text == "ok"


def test_bad_conversations_are_the_callers_fault() -> None:
    chat, _ = chat_of([TINY.im_end])
    for messages in ([], [tool_result(CALL, "to nothing")], [Message("user", "x", reasoning="no")]):
        with pytest.raises(ModelError) as caught:
            ask(chat, messages)
        assert caught.value.kind == "request"


def test_memory_is_bounded_and_what_is_forgotten_is_told_again() -> None:
    chat, sampler = chat_of(said(assistant("ok", reasoning="r")), kept_tokens=600)
    first = ask(chat, [user("Hello")])
    for number in range(20):
        ask(chat, [user(f"another {number}")])
    assert chat._modes[True].turns.tokens <= 600 and chat.sampled(first.message) is None
    history = [user("Hello"), first.message, user("more")]
    ask(chat, history)
    assert sampler.sent[-1] == rendered(history, (), preserve_thinking=True)
    assert chat.counts["forked: retold"] == 1  # said to be so, not passed off as new
    segments = Segments(TINY, RULES, kept_bytes=5_000)
    for number in range(100):
        segments.message(user(f"message {number}"), thinks=False)
        segments.trim()
    assert segments.size <= 5_000


def test_patches_of_turns_are_bounded_too() -> None:
    turns = Turns(kept_media_bytes=3 * 16 * 3 * 8 * 8)
    for number in range(9):
        media = (Media(np.zeros((16, 3, 8, 8), np.uint8), Grid(1, 4, 4)),)
        none = np.zeros(0, np.int32)
        sampled = Sampled(none, none, np.zeros(0, np.float32), none, media=media)
        turns.keep(Turn(assistant(str(number)), sampled, bytes([number])))
    assert len(turns) == 3 and turns.media_bytes == turns.kept_media_bytes


def test_a_stream_that_is_cut_again_and_again_is_not_asked_for_in_a_hurry(monkeypatch) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("manyeyes.agent.token_chat_persistence.asyncio.sleep", pause)
    ids = said(assistant("answer", reasoning="because"))
    sampler = ScriptedSampler([])
    sampler.script = [*(sampler.completion([token], "aborted") for token in ids[:4]), sampler.completion(ids[4:])]
    assert ask(TokenChat(sampler, TINY, RULES), [user("Hello")]).message.text == "answer"
    assert len(pauses) == 4 and min(pauses) > 0


def test_many_conversations_at_once_do_not_mix() -> None:
    async def talk(chat: TokenChat, name: str) -> bool:
        history = [user(name)]
        for _ in range(3):
            reply = await chat.complete(history)
            assert reply.sampled is not None
            begins = TINY.decode(reply.sampled.prompt_ids.tolist()).split("<|im_middle|>")[1]
            if begins.split("<|im_end|>")[0] != name:
                return False
            history += [reply.message, user("go on")]
        return len(reply.sampled.branch) == 3

    async def run() -> list[bool]:
        chat, _ = chat_of(said(assistant("ok", reasoning="same words")))
        return await asyncio.gather(*(talk(chat, f"agent {i}") for i in range(20)))

    assert all(asyncio.run(run()))


def test_marks_tell_messages_apart_and_pictures_by_what_they_show() -> None:
    segments = Segments(TINY, RULES)
    shown = (TextPart("a"), ImagePart(picture()), TextPart("b"))
    others: list[Callable[[], Message]] = [
        lambda: Message("user", shown),
        lambda: Message("user", (TextPart("ab"), ImagePart(picture()), TextPart(""))),
        lambda: Message("user", (TextPart("a"), ImagePart(picture(8)), TextPart("b"))),
        lambda: assistant("a", reasoning=""),
        lambda: assistant("a"),
        lambda: assistant("", calls=(CALL,)),
    ]
    marks = [segments.mark(make()) for make in others]
    assert len(set(marks)) == len(others) and marks == [segments.mark(make()) for make in others]


def test_the_strict_mask_leaves_what_a_turn_is_made_of() -> None:
    never = out_of_turn(TINY, thinking=True)
    for ids in (said(assistant("a", reasoning="b", calls=(CALL,))), [TINY.eos]):
        assert not never & set(ids)
    assert TINY.media_pad in never and TINY.think in never and TINY.end_think in out_of_turn(TINY, thinking=False)


def test_turns_of_nothing() -> None:
    assert len(Turns()) == 0 and Turns().find(user("x"), b"") is None


def test_a_swarm_runs_on_tokens_as_on_messages_and_every_agent_is_one_branch(tmp_path: Path) -> None:
    shown: ContextVar[Sequence[Message]] = ContextVar("shown")
    replies: list[Reply] = []

    class Puppet(TokenChat):
        async def complete(self, messages, *args, **options) -> Reply:
            shown.set(messages)
            reply = await super().complete(messages, *args, **options)
            replies.append(reply)
            return reply

    sampler = FakeSampler(lambda _: said(_with_ids(policy(shown.get()))), vocab_size=TINY.n_vocab, context_tokens=2**16)
    chat = Puppet(sampler, TINY, RULES, context_tokens=2**16)

    async def run() -> Outcome:
        with Journal(tmp_path) as journal:
            agents = SwarmConfig(lambda ctx: Functions([look_up])).orchestrator()
            return await AgentRun(journal, chat).start(Task("t", "go"), agents)

    outcome = asyncio.run(run())
    assert (outcome.stop, outcome.text) == ("done", "found 0 | found 1 | found 2 | found 3")
    turns = [reply.sampled for reply in replies if reply.sampled is not None]
    leaves = [turn for turn in turns if not any(other.parent is turn for other in turns)]
    assert chat.forks == 0 and len(leaves) == chat.counts["fresh"] == 5  # four sub-agents and who sent them
    assert sum(len(leaf.branch) for leaf in leaves) == len(turns) == len(sampler.requests)


def _with_ids(message: Message) -> Message:
    """Its calls named as the template names them, counted from 0 in each answer."""
    calls = (ToolCall(f"functions.{c.name}:{i}", c.name, c.arguments) for i, c in enumerate(message.tool_calls))
    return replace(message, reasoning=message.reasoning or "", tool_calls=tuple(calls))
