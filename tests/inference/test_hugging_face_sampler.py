"""The sampler over a model of transformers: log-probabilities of a full forward pass, and the laws of the protocol."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import (
    Completion,
    RequestError,
    SampleRequest,
    SamplerError,
    SamplingParams,
    TooLong,
    continuation,
    joined,
)
from manyeyes.inference.hugging_face_sampler import HuggingFaceSampler

from ..model.toy_hugging_face import log_p, toy

PROMPTS = [[5, 9, 11, 3, 7], [5, 9, 11, 3, 7], [8], [5, 9, 2], [5, 9, 11, 3, 4, 4, 4, 4, 4]]
"""Equal ones, one that begins another, and others that share a beginning."""


def request(number: int, *, tokens: int = 12, temperature: float = 0.8, **more: object) -> SampleRequest:
    params = SamplingParams(max_new_tokens=tokens, temperature=temperature, seed=number, **more)  # pyright: ignore
    return SampleRequest(np.array(PROMPTS[number % len(PROMPTS)], np.int32), params=params)


async def all_of(sampler: HuggingFaceSampler, requests: list[SampleRequest]) -> list[Completion]:
    return list(await asyncio.gather(*(sampler.sample(one) for one in requests)))


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_log_probabilities_are_those_of_a_full_forward_pass(kind: str) -> None:
    model, never = toy(kind), frozenset({6, 31})
    requests = [request(n, tokens=6 + 3 * n, temperature=0.5 + 0.3 * n, never=never) for n in range(5)]
    for asked, done in zip(requests, asyncio.run(all_of(HuggingFaceSampler(model, rows=3), requests)), strict=True):
        ids, params = [*asked.ids.tolist(), *done.ids], asked.params
        wanted_TV = log_p(model, ids, temperature=params.temperature, never=never)[len(asked.ids) - 1 : -1]
        wanted = wanted_TV.gather(1, torch.tensor(done.ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(done.logprobs), wanted, atol=1e-5, rtol=0)
        assert len(done.ids) == params.max_new_tokens and done.stop == "length" and not never & set(done.ids)
        assert done.logprob_kind == "sampled" and set(done.versions) == {0} and done.usage.prompt == len(asked.ids)


def test_greedy_is_what_transformers_generates() -> None:
    model = toy()
    (done,) = asyncio.run(all_of(HuggingFaceSampler(model), [request(0, temperature=0.0)]))
    wanted = model.whole.generate(torch.tensor([PROMPTS[0]]), max_new_tokens=12, do_sample=False, eos_token_id=None)
    assert done.ids == wanted[0, 5:].tolist()


def test_what_is_said_does_not_depend_on_who_is_beside_it() -> None:
    requests = [request(n, tokens=5 + n) for n in range(5)]
    together = asyncio.run(all_of(HuggingFaceSampler(toy(), rows=2), requests))
    alone = [asyncio.run(all_of(HuggingFaceSampler(toy()), [one]))[0] for one in requests]
    assert [one.ids for one in together] == [one.ids for one in alone]


def test_draws_of_one_prompt_differ_and_are_those_of_their_seeds() -> None:
    sampler = HuggingFaceSampler(toy())
    many = asyncio.run(sampler.sample_many(request(0), 4))
    again = asyncio.run(all_of(sampler, [replace(request(0), params=replace(request(0).params, seed=3))]))
    assert len({tuple(one.ids) for one in many}) == 4
    assert many[3].ids == again[0].ids


def test_an_answer_ends_with_a_stop_id_or_where_the_context_does() -> None:
    sampler = HuggingFaceSampler(toy(), context=8)
    (full,) = asyncio.run(all_of(sampler, [request(0)]))
    assert full.stop == "length" and len(full.ids) == 3
    (stopped,) = asyncio.run(all_of(sampler, [request(0, stop_ids=frozenset({full.ids[1]}))]))
    assert stopped.stop == "stop" and stopped.ids == full.ids[: full.ids.index(full.ids[1]) + 1]


def test_new_weights_hold_from_the_next_token_on_and_for_all_that_was_read() -> None:
    old, new, begun = toy(), toy(seed=1), asyncio.Event()

    async def changed() -> Completion:
        sampler = HuggingFaceSampler(toy())
        asked = asyncio.create_task(sampler.sample(request(0, tokens=20), on_token=lambda *_: begun.set()))
        await begun.wait()
        await sampler.publish(3, new.state_dict())
        assert sampler.version == 3
        return await asked

    done = asyncio.run(changed())
    assert done.versions == sorted(done.versions) and set(done.versions) == {0, 3}
    ids = PROMPTS[0] + done.ids
    for model, version in ((old, 0), (new, 3)):
        table = log_p(model, ids, temperature=0.8)
        for n, token in enumerate(done.ids):
            if done.versions[n] == version:
                assert done.logprobs[n] == pytest.approx(float(table[4 + n, token]), abs=1e-5)


def test_weights_of_another_model_change_nothing() -> None:
    sampler = HuggingFaceSampler(toy())
    before = {name: tensor.clone() for name, tensor in sampler.model.state_dict().items()}
    for version, tensors in ((1, toy(tied=False).state_dict()), (0, toy().state_dict())):
        with pytest.raises(ConfigError):
            asyncio.run(sampler.publish(version, tensors))
    assert sampler.version == 0 and all(torch.equal(sampler.model.state_dict()[n], t) for n, t in before.items())


def test_what_was_handed_back_goes_on_as_if_nothing_had_been() -> None:
    async def interrupted() -> Completion:
        sampler, begun = HuggingFaceSampler(toy()), asyncio.Event()
        asked = asyncio.create_task(sampler.sample(request(0), on_token=lambda *_: begun.set()))
        await begun.wait()
        await sampler.pause(hand_back=True)
        first = await asked
        assert first.stop == "handed_back" and 0 < len(first.ids) < 12
        rest = asyncio.create_task(sampler.sample(continuation(request(0), first)))
        await asyncio.sleep(0.01)
        assert not rest.done()
        await sampler.resume()
        return joined(first, await rest)

    (whole,) = asyncio.run(all_of(HuggingFaceSampler(toy()), [request(0)]))
    done = asyncio.run(interrupted())
    assert done.ids == whole.ids and done.logprobs == pytest.approx(whole.logprobs, abs=1e-5)


def test_who_leaves_frees_its_place() -> None:
    async def left() -> list[Completion]:
        sampler, begun = HuggingFaceSampler(toy(), rows=1), asyncio.Event()
        gone = asyncio.create_task(sampler.sample(request(0, tokens=500), on_token=lambda *_: begun.set()))
        await begun.wait()
        others = asyncio.create_task(all_of(sampler, [request(1), request(2)]))
        gone.cancel()
        return await others

    alone = asyncio.run(all_of(HuggingFaceSampler(toy()), [request(1), request(2)]))
    assert [one.ids for one in asyncio.run(left())] == [one.ids for one in alone]


def test_lower_priorities_go_first() -> None:
    async def order() -> list[int]:
        sampler, ended = HuggingFaceSampler(toy(), rows=1), list[int]()

        async def one(number: int, priority: int) -> None:
            await sampler.sample(replace(request(number, tokens=2), priority=priority))
            ended.append(number)

        await asyncio.gather(one(0, 5), one(1, 3), one(2, 0))
        return ended

    assert asyncio.run(order()) == [2, 1, 0]


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (replace(request(0), ids=np.array([1, 99], np.int32)), RequestError, "outside"),
        (replace(request(0), ids=np.ones(16, np.int32)), TooLong, "at most"),
        (request(0, stop_texts=("x",)), RequestError, "stop_texts"),
        (request(0, top_logprobs=2), RequestError, "top_logprobs"),
    ],
)
def test_what_it_cannot_do_is_refused(wrong: SampleRequest, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        asyncio.run(HuggingFaceSampler(toy(), context=16).sample(wrong))


def test_a_context_that_the_model_was_not_made_for_is_refused() -> None:
    assert HuggingFaceSampler(toy()).context == 256
    with pytest.raises(ConfigError, match="256 tokens"):
        HuggingFaceSampler(toy(), context=257)


def test_a_listener_that_raises_ends_its_own_request_and_nobody_elses() -> None:
    async def asked() -> tuple[Completion | BaseException, ...]:
        def angry(token: int, logprob: float) -> None:
            raise ValueError("the listener is gone")

        sampler = HuggingFaceSampler(toy(), rows=2)
        calls = [sampler.sample(request(0), on_token=angry), sampler.sample(request(1)), sampler.sample(request(2))]
        return tuple(await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30))

    guilty, *others = asyncio.run(asked())
    assert isinstance(guilty, ValueError) and "gone" in str(guilty)
    wanted = asyncio.run(all_of(HuggingFaceSampler(toy(), rows=2), [request(1), request(2)]))
    assert [one.ids for one in others] == [one.ids for one in wanted]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "wrong, count, words",
    [(replace(request(0), ids=np.array([99], np.int32)), 3, "outside"), (request(0), 0, "asks for 0")],
)
def test_several_completions_fail_as_one_does(wrong: SampleRequest, count: int, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        asyncio.run(HuggingFaceSampler(toy()).sample_many(wrong, count))


def test_a_step_that_fails_is_told_to_all_that_were_in_it_and_the_next_ones_go_well() -> None:
    class Fails:
        def __call__(self, *_: object, **__: object) -> None:
            raise RuntimeError("no memory")

    async def failed() -> Completion:
        sampler = HuggingFaceSampler(toy())
        whole, sampler._cache.decode = sampler._cache.decode, Fails()  # pyright: ignore[reportAttributeAccessIssue]
        tasks = [asyncio.create_task(sampler.sample(request(n))) for n in range(2)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, SamplerError) and "no memory" in str(one) for one in results)
        sampler._cache.decode = whole
        return await sampler.sample(request(0))

    assert asyncio.run(failed()).ids == asyncio.run(all_of(HuggingFaceSampler(toy()), [request(0)]))[0].ids
