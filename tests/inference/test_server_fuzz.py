"""Requests that are wrong in ways nobody thought of: an answer of the right form each time, and nothing left behind."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manyeyes.inference.server import ServerConfig

from .scripted_server import TOKENIZER, ZOOM, Serving, serving, settled, tool, turn

WRONG = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
    | st.sampled_from(["", "\ud800", "data:image/png;base64,", "auto", "tiny", "user", "\0", "x" * 500]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
CALL = {"id": "functions.zoom:0", "type": "function", "function": {"name": "zoom", "arguments": "{}"}}
CHAT: dict[str, Any] = {
    "model": "tiny", "n": 1, "seed": 1, "temperature": 1.0, "top_p": 0.9, "top_k": 5, "min_p": 0.0, "max_tokens": 9,
    "max_completion_tokens": 9, "stop": ["x"], "stream": True, "stream_options": {"include_usage": True},
    "logprobs": True, "top_logprobs": 2, "logit_bias": {}, "tools": [tool(strict=True)], "tool_choice": "auto",
    "parallel_tool_calls": True, "thinking": {"type": "enabled"}, "chat_template_kwargs": {"thinking": True},
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": ZOOM}},
    "messages": [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "name": "me", "content": [
            {"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "functions.zoom:0", "content": "done"},
    ],
}  # fmt: skip
COMPLETION: dict[str, Any] = {
    "model": "tiny", "prompt": ["One", "Two"], "max_tokens": 5, "n": 2, "logprobs": 3, "echo": False, "stop": "x",
    "stream": False, "seed": 3, "add_special_tokens": True, "best_of": 2, "suffix": None,
}  # fmt: skip
GENERATE: dict[str, Any] = {
    "ids": TOKENIZER.encode("Hi"), "media": [], "drawn": 0, "priority": 0, "request_id": "mine", "stream": False,
    "params": {"max_new_tokens": 5, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "seed": 0,
               "stop_ids": [5], "stop_texts": ["x"], "never": [7], "top_logprobs": 1, "schema": ZOOM},
}  # fmt: skip
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT, "/v1/completions": COMPLETION, "/generate": GENERATE, "/abort": {"request_id": "x"},
    "/update_weights": {"path": "x", "version": 1, "hand_back": False},
}  # fmt: skip


@st.composite
def requests(draw) -> tuple[str, bytes]:
    """A good request of some route with one to three places changed, or bytes that are no JSON."""
    route = draw(st.sampled_from(sorted(ROUTES)))
    if draw(st.integers(0, 9)) == 0:
        return route, draw(st.binary(max_size=60) | st.sampled_from([b"[" * 9999, b'{"a":' * 2000, b"\xff", b""]))
    body = json.loads(json.dumps(ROUTES[route]))
    for _ in range(draw(st.integers(1, 3))):
        body = changed(body, draw)
    return route, json.dumps(body).encode()


def changed(value: Any, draw) -> Any:
    """One place in it replaced, removed or added to."""
    inner = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not inner or draw(st.integers(0, 4)) == 0:
        return draw(WRONG)
    at = draw(st.sampled_from(inner))
    copy = value.copy()
    if draw(st.integers(0, 5)) == 0:
        del copy[at]
    else:
        copy[at] = changed(value[at], draw)
    return copy


@contextmanager
def one_server() -> Iterator[tuple[asyncio.AbstractEventLoop, Serving]]:
    """A server that all examples ask, in a loop that runs while one does."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        context = serving(lambda request: turn("ok"), config=ServerConfig(body_bytes=2**20))
        server = loop.run_until_complete(context.__aenter__())
        try:
            yield loop, server
        finally:
            loop.run_until_complete(context.__aexit__(None, None, None))


def run_examples(count: int) -> dict[int, int]:
    statuses: dict[int, int] = {}
    with one_server() as (loop, s):

        async def asked(route: str, body: bytes) -> None:
            async with asyncio.timeout(60), s.http.post(s.base + route, data=body) as answer:
                text, status = await answer.text(), answer.status
            statuses[status] = statuses.get(status, 0) + 1
            assert status < 500, (status, text)
            assert "Traceback" not in text
            if status >= 400:
                error = json.loads(text)["error"]
                assert error["message"] and set(error) == {"message", "type", "param", "code"}
            await settled(lambda: s.server.desk.open == 0)

        @settings(max_examples=count, suppress_health_check=list(HealthCheck))
        @given(requests())
        def example(request: tuple[str, bytes]) -> None:
            loop.run_until_complete(asked(*request))

        example()
        assert s.server.desk.open == s.fake.running == s.fake.waiting == 0
        assert loop.run_until_complete(s.post("/v1/chat/completions", {"model": "tiny", "messages": [
            {"role": "user", "content": "still there?"}]}))[0] == 200  # fmt: skip
    return statuses


def test_five_hundred_malformed_requests() -> None:
    statuses = run_examples(500)
    assert statuses.get(400, 0) > 250, statuses


@pytest.mark.slow
def test_twenty_thousand_malformed_requests() -> None:
    assert run_examples(20_000)[400] > 10_000
