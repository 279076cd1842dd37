"""What a sampler's answer is told as, and what the sampler is asked."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.gateway.conversations import Conversation, Conversations
from manyeyes.agent.gateway.matcher import Matching
from manyeyes.agent.gateway.sampler_call import SamplerCall
from manyeyes.agent.gateway.sampler_settings import TokenSettings
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.token_chat_segments import Segments
from manyeyes.core.messages import user
from manyeyes.core.sampler import Completion, Overloaded
from manyeyes.inference.serve_wire import ChatMessage, ChatRequest

from .gateways import CONTEXT, RULES, SERVED, TINY, TOOL, listening, over, run, sampler, turn
from .test_laws import say

TEXT = st.text(st.sampled_from("ab é世\n<|im_end|>{}:.1"), max_size=12)
CALLS = st.lists(st.tuples(st.sampled_from(["zoom", "f.g", ""]), TEXT), max_size=2)
STRAY = st.lists(st.tuples(st.integers(0, 40), st.integers(TINY.n_ranks, TINY.n_vocab - 1)), max_size=2)
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def call(thinking: bool, **more: Any) -> SamplerCall:
    matching: Matching = "loose"
    modes = {mode: Conversation(Segments(TINY, RULES, thinking=mode), "append", matching) for mode in (True, False)}
    request = ChatRequest(model="m", messages=[ChatMessage("user", "Hi")], **more)
    return SamplerCall(request, SERVED, TokenSettings(thinking=thinking), Conversations(modes), {}, 0)


@settings(max_examples=200)
@given(TEXT, TEXT, CALLS, STRAY, st.booleans(), st.sampled_from(["stop", "length"]))
def test_an_answer_at_once_is_the_answer_token_by_token(text, thought, calls, stray, thinking, stop) -> None:
    ids = turn(text, reasoning=thought if thinking else None, calls=calls)
    for at, token in stray:
        ids.insert(at % len(ids), token)
    done = Completion(ids, [-0.5] * len(ids), [0] * len(ids), stop)
    said, reader = call(thinking).said(done), call(thinking).choice()
    assert said.choice == reader.whole(done) and said.reasoning_tokens == reader.reasoning_tokens


def test_the_draws_are_those_of_the_white_box() -> None:
    """The same conversation, asked twice: the same prompts, seeds and tokens, without telling either of the other."""

    async def work() -> None:
        inside, outside = sampler(say), sampler(say)
        chat = TokenChat(inside, TINY, RULES, seed=0, context_tokens=CONTEXT)
        async with listening(over(outside)) as place:
            for _ in range(3):
                reply = await chat.complete([user("Hi")])
                await place.post("/s/s/v1/chat/completions", BODY)
                assert reply.sampled is not None
                assert reply.sampled.ids.tolist() == place.gateway.trajectory("s").nodes[-1].sampled.tolist()
        for one, other in zip(inside.requests, outside.requests, strict=True):
            assert one.ids.tolist() == other.ids.tolist() and one.params.seed == other.params.seed
            assert (one.params.never, one.params.max_new_tokens) == (other.params.never, other.params.max_new_tokens)
        assert len({request.params.seed for request in outside.requests}) == 3

    run(work)


def test_sessions_with_seeds_of_their_own_draw_otherwise() -> None:
    async def work() -> None:
        fake = sampler(say)
        async with listening(over(fake)) as place:
            for seed in (1, 2):
                await place.post("/sessions", {"id": f"s{seed}", "seed": seed})
                await place.post(f"/s/s{seed}/v1/chat/completions", BODY)
            assert fake.requests[0].params.seed != fake.requests[1].params.seed
            await place.post("/s/s1/v1/chat/completions", BODY | {"seed": 5})
            assert fake.requests[2].params.seed == 5
            other = BODY | {"messages": [{"role": "user", "content": "another"}]}
            drawn = {}
            for id, body in (("kid", {"parent": "s1", "seed": 2}), ("heir", {"parent": "s2"})):
                await place.post("/sessions", {"id": id} | body)
                await place.post(f"/s/{id}/v1/chat/completions", other)
                drawn[id] = fake.requests[-1].params.seed
            assert drawn["kid"] == drawn["heir"], "a child's own seed, and its parent's where it has none"

    run(work)


def test_a_full_queue_and_new_weights_are_no_concern_of_the_client() -> None:
    async def work() -> None:
        fake = sampler(
            lambda request: turn("abcdefgh")[request.drawn :], fault=lambda n: "overloaded" if n == 0 else ""
        )
        tokens = 0

        async def pace() -> None:
            nonlocal tokens
            tokens += 1
            if tokens == 4:
                await fake.publish(1, {}, hand_back=True)

        fake._pace = pace
        async with listening(over(fake)) as place:
            status, said = await place.post("/s/s/v1/chat/completions", BODY)
            assert status == 200 and said["choices"][0]["message"]["content"] == "abcdefgh"
            (node,) = place.gateway.trajectory("s").nodes
            assert node.sampled.tolist() == turn("abcdefgh") and set(node.versions.tolist()) == {0, 1}
            assert place.gateway.upstream.counts["refused"] == 1 and place.gateway.upstream.counts["continued"] >= 1

    run(work)


def test_a_constraint_goes_on_behind_what_it_has_accepted() -> None:
    async def work() -> None:
        fake = sampler()
        count = 0

        async def pace() -> None:
            nonlocal count
            count += 1
            if count == 5:
                await fake.publish(1, {}, hand_back=True)

        fake._pace = pace
        forced = BODY | {"tools": [TOOL], "tool_choice": "required", "max_tokens": 400,
                         "chat_template_kwargs": {"thinking": False}}  # fmt: skip
        async with listening(over(fake)) as place:
            status, said = await place.post("/s/s/v1/chat/completions", forced)
            assert status == 200 and len(fake.requests) > 1
            versions = place.gateway.trajectory("s").nodes[0].versions.tolist()
            assert versions[:4] == [0] * 4 and versions[-1] == 1
            calls = said["choices"][0]["message"].get("tool_calls", [])
            assert said["choices"][0]["finish_reason"] == "length" or calls[0]["function"]["name"] == "zoom"

    run(work)


def test_thinking_and_instant_are_two_modes_of_one_session() -> None:
    async def work() -> None:
        fake = sampler([turn("a", reasoning="hm"), turn("b", reasoning=None)])
        async with listening(over(fake)) as place:
            await place.post("/s/s/v1/chat/completions", BODY)
            instant = {"thinking": {"type": "disabled"}}
            await place.post("/s/s/v1/messages", BODY | instant | {"max_tokens": 9})
            ends = [request.ids[-2:].tolist() for request in fake.requests]
            assert ends[0][-1] == TINY.think and ends[1] == [TINY.think, TINY.end_think]

    run(work)


@pytest.mark.parametrize("retry_after", [0.01])
def test_a_queue_that_stays_full_is_said(retry_after: float) -> None:
    async def work() -> None:
        fake = sampler(say)

        async def full(request, *, on_token=None):
            raise Overloaded("full", retry_after=retry_after)

        fake.sample = full
        async with listening(over(fake, patience=0.02)) as place:
            async with place.http.post(f"{place.gateway.url}/s/s/v1/chat/completions", json=BODY) as answer:
                assert answer.status == 503 and "Retry-After" in answer.headers

    run(work)
