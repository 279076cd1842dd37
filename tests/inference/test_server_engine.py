"""The server over the real engine: many clients of every kind at once, some of whom leave."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
import torch

from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.server import ChatServer
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build

from .scripted_server import ZOOM, settled, tool
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
