"""The server over the real engine: many clients of every kind at once, some of whom leave."""

import asyncio
import base64
import json
from typing import Any

import aiohttp
import numpy as np
import pytest
import torch

from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.server import ChatServer
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build

from .scripted_server import ZOOM, settled, tool
from .small_model import full_log_probs
from .test_server_openai import picture

TOKENIZER = Tokenizer.tiny()
CHAT: dict[str, Any] = {"model": "tiny", "max_tokens": 24, "chat_template_kwargs": {"thinking": False}}


def asked(number: int) -> dict[str, Any]:
    """A request of one of six kinds."""
    text = [{"type": "text", "text": f"Say {number}"}]
    shown = [{"type": "image_url", "image_url": {"url": picture(56)}}, *text]
    kinds: list[dict[str, Any]] = [
        {},
        {"stream": True},
        {"n": 3, "logprobs": True, "top_logprobs": 2},
        {"messages": [{"role": "user", "content": shown}], "stream": True},
        {"tools": [tool()], "tool_choice": "required", "max_tokens": 120},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"enum": ["yes", "no"]}}}},
    ]
    return CHAT | {"messages": [{"role": "user", "content": text}], "seed": number} | kinds[number % len(kinds)]


def test_abort_and_the_marks_of_media_through_the_token_api() -> None:
    """What an aborted request has is the engine's own: alternatives and found tokens are there too."""
    torch.set_num_threads(1)
    model = build(tiny(), seed=0)
    with torch.no_grad():
        model.head_weight[TOKENIZER.media_pad] = 40 * model.head_weight.mean(0)
    prompt, params = TOKENIZER.encode("word " * 40), {"max_new_tokens": 900, "top_logprobs": 2, "temperature": 1.0}

    async def work() -> None:
        engine = AsyncEngine(model, TOKENIZER, EngineConfig(cache_tokens=8192, max_rows=16, step_tokens=256))
        served = Served("tiny", TOKENIZER, model.config.rules, 1024, Grammars(TOKENIZER))
        async with engine, ChatServer(engine, served, control=engine) as server:
            headers, base = {"Authorization": f"Bearer {server.token}"}, server.url.removesuffix("/v1")
            async with aiohttp.ClientSession(headers=headers) as http:

                async def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
                    async with http.post(base + path, json=body) as answer:
                        assert answer.status == 200
                        return await answer.json()

                await post("/generate", {"ids": prompt, "params": params | {"max_new_tokens": 1}})
                task = asyncio.create_task(post("/generate", {"ids": prompt, "params": params, "request_id": "mine"}))
                await settled(lambda: engine.figures.running == 1 and engine.figures.steps > 8)
                assert (await post("/abort", {"request_id": "mine"}))["aborted"]
                said = await task
                assert said["stop"] == "aborted" and 1 <= len(said["ids"]) < 900
                assert len(said["top"]) == len(said["ids"]) and said["usage"]["cached"] >= 16
                assert TOKENIZER.media_pad not in said["ids"]
                marks = frozenset(TOKENIZER.special[f"<|media_{m}|>"] for m in ("begin", "content", "end", "pad"))
                sampled = SamplingParams(900, 1.0, never=marks)
                request = SampleRequest(np.array(prompt, np.int32), params=sampled)
                np.testing.assert_allclose(said["logprobs"], full_log_probs(model, request, said["ids"]), atol=1e-4)
            assert engine.figures.blocks_held == 0

    asyncio.run(asyncio.wait_for(work(), 120))


def test_routing_through_the_token_api_is_the_engines() -> None:
    torch.set_num_threads(1)
    model = build(tiny(), seed=0)
    prompt, config = TOKENIZER.encode("word " * 40), EngineConfig(cache_tokens=4096, max_rows=4, step_tokens=256)
    params = {"max_new_tokens": 8, "temperature": 1.0, "record_routing": True, "never": [5]}

    async def work() -> dict[str, Any]:
        engine = AsyncEngine(model, TOKENIZER, config)
        served = Served("tiny", TOKENIZER, model.config.rules, 1024, Grammars(TOKENIZER))
        async with engine, ChatServer(engine, served, control=engine) as server:
            headers, url = {"Authorization": f"Bearer {server.token}"}, server.url.removesuffix("/v1") + "/generate"
            async with aiohttp.ClientSession(headers=headers) as http:
                async with http.post(url, json={"ids": prompt, "params": params, "stream": True}) as answer:
                    *_, last = [json.loads(line) for line in (await answer.text()).splitlines() if line]
                silent = {"ids": prompt, "params": params | {"record_routing": False}}
                async with http.post(url, json=silent) as answer:
                    assert "routing" not in await answer.json()
        return last

    async def alone() -> Completion:
        async with AsyncEngine(model, TOKENIZER, config) as engine:
            asked = SamplingParams(**(params | {"never": frozenset({5})}))
            return await engine.sample(SampleRequest(np.array(prompt, np.int32), params=asked))

    said, expected = asyncio.run(work()), asyncio.run(alone())
    told = np.frombuffer(base64.b64decode(said["routing"]["data"]), "<u2").reshape(said["routing"]["shape"])
    assert said["ids"] == expected.ids and expected.routing is not None
    np.testing.assert_array_equal(told, expected.routing)
    assert told.shape == (len(prompt) + 8, 3, 2) and (told[len(prompt) - 1 : -1] < 8).all()


@pytest.mark.slow
def test_many_clients_at_once_some_of_whom_leave() -> None:
    torch.set_num_threads(1)
    model = build(tiny(), seed=0)

    async def work() -> None:
        engine = AsyncEngine(model, TOKENIZER, EngineConfig(cache_tokens=8192, max_rows=16, step_tokens=256))
        served = Served("tiny", TOKENIZER, model.config.rules, 1024, Grammars(TOKENIZER))
        async with engine, ChatServer(engine, served, control=engine) as server:
            headers = {"Authorization": f"Bearer {server.token}"}
            async with aiohttp.ClientSession(headers=headers) as http:

                async def one(number: int) -> tuple[int, bytes]:
                    body = asked(number)
                    async with http.post(server.url + "/chat/completions", json=body) as answer:
                        return answer.status, await answer.read()

                tasks = [asyncio.create_task(one(number)) for number in range(60)]
                await settled(lambda: engine.live > 10)
                for task in tasks[::7]:
                    task.cancel()
                answers = await asyncio.gather(*tasks, return_exceptions=True)
                await settled(lambda: server.desk.open == 0 and engine.live == 0)
            for number, answer in enumerate(answers):
                if isinstance(answer, tuple):
                    check(number, *answer)
                else:
                    assert number % 7 == 0 and isinstance(answer, asyncio.CancelledError), answer
            await settled(lambda: engine.figures.running == engine.figures.waiting == 0)
            assert engine.figures.blocks_held == 0

    asyncio.run(asyncio.wait_for(work(), 300))


def check(number: int, status: int, content: bytes) -> None:
    assert status == 200, content
    if number % 6 in (1, 3):
        assert content.endswith(b"data: [DONE]\n\n") and b'"error"' not in content
        return
    choices = json.loads(content)["choices"]
    if number % 6 == 2:
        assert len(choices) == 3
    if number % 6 == 5:
        assert json.loads(choices[0]["message"]["content"]) in ("yes", "no")
    if number % 6 == 4 and choices[0]["finish_reason"] == "tool_calls":
        for call in choices[0]["message"]["tool_calls"]:
            assert set(json.loads(call["function"]["arguments"])) <= set(ZOOM["properties"])
