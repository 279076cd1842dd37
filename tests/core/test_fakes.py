"""`FakeSampler`: what it promises is what every sampler promises, so these laws fit an engine as well."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.fakes import FakeSampler, draw
from manyeyes.core.sampler import (
    Overloaded,
    RequestError,
    SampleRequest,
    SamplingParams,
    TooLong,
    check_ids,
    continuation,
    joined,
)
from manyeyes.core.tokenizer import Tokenizer

TOKENIZER = Tokenizer(bytes([byte]) for byte in range(256))
V = TOKENIZER.n_vocab
PROMPT = np.array([1, 2, 3], np.int32)
WARM = SamplingParams(max_new_tokens=12, temperature=1.0)


def request(**params) -> SampleRequest:
    return SampleRequest(PROMPT, params=replace(WARM, **params))


class Held:
    """A pace that a test lets go on, a token at a time."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(0)

    async def __call__(self) -> None:
        await self.turns.acquire()

    async def let(self, count: int) -> None:
        for _ in range(count):
            self.turns.release()
        for _ in range(10 * count + 10):
            await asyncio.sleep(0)


def test_a_script_is_said_in_order_and_then_it_is_over() -> None:
    async def run() -> None:
        fake = FakeSampler([[5, 6, TOKENIZER.im_end], [7]], vocab_size=V)
        first = await fake.sample(request(stop_ids=frozenset(TOKENIZER.stops)))
        assert (first.ids, first.stop, first.usage) == ([5, 6, TOKENIZER.im_end], "stop", (3, 0, 3))
        second = await fake.sample(request())
        assert (second.ids, second.stop) == ([7], "length")
        with pytest.raises(RequestError, match="script is over"):
            await fake.sample(request())

    asyncio.run(run())


def test_random_scores_follow_the_seed_and_nothing_else() -> None:
    async def run() -> None:
        first, again = [await FakeSampler(vocab_size=V).sample(request(seed=3)) for _ in range(2)]
        other = await FakeSampler(vocab_size=V).sample(request(seed=4))
        assert first.ids == again.ids and first.logprobs == again.logprobs and first.ids != other.ids
        many = await FakeSampler(vocab_size=V).sample_many(request(seed=3), 2)
        assert [done.ids for done in many] == [first.ids, other.ids]

    asyncio.run(run())


@given(
    temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]), top_k=st.integers(0, 9), top_p=st.floats(0.05, 1.0),
    min_p=st.floats(0.0, 1.0), position=st.integers(0, 99),
)  # fmt: skip
def test_what_is_drawn_is_one_of_what_could_be(temperature, top_k, top_p, min_p, position) -> None:
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, top_logprobs=20)
    scores = np.random.default_rng(position).normal(size=16)
    drawn = draw(scores, params, position)
    told = dict(drawn.top)
    assert told[drawn.token] == drawn.logprob and np.isclose(sum(np.exp(list(told.values()))), 1.0)
    assert top_k == 0 or temperature == 0.0 or len(told) <= top_k
    assert temperature > 0.0 or drawn.token == scores.argmax()


def test_never_and_a_constraint_leave_their_mark() -> None:
    class Even:
        finished = False

        def mask(self, out) -> None:
            out[:] = 0x55555555

        def accept(self, token: int) -> None:
            assert token % 2 == 0

    async def run() -> None:
        done = await FakeSampler(vocab_size=V).sample(request(constraint=Even, never=frozenset(range(0, V, 4))))
        assert all(token % 4 == 2 for token in done.ids) and len(done.ids) == 12

    asyncio.run(run())


def test_a_stop_text_ends() -> None:
    async def run() -> None:
        fake = FakeSampler([TOKENIZER.encode("one two three")], vocab_size=V, tokenizer=TOKENIZER)
        done = await fake.sample(request(max_new_tokens=99, stop_texts=("two",)))
        assert (TOKENIZER.decode(done.ids), done.stop) == ("one two", "stop_text")

    asyncio.run(run())


def test_versions_change_between_two_tokens_and_hand_back_keeps_what_there_is() -> None:
    async def run() -> None:
        held, whole = Held(), await FakeSampler(vocab_size=V).sample(request())
        fake = FakeSampler(vocab_size=V, pace=held)
        task = asyncio.create_task(fake.sample(request()))
        await held.let(4)
        await fake.publish(1, {})
        await held.let(2)
        await fake.publish(2, {}, hand_back=True)
        await held.let(1)
        part = await task
        assert part.stop == "handed_back" and part.versions == [0] * 4 + [1] * 2
        rest = asyncio.create_task(fake.sample(continuation(request(), part)))
        await held.let(20)
        assert joined(part, await rest).ids == whole.ids

    asyncio.run(run())


def test_a_pause_holds_and_a_cancelled_call_frees_its_place() -> None:
    async def run() -> None:
        seen: list[int] = []
        fake = FakeSampler(vocab_size=V, places=1)
        await fake.pause()
        first = asyncio.create_task(fake.sample(request(), on_token=lambda token, _: seen.append(token)))
        second = asyncio.create_task(fake.sample(request()))
        await settled(lambda: fake.waiting == 1)
        assert (fake.running, seen) == (1, [])
        first.cancel()
        await settled(lambda: first.done() and fake.waiting == 0)
        await fake.resume()
        assert len((await second).ids) == 12 and fake.running == fake.waiting == 0

    asyncio.run(run())


def test_faults_come_as_planned() -> None:
    async def run() -> None:
        plan = ["overloaded", "refused", "crash", "crash_later", ""]
        fake, seen = FakeSampler(vocab_size=V, fault=lambda number: plan[number]), []  # type: ignore[arg-type]
        for kind in (Overloaded, RequestError, RuntimeError, RuntimeError):
            with pytest.raises(kind):
                await fake.sample(request(), on_token=lambda token, _: seen.append(token))
        assert len(seen) == 3 and (await fake.sample(request())).stop == "length"

    asyncio.run(run())


def test_several_fail_as_one_does() -> None:
    async def run() -> None:
        plan = ["", "refused", "", "overloaded"]
        fake = FakeSampler(vocab_size=V, fault=lambda number: plan[number])  # type: ignore[arg-type]
        with pytest.raises(RequestError):
            await fake.sample_many(request(), 4)
        assert fake.running == fake.waiting == 0

    asyncio.run(run())


def test_ids_that_are_none_are_told_apart_from_too_many() -> None:
    for ids, kind in (([], RequestError), ([0.5], RequestError), ([2**70], RequestError), ([-1], RequestError),
                      ([V], RequestError), ([1] * 9, TooLong)):  # fmt: skip
        with pytest.raises(RequestError) as caught:
            check_ids(ids, vocab_size=V, most=8)
        assert type(caught.value) is kind


async def settled(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing came of it")
