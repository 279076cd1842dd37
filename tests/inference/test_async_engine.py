"""The engine behind its protocol: many callers, cancels, pauses, new weights under load."""

import asyncio
import dataclasses
import random
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy as np
import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import (
    Overloaded,
    PolicySampler,
    RequestError,
    SampleRequest,
    SamplerError,
    SamplingParams,
    continuation,
    joined,
)  # fmt: skip
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model import config as models
from manyeyes.model.multimodal import K25, build

from .small_model import finished, full_log_probs, mixed, small_config, small_model

GREEDY = SamplingParams(max_new_tokens=12)
PAD = small_config().media_placeholder_token_id
SAMPLED = SamplingParams(max_new_tokens=16, temperature=0.8, seed=5, never=frozenset({PAD}))
ROOMY = EngineConfig(cache_tokens=4096, max_rows=32, step_tokens=2048)


@pytest.fixture(scope="module")
def model() -> K25:
    return small_model()


def run(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 120))


def steps_of(engine: AsyncEngine) -> int:
    return engine.figures.steps


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_many_callers_get_what_they_would_get_alone(model: K25) -> None:
    requests = mixed(SAMPLED, times=3)
    alone = [finished(Engine(model, ROOMY), [request])[0].ids for request in requests]

    async def body() -> None:
        async with AsyncEngine(model, config=ROOMY) as engine:
            sampler: PolicySampler = engine
            heard: list[list[tuple[int, float]]] = [[] for _ in requests]
            found = await asyncio.gather(
                *(
                    sampler.sample(request, on_token=lambda token, logprob, n=n: heard[n].append((token, logprob)))
                    for n, request in enumerate(requests)
                )
            )
            assert [one.ids for one in found] == alone
            assert [[token for token, _ in one] for one in heard] == alone
            assert all(0 <= one.first_seconds <= one.seconds for one in found)
            many = await sampler.sample_many(requests[0], 3)
            assert many[0].ids == alone[0] and len({tuple(one.ids) for one in many}) > 1
            assert engine.live == 0 and engine.figures.blocks_held == 0

    run(body)


def test_a_cancelled_call_frees_its_blocks(model: K25) -> None:
    async def body() -> None:
        async with AsyncEngine(model, config=ROOMY) as engine:
            endless = dataclasses.replace(GREEDY, max_new_tokens=200)
            tasks = [asyncio.create_task(engine.sample(request)) for request in mixed(endless)]
            await until(lambda: engine.figures.running == len(tasks))
            for task in tasks[1:]:
                task.cancel()
            await until(lambda: engine.figures.running == 1)
            assert engine.live == 1
            await tasks[0]
            assert engine.figures.blocks_held == 0

    run(body)


def test_the_queue_is_bounded(model: K25) -> None:
    config = dataclasses.replace(ROOMY, max_rows=2, max_queue=3)

    async def body() -> None:
        async with AsyncEngine(model, config=config) as engine:
            await engine.pause()
            request = mixed(GREEDY)[0]
            tasks = [asyncio.create_task(engine.sample(request)) for _ in range(5)]
            await until(lambda: engine.live == 5)
            with pytest.raises(Overloaded) as caught:
                await engine.sample(request)
            assert caught.value.retry_after > 0
            with pytest.raises(RequestError, match="1 to 5 completions"):
                await engine.sample_many(request, 6)
            await engine.resume()
            assert {len((await task).ids) for task in tasks} == {12}
            await engine.sample(request)

    run(body)


def test_nothing_is_sampled_in_a_pause(model: K25) -> None:
    async def body() -> None:
        async with AsyncEngine(model, config=ROOMY) as engine:
            requests = mixed(dataclasses.replace(SAMPLED, max_new_tokens=60))
            tasks = [asyncio.create_task(engine.sample(request)) for request in requests]
            await until(lambda: steps_of(engine) >= 3)
            await engine.pause()
            steps = steps_of(engine)
            late = asyncio.create_task(engine.sample(requests[0]))
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert steps_of(engine) == steps and not late.done() and engine.paused
            await engine.resume()
            for request, task in zip([*requests, requests[0]], [*tasks, late], strict=True):
                assert (await task).ids == finished(Engine(model, ROOMY), [request])[0].ids

    run(body)


def test_what_is_handed_back_goes_on_under_new_weights(model: K25) -> None:
    policy, other = small_model(), small_model(seed=1)

    async def body() -> None:
        async with AsyncEngine(policy, config=ROOMY) as engine:
            requests = mixed(dataclasses.replace(SAMPLED, max_new_tokens=60))
            tasks = [asyncio.create_task(engine.sample(request)) for request in requests]
            await until(lambda: steps_of(engine) >= 5)
            await engine.publish(1, other.state_dict(), hand_back=True)
            parts = [await task for task in tasks]
            assert all(part.stop == "handed_back" and part.unfinished for part in parts)
            rests = await asyncio.gather(
                *(engine.sample(continuation(request, part)) for request, part in zip(requests, parts, strict=True))
            )
            for request, part, rest in zip(requests, parts, rests, strict=True):
                both, n = joined(part, rest), len(part.ids)
                assert both.versions == [0] * n + [1] * (60 - n) and both.stop == "length"
                old, new = full_log_probs(model, request, both.ids), full_log_probs(other, request, both.ids)
                np.testing.assert_allclose(both.logprobs, old[:n] + new[n:], atol=1e-4)

    run(body)


def test_a_hundred_swaps_under_load() -> None:
    """Every token's version is right: its log-probability is the one under that version's weights."""
    policy = small_model()
    policies = {0: small_model()} | {version: small_model(seed=version) for version in range(1, 101)}

    async def body() -> None:
        async with AsyncEngine(policy, config=dataclasses.replace(ROOMY, max_rows=8)) as engine:
            params = dataclasses.replace(SAMPLED, max_new_tokens=120)
            requests = mixed(params, most_words=60, times=2)
            tasks = [asyncio.create_task(engine.sample(request)) for request in requests]
            for version in range(1, 101):
                steps = steps_of(engine)
                await until(lambda steps=steps: steps_of(engine) > steps or not engine.live)
                await engine.publish(version, policies[version].state_dict())
                assert engine.version == version
            found = [await task for task in tasks]
            assert max(len(set(one.versions)) for one in found) > 30
            for request, one in zip(requests, found, strict=True):
                assert one.versions == sorted(one.versions)
                for version in set(one.versions):
                    at = [n for n, v in enumerate(one.versions) if v == version]
                    under = full_log_probs(policies[version], request, one.ids)
                    np.testing.assert_allclose(
                        [one.logprobs[n] for n in at], [under[n] for n in at], atol=1e-4, err_msg=str(version)
                    )

    run(body)


def test_swapping_the_tiny_model_takes_less_than_50_ms() -> None:
    model, config = build(models.tiny(), seed=0), EngineConfig(cache_tokens=1024, max_rows=8)
    engine, tensors = Engine(model, config), build(models.tiny(), seed=1).state_dict()
    taken = []
    for version in range(1, 8):
        start = time.perf_counter()
        engine.publish(version, tensors)
        taken.append(time.perf_counter() - start)
    assert min(taken) <= 0.05


def test_errors_reach_the_caller_and_nobody_else(model: K25, monkeypatch) -> None:
    async def body() -> None:
        async with AsyncEngine(model, config=ROOMY) as engine:
            request = mixed(GREEDY)[0]
            with pytest.raises(RequestError, match="outside 0..2047"):
                await engine.sample(SampleRequest(np.array([9999], np.int32)))
            with pytest.raises(ConfigError, match="no tensors"):
                await engine.publish(1, {})

            def broken(token: int, logprob: float) -> None:
                raise ValueError("listener")

            good = asyncio.create_task(engine.sample(request))
            with pytest.raises(ValueError, match="listener"):
                await engine.sample(request, on_token=broken)
            assert len((await good).ids) == 12
            monkeypatch.setattr(engine._engine, "_scores", lambda plan: torch.zeros(1) @ torch.zeros(2))
            with pytest.raises(SamplerError, match="a step of the engine failed"):
                await engine.sample(request)
            monkeypatch.undo()
            assert len((await engine.sample(request)).ids) == 12
            assert engine.figures.blocks_held == 0 and engine.live == 0

    run(body)


def test_a_panic_of_a_library_is_told_too(model: K25) -> None:
    """Libraries in Rust raise what is no `Exception`; the thread must outlive it, or all callers hang."""

    class Panic(BaseException):
        pass

    class Panicking:
        finished = False

        def mask(self, out: np.ndarray) -> None:
            raise Panic("index out of bounds")

        def accept(self, token: int) -> None: ...

    class LatePanic(Panicking):
        def mask(self, out: np.ndarray) -> None:
            out[:] = -1

        def accept(self, token: int) -> None:
            raise Panic("too late")

    def never_made() -> Panicking:
        raise Panic("not made")

    async def body() -> None:
        async with AsyncEngine(model, config=ROOMY) as engine:
            others = [asyncio.create_task(engine.sample(request)) for request in mixed(GREEDY)]
            for make, says in ((Panicking, "index out of bounds"), (LatePanic, "too late"), (never_made, "not made")):
                bound = mixed(dataclasses.replace(GREEDY, constraint=make, temperature=1.0))[0]
                with pytest.raises(SamplerError, match=says):
                    await asyncio.wait_for(engine.sample(bound), timeout=20)
                with pytest.raises(SamplerError, match=says):
                    await asyncio.wait_for(engine.sample_many(bound, 3), timeout=20)
            for request, task in zip(mixed(GREEDY), others, strict=True):  # nobody else has noticed
                assert (await task).ids == finished(Engine(model, ROOMY), [request])[0].ids
            assert engine.figures.blocks_held == 0 and not engine._call_of and not engine._engine._sequences

    run(body)


def test_who_waits_when_it_closes_hears_of_it(model: K25) -> None:
    async def body() -> None:
        engine = AsyncEngine(model, config=ROOMY)
        task = asyncio.create_task(engine.sample(mixed(dataclasses.replace(GREEDY, max_new_tokens=200))[0]))
        await until(lambda: steps_of(engine) > 1)
        await engine.close()
        with pytest.raises(SamplerError, match="closed"):
            await task
        with pytest.raises(SamplerError, match="closed"):
            await engine.sample(mixed(GREEDY)[0])

    run(body)


def test_ten_thousand_requests_with_random_cancels() -> None:
    """Refused ones come again; the queue never exceeds its limit, and at the end no block is held."""
    tiny = models.tiny()
    text = dataclasses.replace(
        tiny.text, hidden_size=8, num_hidden_layers=1, intermediate_size=8, num_attention_heads=1, q_lora_rank=None,
        kv_lora_rank=4, qk_nope_head_dim=4, qk_rope_head_dim=2, v_head_dim=4, vocab_size=512,
    )  # fmt: skip
    model = build(dataclasses.replace(tiny, text=text), seed=0)
    config = EngineConfig(cache_tokens=3000, max_rows=128, max_queue=500, step_tokens=1024)
    draw = random.Random(0)

    async def one(engine: AsyncEngine, gate: asyncio.Semaphore) -> str:
        ids = np.array([draw.randrange(256) for _ in range(draw.randrange(1, 30))], np.int32)
        request = SampleRequest(ids, params=SamplingParams(max_new_tokens=draw.randrange(1, 5)))
        async with gate:
            while True:
                try:
                    task = asyncio.create_task(engine.sample(request))
                    if draw.random() < 0.2:
                        await asyncio.sleep(draw.random() * 0.05)
                        task.cancel()
                    return (await task).stop
                except Overloaded:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    return "cancelled"

    async def body() -> None:
        async with AsyncEngine(model, config=config) as engine:
            most = 0

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, engine.live, engine.figures.waiting)
                    await asyncio.sleep(0.002)

            watching = asyncio.create_task(watch())
            gate = asyncio.Semaphore(1000)
            ends = await asyncio.gather(*(one(engine, gate) for _ in range(10_000)))
            watching.cancel()
            await until(lambda: engine.figures.blocks_held == 0)
            assert len(ends) == 10_000 and set(ends) == {"length", "cancelled"}
            assert 128 < most <= 628 and engine.live == 0 and not engine._call_of and not engine._engine._sequences

    run(body)


@pytest.mark.parametrize("paused", [False, True])
def test_what_is_aborted_returns_with_what_it_has(model: K25, paused: bool) -> None:
    async def body() -> None:
        async with AsyncEngine(model, config=ROOMY) as engine:
            one, group, other = mixed(dataclasses.replace(SAMPLED, max_new_tokens=150, top_logprobs=2))[:3]
            assert not await engine.abort(one)
            tasks = [asyncio.create_task(work) for work in (engine.sample(one), engine.sample_many(group, 3))]
            rest = asyncio.create_task(engine.sample(other))
            await until(lambda: steps_of(engine) >= 4)
            if paused:
                await engine.pause()
            assert await engine.abort(one) and await engine.abort(group)
            found = [await tasks[0], *(await tasks[1])]
            await engine.resume()
            for seed, part in zip([0, 0, 1, 2], found, strict=True):
                request = group if part is not found[0] else one
                request = dataclasses.replace(
                    request, params=dataclasses.replace(request.params, seed=request.params.seed + seed)
                )
                whole = finished(Engine(model, ROOMY), [request])[0]
                assert part.stop == "aborted" and 1 <= len(part.ids) < 150 and len(part.top) == len(part.ids)
                assert part.ids == whole.ids[: len(part.ids)] and part.usage.completion == len(part.ids)
            assert (await rest).stop == "length" and not await engine.abort(one)
            assert engine.live == 0 and engine.figures.blocks_held == 0

    run(body)


def test_who_comes_and_goes_while_the_engine_is_busy_leaves_nothing_behind(model: K25) -> None:
    async def body() -> None:
        async with AsyncEngine(model, config=ROOMY) as engine:
            await engine.pause()
            go, request = threading.Event(), mixed(GREEDY)[0]
            engine._post(lambda: bool(go.wait(60)))  # a step that lasts
            most = 0
            for _ in range(10_000):
                task = asyncio.create_task(engine.sample(request))
                await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                most = max(most, len(engine._commands))
            go.set()
            await engine.resume()
            assert most <= 2 and engine.live == 0
            assert len((await engine.sample(request)).ids) == 12 and not engine._engine._sequences

    run(body)


def test_the_thread_outlives_a_command_that_nobody_waits_for(model: K25, monkeypatch, caplog) -> None:
    async def body() -> None:
        async with AsyncEngine(model, config=ROOMY) as engine:
            with monkeypatch.context() as patch:
                patch.setattr(engine, "_drop", lambda call: torch.zeros(1) @ torch.zeros(2))
                task = asyncio.create_task(engine.sample(mixed(dataclasses.replace(GREEDY, max_new_tokens=99))[0]))
                await until(lambda: steps_of(engine) >= 2)
                task.cancel()
                await until(lambda: bool(caplog.records))
            assert "RuntimeError" in caplog.text
            assert len((await engine.sample(mixed(GREEDY)[1])).ids) == 12

    run(body)
