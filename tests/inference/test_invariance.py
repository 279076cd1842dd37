"""An invariant engine says the same to the last bit, whatever else it does, and in whatever order and parts."""

import asyncio
import dataclasses
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

import numpy as np
import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Grid
from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams, continuation, joined
from manyeyes.inference import kernels as module
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.kernels import Kernels, compiled
from manyeyes.inference.sampling import choose_each, distribution
from manyeyes.inference.weights import Matrix
from manyeyes.model.multimodal import K25, build
from manyeyes.model.rope import Rope

from .small_model import SQUARE, TALL, asked, completed, finished, full_log_probs, mixed, small_config, small_model

Said: TypeAlias = tuple[list[int], list[float], list[list[tuple[int, float]]]]
PAD = small_config().media_placeholder_token_id
GREEDY = SamplingParams(max_new_tokens=12, top_logprobs=3)
SAMPLED = SamplingParams(max_new_tokens=12, temperature=1.0, seed=5, never=frozenset({PAD}))
CUT = SamplingParams(max_new_tokens=12, temperature=1.4, top_p=0.9, top_k=300, seed=9, never=frozenset({PAD, 7}))
ROOMY = EngineConfig(cache_tokens=8192, max_rows=96, step_tokens=4096, invariant=True)
SHAPES = {
    "roomy": ROOMY,
    "no prefix cache": dataclasses.replace(ROOMY, prefix_cache=False),
    "chunks of 7": dataclasses.replace(ROOMY, max_rows=5, step_tokens=7),
    "chunks of 1": dataclasses.replace(ROOMY, max_rows=1, step_tokens=1),
    "blocks of 3": dataclasses.replace(ROOMY, block_tokens=3, step_tokens=100),
    "few blocks": dataclasses.replace(ROOMY, block_tokens=4, cache_tokens=112, step_tokens=96),
    "no kept pictures": dataclasses.replace(ROOMY, media_bytes=0),
}
ODD = {
    "q_lora_rank": None, "moe_intermediate_size": 40, "v_head_dim": 19, "kv_lora_rank": 38, "qk_rope_head_dim": 34,
    "num_attention_heads": 5,
}  # fmt: skip
"""Sizes that fill no vector."""


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    found = compiled()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="module", params=["even", "odd"])
def model(request: pytest.FixtureRequest, kernels: Kernels) -> K25:
    return small_model() if request.param == "even" else small_model(**ODD)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@contextmanager
def threads(count: int) -> Iterator[None]:
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(1)


class Case(NamedTuple):
    """A model, requests of all kinds, and what each says in an engine that does nothing else."""

    model: K25
    requests: list[SampleRequest]
    expected: list[Said]


@pytest.fixture(scope="module")
def case(model: K25) -> Case:
    return Case(model, all_kinds(), alone(model, all_kinds()))


def all_kinds() -> list[SampleRequest]:
    """Text and pictures, greedy and drawn, cut and whole, side by side."""
    kinds = zip(mixed(GREEDY), mixed(SAMPLED, seed=1), mixed(CUT, seed=2), strict=True)
    return [request for three in kinds for request in three]


def said(found: Completion) -> Said:
    return found.ids, found.logprobs, found.top


def alone(model: K25, requests: list[SampleRequest]) -> list[Said]:
    """One after the other, and nothing is kept."""
    engine = Engine(model, dataclasses.replace(ROOMY, max_rows=1, prefix_cache=False, media_bytes=0))
    return [said(finished(engine, [request])[0]) for request in requests]


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_alone_and_beside_others_however_prompts_are_cut(case: Case, config: EngineConfig) -> None:
    requests, expected, engine = case.requests, case.expected, Engine(case.model, config)
    assert [said(found) for found in finished(engine, requests)] == expected
    assert (engine.figures.preemptions > 0) == (config is SHAPES["few blocks"])
    again = finished(engine, requests[::-1])  # prefixes are found now, pictures kept
    assert [said(found) for found in again] == expected[::-1]
    assert any(found.usage.cached for found in again) == config.prefix_cache


@pytest.mark.parametrize("count", [1, 11, 64])
@pytest.mark.parametrize("grids", [(), (SQUARE,)], ids=["text", "picture"])
def test_however_many_others_there_are(model: K25, count: int, grids: tuple[Grid, ...]) -> None:
    one = asked(np.random.default_rng(3), *grids, words=180, params=SAMPLED)
    expected = alone(model, [one])
    others = mixed(CUT, seed=count, most_words=20, times=11)[:count]
    assert [said(finished(Engine(model, ROOMY), [*others, one])[-1])] == expected


@pytest.mark.parametrize("grids", [(), (SQUARE,)], ids=["text", "picture"])
def test_with_more_threads(model: K25, grids: tuple[Grid, ...]) -> None:
    """The vision tower computes with libraries, which divide a picture by them; what is compiled here does not."""
    requests = [asked(np.random.default_rng(n), *grids, words=60, params=SAMPLED) for n in range(5)]
    single = alone(model, requests)
    with threads(2):
        both = alone(model, requests)
        assert [said(found) for found in finished(Engine(model, ROOMY), requests)] == both
    assert grids or single == both


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_arrival_with_interruptions(case: Case, seed: int) -> None:
    """Some come late, some are ended in the middle and asked to go on, and the weights are swapped for themselves."""
    draw, (model, requests, expected) = random.Random(seed), case
    engine = Engine(model, dataclasses.replace(ROOMY, max_rows=9, step_tokens=40))
    waiting = list(enumerate(requests))
    draw.shuffle(waiting)
    parts: dict[int, Completion] = {}
    owner: dict[int, int] = {}
    whole: dict[int, Completion] = {}
    while waiting or engine.busy:
        while waiting and draw.random() < 0.5:
            at, request = waiting.pop()
            owner[engine.add(request)[0]] = at
        for number, found in engine.step().ended:
            at = owner.pop(number)
            whole[at] = joined(parts[at], found) if at in parts else found
        if owner and draw.random() < 0.1:
            number = draw.choice(list(owner))
            at, cut = owner.pop(number), engine.abort(number)
            assert cut is not None
            parts[at] = joined(parts[at], cut) if at in parts else cut
            waiting.append((at, continuation(requests[at], parts[at])))
        if draw.random() < 0.05:
            engine.publish(engine.version + 1, model.state_dict())
    assert parts and engine.version
    assert [said(whole[at]) for at in range(len(requests))] == expected


def test_completions_of_one_prompt_are_those_of_their_seeds(model: K25) -> None:
    request, engine = mixed(SAMPLED)[3], Engine(model, ROOMY)
    (found,) = completed(engine, [engine.add(request, count=5)])
    seeds = [dataclasses.replace(request, params=dataclasses.replace(SAMPLED, seed=5 + n)) for n in range(5)]
    assert [said(one) for one in found] == alone(model, seeds)


def test_many_callers_and_pauses(case: Case) -> None:
    model, requests, expected = case

    async def once(seed: int) -> list[Said]:
        draw = random.Random(seed)

        async def late(request: SampleRequest) -> Said:
            await asyncio.sleep(draw.random() * 0.05)
            return said(await engine.sample(request))

        async with AsyncEngine(model, config=dataclasses.replace(ROOMY, step_tokens=128)) as engine:
            calls = [asyncio.create_task(late(request)) for request in requests]
            for _ in range(5):
                await asyncio.sleep(draw.random() * 0.03)
                await engine.pause()
                await engine.resume()
            return await asyncio.gather(*calls)

    for seed in range(2):
        assert asyncio.run(asyncio.wait_for(once(seed), 60)) == expected


def test_it_says_what_a_full_forward_pass_says(case: Case) -> None:
    for request, (ids, logprobs, _) in zip(case.requests, case.expected, strict=True):
        if request.params is not CUT:  # where a cut falls hangs on the last bits
            np.testing.assert_allclose(logprobs, full_log_probs(case.model, request, ids), atol=1e-4)


def test_rows_are_multiplied_turned_and_drawn_alike(kernels: Kernels) -> None:
    rng = torch.Generator().manual_seed(0)
    x, weight = torch.randn(70, 51, generator=rng), torch.randn(77, 51, generator=rng)
    both, turned = torch.randn(70, 90, generator=rng), torch.randn(70, 3, 34, generator=rng)
    uniform = torch.rand(70, generator=rng, dtype=torch.float64)
    scores = (torch.randn(70, 2001, generator=rng) * 6).round() / 2  # many are equal, where a cut may fall
    few_ids, flat = dataclasses.replace(CUT, top_k=20), dataclasses.replace(CUT, top_k=0, top_p=0.999, temperature=9.0)
    params = [few_ids, flat, SAMPLED, GREEDY, CUT, dataclasses.replace(flat, min_p=0.01)] * 12
    rope = Rope.of(small_config(qk_rope_head_dim=34).text)

    def computed(at: slice) -> list[torch.Tensor]:
        turns, mine = rope.turns(torch.arange(70)[None, at])[0], params[:70][at]
        return [
            Matrix(weight, kernels)(x[at]), kernels.activate(both[at]), torch.view_as_real(turns),
            kernels.turn(turned[at, 1:], turns), *choose_each(scores[at], mine, uniform[at], apart=True),
            distribution(scores[at], mine, apart=True),
        ]  # fmt: skip

    whole = computed(slice(0, 70))
    for workers in (1, 2):
        for few in (slice(0, 70), slice(0, 1), slice(7, 9), slice(40, 53), slice(69, 70)):
            with threads(workers):
                assert all(torch.equal(part, one[few]) for part, one in zip(computed(few), whole, strict=True))


def test_an_engine_that_cannot_be_invariant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="leave `compiled` on, or `invariant` off"):
        dataclasses.replace(ROOMY, compiled=False)
    half = build(small_config(), compute_dtype=torch.bfloat16)
    with pytest.raises(ConfigError, match="not for bfloat16 on cpu"):
        Engine(half, ROOMY)
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.setattr(module, "compiled", module.compiled.__wrapped__)
    with pytest.raises(ConfigError, match=r"no C\+\+ compiler"):
        Engine(small_model(), ROOMY)


def test_pictures_are_encoded_one_by_one(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = small_model(), []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda media: seen.append(len(media.grids)) or encode(media))
    request = asked(np.random.default_rng(0), SQUARE, TALL, SQUARE, words=3, params=GREEDY)
    finished(Engine(model, ROOMY), [request])
    assert seen == [1, 1, 1]
