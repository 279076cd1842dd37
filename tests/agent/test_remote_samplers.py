"""Tokens over three wires, against servers that speak them: nothing sampled is lost, misnumbered or repeated."""

import asyncio
import base64
import io
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from manyeyes.agent.remote_errors import NotAllowed, Unreachable
from manyeyes.agent.remote_manyeyes import ManyeyesSampler
from manyeyes.agent.remote_media import collapsed, runs_of
from manyeyes.agent.remote_policy import Carry
from manyeyes.agent.remote_sampler import RemoteSampler, stop_of
from manyeyes.agent.remote_sglang import SglangSampler
from manyeyes.agent.remote_vllm import VllmSampler
from manyeyes.agent.remote_weights import sglang_from_disk, sglang_from_tensors, vllm_transfer
from manyeyes.agent.remote_wire import Server, refused
from manyeyes.agent.token_chat import TokenChat
from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Grid, Media, MediaRules, Picture, frame_of, image_visual
from manyeyes.core.messages import user
from manyeyes.core.sampler import (
    Completion,
    Overloaded,
    RequestError,
    SampleRequest,
    SamplerError,
    SamplingParams,
    TooLong,
    continuation,
    joined,
)
from manyeyes.core.tokenizer import Tokenizer

from .remote_mocks import LOTS, PAD, Mock, MockManyeyes, MockSglang, MockVllm, expected, logprob_of

PROMPT = [5, 6, 7, 8]
KEY = "sk-very-secret"


@dataclass(frozen=True)
class Kind:
    """A wire: its mock, and its sampler."""

    mock: type[Mock]
    make: Callable[[Server], Any]
    settings: tuple[tuple[str, Any], ...] = ()


def _vllm_info(version: int, tensors: Any) -> dict[str, Any]:
    return {"version": version, "names": sorted(tensors)}


async def _broadcast(version: int, tensors: Any) -> None:
    await asyncio.sleep(0)


TRANSFER: Carry = vllm_transfer(_vllm_info, _broadcast)
DISK: Carry = sglang_from_disk(lambda version, tensors: f"/shared/{version}")
KINDS = {
    "vllm generate": Kind(MockVllm, lambda s: VllmSampler(s, media_pad=PAD, carry=TRANSFER)),
    "vllm completions": Kind(MockVllm, lambda s: VllmSampler(s, api="completions", carry=TRANSFER)),
    "sglang": Kind(MockSglang, lambda s: SglangSampler(s, media_pad=PAD, carry=DISK)),
    "sglang incremental": Kind(
        MockSglang,
        lambda s: SglangSampler(s, carry=DISK),
        (("incremental", True), ("spans", False)),
    ),
    "manyeyes": Kind(MockManyeyes, lambda s: ManyeyesSampler(s, write=lambda version, tensors: f"step-{version}")),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
Do = Callable[[Any, Any], Awaitable[Any]]


def play(kind: Kind, do: Do) -> Any:
    async def run() -> Any:
        mock = kind.mock()
        for name, value in kind.settings:
            setattr(mock, name, value)
        async with mock, kind.make(Server(mock.url, "m", KEY)) as sampler:
            sampler.grace = 0.5
            return await asyncio.wait_for(do(mock, sampler), 60)

    return asyncio.run(run())


def request(most: int = 6, ids: list[int] | None = None, **params: Any) -> SampleRequest:
    return SampleRequest(np.array(ids or PROMPT, np.int32), params=SamplingParams(max_new_tokens=most, **params))


@every_kind
def test_tokens_come_with_their_log_probabilities_versions_and_the_reason_of_the_end(kind) -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> None:
        heard: list[tuple[int, float]] = []
        mock.version = sampler._version = 3
        whole = await sampler.sample(request(), on_token=lambda *pair: heard.append(pair))
        assert whole.ids == expected(PROMPT, 6) and whole.stop == "length"
        assert whole.logprobs == [logprob_of(token) for token in whole.ids] and whole.versions == [3] * 6
        assert heard == list(zip(whole.ids, whole.logprobs, strict=True))
        assert whole.usage == (4, 4, 6) and 0 < whole.first_seconds <= whole.seconds
        stop = whole.ids[2]
        short = await sampler.sample(request(stop_ids=frozenset({stop})))
        assert short.ids == whole.ids[: whole.ids.index(stop) + 1] and short.stop == "stop"

    play(kind, do)


@every_kind
def test_a_cut_connection_keeps_what_the_stream_gave_and_the_rest_can_be_had(kind) -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> None:
        asked = request()
        mock.cut_after = 2
        part = await sampler.sample(asked)
        assert part.stop == "aborted" and part.ids == expected(PROMPT, 2) and len(part.versions) == 2
        mock.cut_after = None
        whole = joined(part, await sampler.sample(continuation(asked, part)))
        assert whole.ids == expected(PROMPT, 6) and whole.stop == "length"
        mock.cut_after = 0
        with pytest.raises(Unreachable):
            await sampler.sample(asked)

    play(kind, do)


@every_kind
def test_an_abort_keeps_partial_tokens(kind) -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> None:
        await mock.set(credit=3)
        heard: list[int] = []
        asked = request()
        call = asyncio.create_task(sampler.sample(asked, on_token=lambda token, _: heard.append(token)))
        await mock.until(lambda: len(heard) == 3)
        await sampler.abort()
        part = await call
        assert part.stop == "aborted" and part.ids == heard == expected(PROMPT, 3) and not mock.requests
        await mock.set(credit=LOTS)
        rest = await sampler.sample(continuation(asked, part))
        assert part.ids + rest.ids == expected(PROMPT, 6)

    play(kind, do)


@every_kind
@pytest.mark.parametrize("hand_back", [False, True])
def test_new_weights_under_a_running_request(kind, hand_back) -> None:
    async def do(mock: Mock, sampler: Any) -> None:
        await mock.set(credit=2)
        heard: list[int] = []
        asked = request()
        call = asyncio.create_task(sampler.sample(asked, on_token=lambda token, _: heard.append(token)))
        await mock.until(lambda: len(heard) == 2)
        publishing = asyncio.create_task(sampler.publish(9, {"w": 1}, hand_back=hand_back))
        await publishing
        assert sampler.version == mock.version == 9
        await mock.set(credit=LOTS)
        whole: Completion = await call
        if hand_back:
            assert whole.stop == "handed_back" and whole.ids == expected(PROMPT, 2) and whole.versions == [0, 0]
            whole = joined(whole, await sampler.sample(continuation(asked, whole)))
        assert whole.ids == expected(PROMPT, 6) and whole.versions == [0, 0, 9, 9, 9, 9] and whole.stop == "length"
        assert heard == whole.ids[: len(heard)]

    play(kind, do)


@every_kind
def test_a_pause_samples_nothing_and_loses_nothing(kind) -> None:
    async def do(mock: Mock, sampler: Any) -> None:
        await mock.set(credit=2)
        heard: list[int] = []
        call = asyncio.create_task(sampler.sample(request(), on_token=lambda token, _: heard.append(token)))
        await mock.until(lambda: len(heard) == 2)
        await sampler.pause()
        await mock.set(credit=LOTS)
        late = asyncio.create_task(sampler.sample(request(ids=[9])))
        for _ in range(20):
            await asyncio.sleep(0.002)
        assert len(heard) == 2 and not call.done() and not late.done()
        await sampler.resume()
        assert (await call).ids == expected(PROMPT, 6) and (await late).ids == expected([9], 6)

    play(kind, do)


@every_kind
def test_a_pause_can_hand_requests_back(kind) -> None:
    async def do(mock: Mock, sampler: Any) -> None:
        await mock.set(credit=2)
        heard: list[int] = []
        call = asyncio.create_task(sampler.sample(request(), on_token=lambda token, _: heard.append(token)))
        await mock.until(lambda: len(heard) == 2)
        await sampler.pause(hand_back=True)
        part = await call
        assert part.stop == "handed_back" and part.ids == expected(PROMPT, 2)
        await sampler.resume()

    play(kind, do)


@pytest.mark.parametrize("name", ["vllm generate", "sglang"])
def test_a_request_that_a_paused_server_does_not_end_is_cut_here_and_goes_on_later(name) -> None:
    async def do(mock: Mock, sampler: Any) -> None:
        mock.deaf = True  # as for requests that arrive at a server right after it was told to abort all
        await mock.set(credit=1)
        heard: list[int] = []
        call = asyncio.create_task(sampler.sample(request(), on_token=lambda token, _: heard.append(token)))
        await mock.until(lambda: len(heard) == 1)
        sampler.grace = 0.05
        await sampler.publish(4, {})
        await mock.until(lambda: len(mock.requests) == 1)  # the old one went with its connection
        await mock.set(credit=LOTS)
        whole = await call
        assert whole.ids == expected(PROMPT, 6) and whole.versions == [0] + [4] * 5

    play(KINDS[name], do)


def test_weights_that_do_not_arrive_leave_the_door_shut_until_somebody_opens_it() -> None:
    async def do(mock: Mock, sampler: Any) -> None:
        sampler._carry = sglang_from_disk(lambda version, tensors: "missing")
        with pytest.raises(SamplerError, match="no such checkpoint"):
            await sampler.publish(4, {})
        call = asyncio.create_task(sampler.sample(request()))
        await asyncio.sleep(0.02)
        assert not call.done() and sampler.version == 0 and mock.paused
        await sampler.resume()
        assert (await call).versions == [0] * 6
        sampler._carry = None
        with pytest.raises(ConfigError, match="remote_weights"):
            await sampler.publish(5, {})

    play(KINDS["sglang"], do)


@every_kind
@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (429, {"error": {"message": "The request queue is full."}}, Overloaded),
        (503, {"error": {"message": "busy"}}, Overloaded),
        (401, {"error": f"wrong key {KEY}"}, NotAllowed),
        (400, {"error": {"message": "This model's maximum context length is 8192 tokens"}}, TooLong),
        (400, {"detail": "token_ids must not contain negative values"}, RequestError),
        (500, {"error": {"message": "boom"}}, Unreachable),
    ],
)
def test_refusals_say_who_can_help(kind, status, said, error) -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> None:
        mock.refuse = (status, said, {"Retry-After": "7"})
        with pytest.raises(SamplerError) as caught:
            await sampler.sample(request())
        assert type(caught.value) is error and str(status) in str(caught.value)
        assert KEY not in str(caught.value) and KEY not in repr(sampler.wire.server)
        if isinstance(caught.value, Overloaded):
            assert caught.value.retry_after == 7.0

    play(kind, do)


def test_a_server_that_is_not_there_is_unreachable() -> None:
    async def run() -> None:
        async with SglangSampler(Server("http://127.0.0.1:9", connect=2.0)) as sampler:
            await sampler.sample(request())

    with pytest.raises(Unreachable, match="is the URL right"):
        asyncio.run(run())


@every_kind
def test_a_cancelled_call_frees_its_place(kind) -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> None:
        await mock.set(credit=1)
        call = asyncio.create_task(sampler.sample(request()))
        await mock.until(lambda: len(mock.requests) == 1 and mock.credit == 0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await mock.until(lambda: not mock.requests)

    play(kind, do)


@every_kind
def test_several_completions_have_seeds_of_their_own_and_the_first_error_ends_all(kind) -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> None:
        several = await sampler.sample_many(request(3, seed=40), 3)
        assert [one.ids for one in several] == [expected(PROMPT, 3)] * 3
        sent = [_seed(body) for _, body, _ in mock.calls]
        assert sorted(sent) == [40, 41, 42]
        mock.refuse = (400, {"error": "no"}, {})
        with pytest.raises(RequestError):
            await sampler.sample_many(request(3), 3)
        with pytest.raises(RequestError, match="constraint"):
            await sampler.sample(request(constraint=lambda: None))

    play(kind, do)


def _seed(body: dict[str, Any]) -> int:
    where = body.get("sampling_params") or body.get("params") or body
    return where.get("seed", where.get("sampling_seed"))


FULL = {"temperature": 0.7, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "seed": 3, "top_logprobs": 2,
        "stop_ids": frozenset({2, 1}), "never": frozenset({21})}  # fmt: skip


def test_vllm_is_asked_in_its_own_words() -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> Any:
        whole = await sampler.sample(replace(request(2, **FULL), priority=1))
        assert [len(some) for some in whole.top] == [2, 2] and whole.logprob_kind == "raw"
        return mock.calls[0]

    path, body, _ = play(KINDS["vllm generate"], do)
    assert path == "/inference/v1/generate" and body.pop("request_id")
    sampling = {"max_tokens": 2, "temperature": 0.7, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "seed": 3,
                "stop_token_ids": [1, 2], "ignore_eos": True, "skip_special_tokens": False, "logprobs": 3,
                "logit_bias": {"21": -100.0}}  # fmt: skip
    shared = {"stream": True, "stream_options": {"include_usage": True}, "priority": 1, "model": "m"}
    assert body == shared | {"token_ids": PROMPT, "sampling_params": sampling}
    path, body, _ = play(KINDS["vllm completions"], do)
    assert path == "/v1/completions" and body.pop("request_id")
    ids = {"prompt": PROMPT, "return_token_ids": True, "return_tokens_as_token_ids": True}
    assert body == shared | ids | sampling


def test_sglang_is_asked_in_its_own_words() -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> Any:
        whole = await sampler.sample(request(2, **FULL))
        assert all(math.isnan(logprob) for logprob in whole.logprobs) and len(whole.top) == 2
        return mock.calls[0]

    path, body, _ = play(KINDS["sglang"], do)
    assert path == "/generate" and body.pop("rid")
    sampling = {"max_new_tokens": 2, "temperature": 0.7, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "sampling_seed": 3,
                "stop_token_ids": [1, 2], "skip_special_tokens": False, "spaces_between_special_tokens": False,
                "no_stop_trim": True, "logit_bias": {"21": -100.0}}  # fmt: skip
    assert body == {"input_ids": PROMPT, "sampling_params": sampling, "return_logprob": True,
                    "logprob_start_len": -1, "top_logprobs_num": 2, "stream": True}  # fmt: skip


def test_our_own_server_is_asked_as_its_page_says() -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> Any:
        await sampler.sample(replace(request(2, **FULL), drawn=5, priority=1))
        return mock.calls[0]

    path, body, _ = play(KINDS["manyeyes"], do)
    params = {"max_new_tokens": 2, "temperature": 0.7, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "seed": 3,
              "stop_ids": [1, 2], "stop_texts": [], "never": [21], "top_logprobs": 2}  # fmt: skip
    assert path == "/generate" and body.pop("request_id")
    sent = {"ids": PROMPT, "media": [], "params": params, "drawn": 5, "priority": 1}
    assert body == sent | {"stream": True, "every": 0.25}


@pytest.mark.parametrize(
    ("reason", "last", "stop"),
    [("stop", 2, "stop"), ("stop", 9, "stop_text"), ("length", 9, "length"), ("abort", 9, "aborted")],
)
def test_reasons_of_the_end_have_our_names(reason, last, stop) -> None:
    assert stop_of(SamplingParams(stop_ids=frozenset({2}), stop_texts=("x",)), reason, last) == stop


@pytest.mark.parametrize(
    ("params", "kind", "told"),
    [
        ({"temperature": 0.6}, "sampled", True),
        ({"temperature": 1.0, "top_p": 0.95}, "raw", True),
        ({"temperature": 0.0, "top_p": 0.95}, "raw", True),
        ({"temperature": 0.6, "top_p": 0.95}, "raw", False),
    ],
)
def test_sglang_says_which_distribution_its_log_probabilities_are_of(params, kind, told) -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> Completion:
        return await sampler.sample(request(**params))

    whole = play(KINDS["sglang"], do)
    assert whole.logprob_kind == kind and all(math.isnan(logprob) != told for logprob in whole.logprobs)


def test_a_continuation_does_not_repeat_the_draws_of_its_beginning() -> None:
    async def do(mock: Mock, sampler: RemoteSampler) -> list[int]:
        for drawn in (0, 3, 3, 4):
            await sampler.sample(replace(request(1, seed=40), drawn=drawn))
        return [_seed(body) for _, body, _ in mock.calls]

    first, third, again, fourth = play(KINDS["vllm generate"], do)
    assert first == 40 and third == again and len({first, third, fourth}) == 3


def media(height: int, width: int, t: int = 1) -> Media:
    patches = np.random.default_rng(height).integers(0, 255, (t * height * width, 3, 8, 8), np.uint8)
    return Media(patches, Grid(t, height, width))


PICTURES = (media(2, 4), media(4, 4))
WITH_PICTURES = SampleRequest(np.array([5, PAD, PAD, 6, PAD, PAD, PAD, PAD, 7], np.int32), PICTURES,
                              SamplingParams(max_new_tokens=2))  # fmt: skip


def test_a_picture_that_is_put_together_again_is_cut_into_the_same_patches() -> None:
    rules = MediaRules(patch_size=8)
    pixels = np.random.default_rng(0).integers(0, 255, (37, 90, 3), np.uint8)
    cut = image_visual(Picture.of(pixels), rules).media()
    again = image_visual(Picture.of(frame_of(cut)), rules).media()
    assert cut.grid == again.grid and np.array_equal(cut.patches, again.patches)


def test_sglang_gets_each_picture_whole_and_one_token_for_it() -> None:
    async def do(mock: MockSglang, sampler: RemoteSampler) -> Any:
        mock.prompt_tokens = len(WITH_PICTURES.ids)
        await sampler.sample(WITH_PICTURES)
        mock.prompt_tokens += 1
        with pytest.raises(RequestError, match="media rules"):
            await sampler.sample(WITH_PICTURES)
        return mock.bodies("/generate")[0]

    body = play(KINDS["sglang"], do)
    assert body["input_ids"] == [5, PAD, 6, PAD, 7]
    for url, item in zip(body["image_data"], PICTURES, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))))
        assert np.array_equal(pixels, frame_of(item)) and pixels.shape == (item.grid.h * 8, item.grid.w * 8, 3)


def test_vllm_renders_each_picture_once_and_its_features_stand_where_ours_do() -> None:
    one = SampleRequest(np.array([5, PAD, PAD, 6], np.int32), PICTURES[:1], SamplingParams(max_new_tokens=2))

    async def do(mock: MockVllm, sampler: RemoteSampler) -> Any:
        mock.picture_tokens = 2
        await sampler.sample(one)
        await sampler.sample(one)
        assert len(mock.bodies("/v1/chat/completions/render")) == 1
        with pytest.raises(RequestError, match="makes 2 tokens of a picture that has 4"):
            await sampler.sample(WITH_PICTURES)
        return mock.bodies("/inference/v1/generate")[1]

    features = play(KINDS["vllm generate"], do)["features"]
    assert features["mm_placeholders"] == {"vision_chunk": [{"offset": 1, "length": 2}]}
    assert features["kwargs_data"] == {"vision_chunk": ["c2VyaWFsaXNlZA=="]} and "vision_chunk" in features["mm_hashes"]


def test_our_own_server_gets_patches_as_they_are_video_too() -> None:
    chunk = media(2, 2, t=3)
    asked = SampleRequest(np.array([PAD], np.int32), (chunk,), SamplingParams(max_new_tokens=1))

    async def do(mock: Mock, sampler: RemoteSampler) -> Any:
        await sampler.sample(asked)
        return mock.bodies("/generate")[0]["media"]

    (item,) = play(KINDS["manyeyes"], do)
    assert item["grid"] == [3, 2, 2] and base64.b64decode(item["patches"]) == chunk.patches.tobytes()


@pytest.mark.parametrize(("name", "words"), [("sglang", "video chunk"), ("vllm completions", "api='generate'")])
def test_media_that_a_wire_cannot_hold_are_refused(name, words) -> None:
    asked = SampleRequest(np.array([PAD], np.int32), (media(2, 2, t=3),), SamplingParams(max_new_tokens=1))

    async def do(mock: Mock, sampler: RemoteSampler) -> None:
        with pytest.raises(RequestError, match=words):
            await sampler.sample(asked)

    play(KINDS[name], do)


def test_runs_of_media_tokens_must_fit_their_items() -> None:
    ids = WITH_PICTURES.ids
    runs = runs_of(ids, PICTURES, PAD)
    assert runs == [(1, 2), (4, 4)] and collapsed(ids, runs).tolist() == [5, PAD, 6, PAD, 7]
    for wrong in (PICTURES[:1], PICTURES[::-1], ()):
        with pytest.raises(RequestError):
            runs_of(ids, wrong, PAD)


def test_tensors_can_travel_in_the_request() -> None:
    async def do(mock: Mock, sampler: Any) -> Any:
        sampler._carry = sglang_from_tensors(lambda tensors: ["payload"], load_format="flattened_bucket")
        await sampler.publish(2, {"w": 1})
        return mock.bodies("/update_weights_from_tensor")[0]

    body = play(KINDS["sglang"], do)
    assert body == {"serialized_named_tensors": ["payload"], "weight_version": "2", "flush_cache": True,
                    "load_format": "flattened_bucket"}  # fmt: skip


def test_vllm_transfers_in_its_order_and_a_failed_broadcast_is_the_error() -> None:
    async def broken(version: int, tensors: Any) -> None:
        raise SamplerError("the broadcast broke")

    async def do(mock: Mock, sampler: Any) -> None:
        await sampler.publish(2, {"w": 1})
        steps = [(path, body or query) for path, body, query in mock.calls]
        assert steps == [
            ("/pause", {"mode": "abort"}),
            ("/start_weight_update", {}),
            ("/update_weights", {"update_info": {"version": 2, "names": ["w"]}}),
            ("/finish_weight_update", {"weight_version": "2"}),
            ("/resume", {}),
        ]
        sampler._carry = vllm_transfer(_vllm_info, broken)
        with pytest.raises(SamplerError, match="broadcast broke"):
            await sampler.publish(3, {})

    play(KINDS["vllm generate"], do)


@every_kind
def test_agents_do_not_notice_new_weights(kind) -> None:
    """A conversation over the wire, whose answer spans three policies."""
    tiny = Tokenizer.tiny()

    async def do(mock: Mock, sampler: Any) -> None:
        chat = TokenChat(sampler, tiny, MediaRules(patch_size=8), context_tokens=200)
        await mock.set(credit=0)
        call = asyncio.create_task(chat.complete([user("Hello")]))
        for version in (1, 2):
            await mock.until(lambda: len(mock.requests) == 1)
            running = next(iter(mock.requests.values()))
            have = len(running.output)
            await mock.set(credit=5)
            await mock.until(lambda have=have, running=running: len(running.output) == have + 5)
            await sampler.publish(version, {}, hand_back=version == 2)
        await mock.set(credit=LOTS)
        reply = await call
        assert reply.sampled is not None and reply.stop == "length" and chat.forks == 0
        prompt = reply.sampled.prompt_ids.tolist()
        versions = reply.sampled.versions.tolist()
        assert reply.sampled.ids.tolist() == expected(prompt, 200 - len(prompt))
        assert versions[-1] == 2 and versions == sorted(versions) and versions.count(0) <= 5 >= versions.count(1)

    play(kind, do)


@pytest.mark.parametrize(("header", "seconds"), [("nan", 1.0), ("inf", 120.0), ("-3", 0.0), ("Thu, 1 Jan", 1.0)])
def test_a_strange_retry_after_is_a_number_all_the_same(header, seconds) -> None:
    refusal = refused(429, "busy", {"Retry-After": header})
    assert isinstance(refusal, Overloaded) and refusal.retry_after == seconds


def test_a_door_that_is_shut_again_at_once_lets_nobody_in() -> None:
    async def run() -> None:
        async with VllmSampler(Server("http://127.0.0.1:1")) as sampler:
            sampler._door.clear()
            call = asyncio.create_task(sampler.sample(request()))
            await asyncio.sleep(0)
            sampler._door.set()
            sampler._door.clear()
            for _ in range(9):
                await asyncio.sleep(0)
            assert not sampler._running and not call.done()
            sampler._door.set()
            with pytest.raises(Unreachable):
                await call

    asyncio.run(run())
