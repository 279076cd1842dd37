"""In front of an endpoint: its answers go through as they are, and what it tells of tokens is kept."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from manyeyes.agent.gateway.endpoint_pictures import Eyes
from manyeyes.agent.gateway.endpoint_server import EndpointServer
from manyeyes.agent.gateway.endpoint_upstream import EndpointUpstream
from manyeyes.core.media import image_visual
from manyeyes.core.trajectory import NOBODY
from manyeyes.inference.serve_media import MediaLimits, picture_of

from .endpoint_mock import LOGPROBS, SAID, endpoint
from .gateways import RULES, TINY, TOOL, listening, run
from .test_gateway import ANTHROPIC, HI, events, picture, streamed

BODY = {"model": "theirs", "messages": HI}
PATH = "/s/s/v1/chat/completions"


def to(url: str, **settings: Any) -> EndpointUpstream:
    return EndpointUpstream(EndpointServer(url, **settings), version=3)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("tells", ["ids", "spelt"])
def test_a_call_is_kept_token_for_token(tells: Any, stream: bool) -> None:
    async def work() -> None:
        async with endpoint(tells) as there, listening(to(there.url)) as place:
            if stream:
                said = events(await streamed(place, PATH, BODY))
                assert "".join(c["delta"].get("content") or "" for e in said for c in e["choices"]) == "abc"
            else:
                assert (await place.post(PATH, BODY))[0] == 200
            (node,) = place.gateway.trajectory("s").nodes
            assert (node.ids.tolist(), node.given) == ([1, 2, 3, *SAID], 3)
            assert node.logprobs.tolist() == np.float32(LOGPROBS).tolist() and node.versions.tolist() == [3] * 3
            assert (node.logprob_kind, node.stop, node.masked) == ("raw", "stop", "")

    run(work)


def test_what_goes_through_is_what_was_sent_and_said() -> None:
    """But for what the gateway asks for beside it, and what the client did not."""

    async def work() -> None:
        async with endpoint() as there, listening(to(there.url, key="the-endpoints-key")) as place:
            odd = BODY | {"temperature": 0.3, "vendor": {"deep": [1, None]}, "user": "é"}
            _, said = await place.post(PATH, odd)
            assert there.bodies[-1] == odd | {"logprobs": True, "return_token_ids": True}
            assert there.keys[-1] == "Bearer the-endpoints-key", "and never the client's"
            assert said["extra"] == {"kept": True} and said["choices"][0]["message"]["odd"] == [1]
            assert said["choices"][0]["logprobs"] is None and "token_ids" not in said["choices"][0]
            assert "prompt_token_ids" not in said
            _, said = await place.post(PATH, BODY | {"logprobs": True, "return_token_ids": True})
            assert said["prompt_token_ids"] == [1, 2, 3] and said["choices"][0]["token_ids"] == SAID
            assert len(said["choices"][0]["logprobs"]["content"]) == 3
            assert (await place.post(PATH, BODY | {"n": 2}))[0] == 400
            assert (await place.post(PATH, b"{"))[0] == 400 and len(there.bodies) == 2

    run(work)


@pytest.mark.parametrize("stream", [False, True])
def test_other_dialects_are_translated(stream: bool) -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url, model="served", ids=False)) as place:
            tool = {"name": "zoom", "input_schema": TOOL["function"]["parameters"]}
            asked = ANTHROPIC | {"tools": [tool], "system": "s", "stop_sequences": ["x"]}
            if stream:
                said = events(await streamed(place, "/s/s/v1/messages", asked))
                assert said[-2]["usage"]["output_tokens"] == 3 and said[-1]["type"] == "message_stop"
            else:
                _, said = await place.post("/s/s/v1/messages", asked)
                text, call = said["content"]
                assert (text["text"], call["input"], said["usage"]["output_tokens"]) == ("abc", {"x": 1}, 3)
            sent = there.bodies[-1]
            assert sent["messages"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "Hi"}]
            assert sent["model"] == "served" and sent["max_tokens"] == 300 and sent["stop"] == ["x"]
            assert sent["tools"][0]["function"]["name"] == "zoom" and "return_token_ids" not in sent
            _, said = await place.post("/s/s/v1/responses", {"model": "m", "input": "Hi"})
            assert said["output"][-1]["content"][0]["text"] == "abc"
            assert len(place.gateway.trajectory("s").nodes) == 2

    run(work)


def test_a_conversation_grows_by_its_ids() -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            await place.post(PATH, BODY)
            there.prompt = [1, 2, 3, *SAID, 9, 9]
            more = [*HI, {"role": "assistant", "content": "abc"}, {"role": "user", "content": "more"}]
            await place.post(PATH, BODY | {"messages": more})
            there.prompt = [1, 2, 3, 99, 9]
            await place.post(PATH, BODY | {"messages": more})
            whole = place.gateway.trajectory("s")
            assert [(node.parent, node.given, node.fork) for node in whole.nodes] == [
                (NOBODY, 3, ""), (0, 2, ""), (NOBODY, 5, "retold")]  # fmt: skip
            told = [event.data for event in whole.events if event.kind == "call"]
            assert [one["continues"] for one in told] == [None, 0, 1]
            assert json.loads(told[1]["added"])[-1] == {"role": "user", "content": "more"}
            assert json.loads(told[0]["answer"])["content"] == "abc" and json.loads(told[2]["added"]) == []

    run(work)


@pytest.mark.parametrize("tells", ["nothing", "nonsense"])
def test_without_ids_the_words_are_kept_and_the_sample_is_masked(tells: Any) -> None:
    async def work() -> None:
        async with endpoint(tells) as there, listening(to(there.url, texts="without_ids")) as place:
            status, said = await place.post(PATH, BODY)
            assert status == 200 and said["choices"][0]["message"]["content"] == "abc"
            whole = place.gateway.trajectory("s")
            assert whole.nodes[0].masked and whole.to_samples(1.0) == []
            assert json.loads(whole.events[0].data["answer"])["content"] == "abc"
            there.tells = "ids"
            await place.post(PATH, BODY | {"messages": [*HI, *HI]})
            assert len(place.gateway.trajectory("s").events) == 1

    run(work)


def test_weights_that_change_meanwhile_mask_what_cannot_be_told_apart() -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:

            async def then() -> None:
                place.gateway.resume(4)

            there.then = then
            await place.post(PATH, BODY)
            there.then = None
            await place.post(PATH, BODY)
            first, second = place.gateway.trajectory("s").nodes
            assert "weights changed" in first.masked and second.masked == ""
            assert second.versions.tolist() == [4] * 3 and place.gateway.version == 4

    run(work)


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_refusals_of_the_endpoint_go_through(status: int) -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            there.status = status
            for path, body in ((PATH, BODY), ("/s/s/v1/messages", ANTHROPIC), (PATH, BODY | {"stream": True})):
                async with place.http.post(place.gateway.url + path, json=body) as answer:
                    said = await answer.json()
                assert answer.status == status and said["error"]["message"] == f"refused with {status}"
                assert answer.headers["Retry-After"] == "7"
            assert place.gateway.trajectory("s").nodes == []

    run(work)


def test_an_endpoint_that_is_not_there_or_refuses_the_key() -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url, key="secret-key-1")) as place:
            there.status = 401
            status, said = await place.post(PATH, BODY)
            assert status == 502 and "secret" not in str(said)
            there.status, there.words = 400, "bad request by secret-key-1"
            status, said = await place.post(PATH, BODY)
            assert status == 400 and said["error"]["message"] == "bad request by [key]"
        async with listening(to("http://127.0.0.1:9/v1")) as place:
            assert (await place.post(PATH, BODY))[0] == 502

    run(work)


def test_a_stream_that_breaks_off_is_said_and_masked() -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            there.cut = True
            said = events(await streamed(place, PATH, BODY))
            assert said[-1]["error"]["code"] == "upstream_unreachable"
            (node,) = place.gateway.trajectory("s").nodes
            assert node.sampled.tolist() == SAID[:1] and node.masked

    run(work)


def test_pictures_are_cut_as_the_model_sees_them_or_masked() -> None:
    url = f"data:image/png;base64,{picture()}"
    grid = image_visual(picture_of(url, "p", MediaLimits()), RULES).grid
    shown = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    async def work() -> None:
        async with endpoint() as there:
            there.prompt = [5, *[TINY.media_pad] * grid.tokens, 6]
            blind = to(there.url)
            seeing = EndpointUpstream(EndpointServer(there.url), eyes=Eyes(RULES, TINY.media_pad))
            for upstream, tokens in ((blind, 0), (seeing, grid.tokens)):
                async with listening(upstream) as place:
                    assert (await place.post(PATH, BODY | {"messages": shown}))[0] == 200
                    whole = place.gateway.trajectory("s")
                    (node,) = whole.nodes
                    assert sum(item.grid.tokens for item in node.media) == tokens and bool(node.masked) == (not tokens)
                    assert picture()[:80] not in str(whole.events[0].data), "pixels are not kept as text"
            there.prompt = [5, TINY.media_pad, 6]
            other = EndpointUpstream(EndpointServer(there.url), eyes=Eyes(RULES, TINY.media_pad))
            async with listening(other) as place:
                await place.post(PATH, BODY | {"messages": shown})
                assert "do not fit" in place.gateway.trajectory("s").nodes[0].masked

    run(work)


def test_a_client_that_leaves_finds_the_endpoints_answer() -> None:
    async def work() -> None:
        goes = asyncio.Event()
        async with endpoint() as there, listening(to(there.url)) as place:
            there.then = goes.wait
            for stream in (False, True):
                count = len(there.bodies)
                body = BODY | {"stream": stream}
                asked = asyncio.create_task(place.post(PATH, body))
                while len(there.bodies) == count:
                    await asyncio.sleep(0.001)
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
                while any(call.readers for call in place.gateway.desk.calls):
                    await asyncio.sleep(0.001)
                goes.set()
                async with place.http.post(place.gateway.url + PATH, json=body) as answer:
                    await answer.read()
                    assert answer.status == 200
                goes.clear()
                assert len(there.bodies) == count + 1
            assert [node.masked for node in place.gateway.trajectory("s").nodes] == ["", ""]

    run(work)


def test_an_endpoint_that_speaks_otherwise() -> None:
    """Thoughts under their newer name, null inside a schema, lines that are no JSON."""

    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            there.thought = "reasoning"
            tool = {"name": "zoom", "input_schema": {"type": "object", "properties": {"x": {"default": None}}}}
            asked = ANTHROPIC | {"tools": [tool], "thinking": {"type": "enabled", "budget_tokens": 9}}
            _, said = await place.post("/s/s/v1/messages", asked)
            assert said["content"][0]["thinking"] == "hm"
            assert there.bodies[-1]["tools"][0]["function"]["parameters"] == tool["input_schema"]
            there.odd_line = b"not json"
            text = await streamed(place, PATH, BODY)
            assert "data: not json" in text and text.endswith("data: [DONE]\n\n")
            assert "form that is not known" in place.gateway.trajectory("s").nodes[-1].masked
            status, said = await place.post("/s/s/v1/messages", ANTHROPIC | {"stream": True})
            assert status == 502 and "no chat completion" in said["error"]["message"]

    run(work)
