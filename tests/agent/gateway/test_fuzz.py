"""Requests that are almost right: an answer, or a refusal in the dialect's own form, and never an error of ours."""

import asyncio
import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from .gateways import TOOL, ZOOM, listening, over, sampler
from .test_gateway import picture
from .test_laws import say

URL = f"data:image/png;base64,{picture()}"
CALL = {"id": "c1", "type": "function", "function": {"name": "zoom", "arguments": '{"x": 1}'}}
CHAT = {
    "model": "m", "max_tokens": 20, "temperature": 0.5, "stop": ["x"], "stream": False, "tools": [TOOL],
    "tool_choice": "auto", "logprobs": True, "top_logprobs": 1, "thinking": {"type": "enabled"},
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": URL}}]},
        {"role": "assistant", "content": None, "reasoning_content": "r", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "seen"},
    ],
}  # fmt: skip
RESPONSES = {
    "model": "m", "max_output_tokens": 20, "instructions": "s", "include": ["message.output_text.logprobs"],
    "tools": [{"type": "function", "name": "zoom", "parameters": ZOOM, "strict": False}], "tool_choice": "auto",
    "reasoning": {"effort": "low"}, "stream": False, "text": {"format": {"type": "text"}},
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": URL}]},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "r"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"type": "function_call", "call_id": "c1", "name": "zoom", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "seen"},
    ],
}  # fmt: skip
SOURCE = {"type": "base64", "media_type": "image/png", "data": picture()}
MESSAGES = {
    "model": "m", "max_tokens": 20, "system": [{"type": "text", "text": "s"}], "stop_sequences": ["x"], "stream": False,
    "tools": [{"name": "zoom", "input_schema": ZOOM}], "tool_choice": {"type": "auto"},
    "thinking": {"type": "enabled", "budget_tokens": 9},
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "source": SOURCE}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "r", "signature": "s"}, {"type": "text", "text": "b"},
            {"type": "tool_use", "id": "c1", "name": "zoom", "input": {"x": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "seen"}]},
    ],
}  # fmt: skip
WHOLE = {"chat/completions": CHAT, "responses": RESPONSES, "messages": MESSAGES}
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(),
    st.sampled_from(["", "x", "auto", "required", "\ud800"]),
    st.lists(st.integers(0, 3), max_size=2), st.dictionaries(st.sampled_from(["type", "text", "name"]), st.just("x")),
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a request."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))][not path :]


@st.composite
def almost_right(draw: st.DrawFn) -> tuple[str, bytes]:
    path = draw(st.sampled_from(sorted(WHOLE)))
    body: Any = copy.deepcopy(WHOLE[path])
    for place in draw(st.lists(st.sampled_from(places(body)), max_size=2)):
        holder: Any = body
        try:
            for key in place[:-1]:
                holder = holder[key]
            if draw(st.booleans()):
                holder[place[-1]] = draw(ODD)
            else:
                del holder[place[-1]]
        except (KeyError, IndexError, TypeError):
            continue
    return path, json.dumps(body).encode()


@settings(max_examples=40)
@given(st.lists(almost_right(), min_size=1, max_size=8))
def test_what_is_almost_right_is_answered_or_refused(requests: list[tuple[str, bytes]]) -> None:
    async def work() -> None:
        async with listening(over(sampler(say))) as place:
            for path, body in requests:
                async with place.http.post(f"{place.gateway.url}/s/s/v1/{path}", data=body) as answer:
                    text = await answer.text()
                    assert answer.status in (200, 400, 413), (answer.status, text[:300], body[:3000])
                    if answer.status != 200:
                        said = await answer.json()
                        assert ("type" in said) == (path == "messages") and said["error"]["message"]

    asyncio.run(asyncio.wait_for(work(), 60))
