"""Every way in which something is sampled leaves behind what it was drawn from."""

from typing import Any

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.environment import Environment
from manyeyes.agent.toolset import Together
from manyeyes.core.messages import assistant
from manyeyes.core.sampler import Draw, SamplingParams, never_mark

from ..gateway.gateways import listening, over, run, sampler
from ..gateway.test_laws import say
from ..test_token_chat import said
from ..virtual_time import run_virtually
from .test_text_episode import chat, one


def test_turns_of_a_chat_have_the_draw_of_their_request() -> None:
    model, _ = chat(lambda asked: said(assistant("ok", reasoning="")))
    asked = Sampling(0.6, 0.9, extra={"top_k": 5})
    group, _ = run_virtually(one(Environment(lambda ctx: Together(), name="shows", sampling=asked), {"live": model}))
    (node,) = group.trajectories[0].nodes
    assert node.draw == Draw(0.6, "top_p 0.9, top_k 5", never_mark(model.never))


def test_calls_through_the_gateway_have_the_draw_that_their_client_asked_for() -> None:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5}

    async def work() -> None:
        fake = sampler(say)
        async with listening(over(fake)) as place:
            for more in ({}, {"top_p": 0.8}):
                await place.post("/s/s/v1/chat/completions", body | more)
            found = [node.draw for node in place.gateway.trajectory("s").nodes]
        mark = never_mark(fake.requests[0].params.never)
        assert found == [Draw(0.5, never=mark), Draw(0.5, "top_p 0.8", mark)]

    run(work)


def test_a_mark_stands_for_the_set_and_nothing_else() -> None:
    one, other = frozenset({3, 70_000}), frozenset({70_000, 3})
    assert never_mark(one) == never_mark(other) != never_mark(frozenset({3})) and never_mark(frozenset()) == 0
    assert SamplingParams(never=one).draw.never == never_mark(one) < 2**48
