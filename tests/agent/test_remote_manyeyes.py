"""The client of the token API against the server itself: what comes over the wire is what its sampler said."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("llguidance", reason="needs the extra serve")
pytest.importorskip("prometheus_client", reason="needs the extra serve")

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.remote_errors import NotAllowed
from manyeyes.agent.remote_manyeyes import ManyeyesSampler
from manyeyes.agent.remote_wire import Server
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.token_chat_reading import out_of_turn
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.media import Grid, Media, MediaRules, Picture
from manyeyes.core.messages import user
from manyeyes.core.sampler import (
    Overloaded,
    RequestError,
    SampleRequest,
    SamplingParams,
    TooLong,
    continuation,
    joined,
)
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.serve_control import WeightSource
from manyeyes.inference.serve_media import MediaLimits
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.server import ChatServer

TINY, RULES, TOKEN = Tokenizer.tiny(), MediaRules(patch_size=8), "a-token-of-this-test"
PARAMS = SamplingParams(max_new_tokens=12, temperature=1.0, top_p=0.9, seed=5, top_logprobs=2, never=frozenset({7}))


class Joined(NamedTuple):
    """A server, its sampler, and our client of it."""

    fake: FakeSampler
    sampler: ManyeyesSampler
    url: str
    credit: asyncio.Semaphore

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not true():
                await asyncio.sleep(0.002)


@asynccontextmanager
async def serving(root: Path, *, free: int = 10**6, **options: Any) -> AsyncIterator[Joined]:
    credit = asyncio.Semaphore(free)
    fake = FakeSampler(vocab_size=TINY.n_vocab, tokenizer=TINY, context_tokens=512, pace=credit.acquire, **options)
    served = Served("tiny", TINY, RULES, 512, Grammars(TINY), MediaLimits())
    weights = WeightSource(root, lambda folder: {"w": folder.name})

    def write(version: int, tensors: Any) -> str:
        (root / f"step-{version}").mkdir()
        (root / f"step-{version}" / "model.safetensors").write_bytes(b"")
        return f"step-{version}"

    async with ChatServer(fake, served, token=TOKEN, control=fake, weights=weights) as server:
        url = server.url.removesuffix("/v1")
        async with ManyeyesSampler(Server(url, key=TOKEN), write=write) as sampler:
            yield Joined(fake, sampler, url, credit)


def play(tmp_path: Path, do: Callable[[Joined], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with serving(tmp_path, **options) as both:
            await asyncio.wait_for(do(both), 60)

    asyncio.run(run())


def asked(**changes: Any) -> SampleRequest:
    return SampleRequest(np.array(TINY.encode("Once upon"), np.int32), (), PARAMS, **changes)


def test_a_completion_is_the_samplers_own(tmp_path) -> None:
    async def do(both: Joined) -> None:
        heard: list[tuple[int, float]] = []
        over = await both.sampler.sample(asked(drawn=3, priority=2), on_token=lambda *pair: heard.append(pair))
        request = both.fake.requests[0]
        assert request.params == PARAMS and (request.drawn, request.priority) == (3, 2)
        alone = await both.fake.sample(request)
        assert (over.ids, over.logprobs, over.versions, over.top) == (
            alone.ids, alone.logprobs, alone.versions, alone.top,
        )  # fmt: skip
        assert over.stop == alone.stop == "length" and over.usage.completion == 12
        assert heard == list(zip(over.ids, over.logprobs, strict=True))

    play(tmp_path, do)


def test_pictures_and_film_chunks_arrive_as_they_were_cut(tmp_path) -> None:
    chunk = Media(np.random.default_rng(0).integers(0, 255, (8, 3, 8, 8), np.uint8), Grid(2, 2, 2))

    async def do(both: Joined) -> None:
        ids = np.array([5, TINY.media_pad, 6], np.int32)
        await both.sampler.sample(SampleRequest(ids, (chunk,), PARAMS))
        (arrived,) = both.fake.requests[0].media
        assert arrived.grid == chunk.grid and np.array_equal(arrived.patches, chunk.patches)

    play(tmp_path, do)


@pytest.mark.parametrize("hand_back", [False, True])
def test_new_weights_under_a_running_request(tmp_path, hand_back) -> None:
    async def do(both: Joined) -> None:
        heard: list[int] = []
        request = asked()
        call = asyncio.create_task(both.sampler.sample(request, on_token=lambda token, _: heard.append(token)))
        await both.until(lambda: len(heard) == 4)
        await both.sampler.publish(3, {}, hand_back=hand_back)
        assert both.fake.published == {"w": "step-3"} and both.sampler.version == 3
        for _ in range(100):
            both.credit.release()
        whole = await call
        if hand_back:
            assert whole.stop == "handed_back" and set(whole.versions) == {0}
            whole = joined(whole, await both.sampler.sample(continuation(request, whole)))
        old = whole.versions.count(0)
        assert 4 <= old <= 5 and whole.versions == [0] * old + [3] * (12 - old) and whole.ids[:4] == heard[:4]

    play(tmp_path, do, free=4)


def test_an_abort_and_a_pause(tmp_path) -> None:
    async def do(both: Joined) -> None:
        heard: list[int] = []
        call = asyncio.create_task(both.sampler.sample(asked(), on_token=lambda token, _: heard.append(token)))
        await both.until(lambda: len(heard) == 4)
        await both.sampler.abort()
        part = await call
        assert part.stop == "aborted" and part.ids[:4] == heard and both.fake.running == 0
        await both.sampler.pause()
        for _ in range(100):
            both.credit.release()
        late = asyncio.create_task(both.sampler.sample(asked()))
        await both.until(lambda: both.fake.running == 1)
        await asyncio.sleep(0.02)
        assert not late.done()
        await both.sampler.resume()
        assert len((await late).ids) == 12

    play(tmp_path, do, free=4)


def test_refusals(tmp_path) -> None:
    async def do(both: Joined) -> None:
        with pytest.raises(Overloaded) as full:
            await both.sampler.sample(asked())
        assert full.value.retry_after == 2.0
        with pytest.raises(TooLong):
            await both.sampler.sample(SampleRequest(np.zeros(600, np.int32), (), PARAMS))
        with pytest.raises(RequestError, match="outside"):
            await both.sampler.sample(SampleRequest(np.array([TINY.n_vocab], np.int32), (), PARAMS))
        async with ManyeyesSampler(Server(both.url, key="another-token-than-that")) as stranger:
            with pytest.raises(NotAllowed):
                await stranger.sample(asked())

    play(tmp_path, do, fault=lambda number: "overloaded" if number == 0 else "")


def test_a_conversation_with_a_picture_over_the_wire(tmp_path) -> None:
    picture = Picture.of(np.full((32, 48, 3), 9, np.uint8))

    async def do(both: Joined) -> None:
        never = out_of_turn(TINY, thinking=True)
        chat = TokenChat(both.sampler, TINY, RULES, context_tokens=512, never=never)
        history, turns = [user(picture, "What is this?")], []
        for _ in range(3):
            reply = await chat.complete(history, sampling=Sampling(max_tokens=20))
            turns.append(reply.sampled)
            history += [reply.message, user("And?")]
        assert turns[-1].branch == tuple(turns) and chat.forks == 0
        assert [request.ids.tolist() for request in both.fake.requests] == [t.prompt_ids.tolist() for t in turns]
        assert all(len(request.media) == 1 for request in both.fake.requests)

    play(tmp_path, do)


def test_a_pause_does_not_wait_behind_the_answers_that_it_ends(tmp_path) -> None:
    async def do(both: Joined) -> None:
        async with ManyeyesSampler(Server(both.url, key=TOKEN, connections=1)) as sampler:
            asked = SampleRequest(np.array([1, 2, 3], np.int32), params=PARAMS)
            first, second = (asyncio.create_task(sampler.sample(asked)) for _ in range(2))
            await both.until(lambda: both.fake.running == 1)
            await sampler.pause(hand_back=True)
            both.credit.release()
            assert (await first).stop == "handed_back"
            await sampler.resume()
            for _ in range(100):
                both.credit.release()
            assert len((await second).ids) == 12

    play(tmp_path, do, free=0)
