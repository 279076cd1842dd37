"""Endpoints that tell tokens in odd ways: the client has its answer as it came, and nothing false is trained on."""

from typing import Any

import pytest

from manyeyes.agent.gateway.endpoint_server import EndpointServer
from manyeyes.core.errors import ConfigError

from .endpoint_mock import SAID, Endpoint, endpoint
from .gateways import listening, run
from .test_endpoint_upstream import BODY, PATH, to
from .test_gateway import ANTHROPIC, events, streamed

CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": {"x": 1}}}


def odd(there: Endpoint, **fields: Any) -> None:
    """Have an endpoint say other things beside each of its pieces."""
    plain = there._tokens
    there._tokens = lambda start, stop: (
        plain(start, stop) | {name: value(stop - start) if callable(value) else value for name, value in fields.items()}
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path, body", [(PATH, BODY), ("/s/s/v1/messages", ANTHROPIC)])
@pytest.mark.parametrize(
    "fields",
    [
        {"token_ids": lambda n: [2**40] * n},
        {"token_ids": lambda n: [-5] * n},
        {"token_ids": None, "logprobs": lambda n: {"content": [{"token": "token_id:abc", "logprob": -1.0}] * n}},
        {"token_ids": None, "logprobs": lambda n: {"content": [{"token": "token_id:9999999999", "logprob": -1.0}] * n}},
    ],
    ids=["no int32", "negative", "no number", "spelt, no int32"],
)
def test_ids_that_are_none_fail_no_call_and_are_masked(fields: Any, path: str, body: Any, stream: bool) -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            odd(there, **fields)
            async with place.http.post(place.gateway.url + path, json=body | {"stream": stream}) as answer:
                text = await answer.text()
            assert answer.status == 200 and '"error":{' not in text
            (node,) = place.gateway.trajectory("s").nodes
            assert "form that is not known" in node.masked and place.gateway.trajectory("s").to_samples(1.0) == []

    run(work)


@pytest.mark.parametrize("calls", [[{"index": 0, "id": "c", "function": 7}], ["what"], {"x": 1}], ids=str)
def test_words_of_another_form_go_through(calls: Any) -> None:
    """And a field for errors that is empty."""

    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            odd(there, delta={"tool_calls": calls})
            plain = there._around
            there._around = lambda asked: plain(asked) | {"error": None}
            said = events(await streamed(place, PATH, BODY))
            assert said[-1]["choices"][0]["delta"]["tool_calls"] == calls
            whole = place.gateway.trajectory("s")
            assert whole.nodes[0].sampled.tolist() == SAID and not whole.nodes[0].masked
            assert '"incomplete":true' in whole.events[0].data["answer"]

    run(work)


@pytest.mark.parametrize("stream", [False, True])
def test_content_in_parts_and_arguments_as_an_object_are_translated(stream: bool) -> None:
    said = {"content": [{"type": "text", "text": "abc"}], "tool_calls": [CALL]}

    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            if stream:
                odd(there, delta={"content": [{"type": "text", "text": "abc"}]}, finish_reason=None)
                text = await streamed(place, "/s/s/v1/messages", ANTHROPIC)
                assert [e["delta"]["text"] for e in events(text) if e["type"] == "content_block_delta"] == ["abc"] * 3
                odd(there, delta={"tool_calls": [CALL]}, finish_reason="stop")
                text = await streamed(place, "/s/s/v1/messages", ANTHROPIC | {"max_tokens": 9})
                assert "partial_json" in text and '"type":"error"' not in text
            else:
                odd(there, message={"role": "assistant", **said})
                _, answer = await place.post("/s/s/v1/messages", ANTHROPIC)
                assert answer["content"][0]["text"] == "abc" and answer["content"][1]["input"] == {"x": 1}
                _, answer = await place.post("/s/s/v1/responses", {"model": "m", "input": "Hi"})
                assert answer["output"][1]["arguments"] == '{"x":1}'

    run(work)


@pytest.mark.parametrize("path, body", [(PATH, BODY), ("/s/s/v1/messages", ANTHROPIC)])
def test_a_stream_that_just_ends_is_no_whole_answer(path: str, body: Any) -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            there.cut = "quietly"
            last = events(await streamed(place, path, body))[-1]
            assert "broke off" in last["error"]["message"]
            (node,) = place.gateway.trajectory("s").nodes
            assert node.sampled.tolist() == SAID[:1] and node.masked

    run(work)


def test_a_stream_that_says_it_is_done_and_not_why_is_whole() -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            odd(there, finish_reason=None)
            assert (await streamed(place, PATH, BODY)).count("[DONE]") == 1
            (node,) = place.gateway.trajectory("s").nodes
            assert node.sampled.tolist() == SAID and not node.masked

    run(work)


def test_ids_that_were_counted_and_not_told_are_a_hole() -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            odd(there, token_ids=SAID[:2])
            assert (await place.post(PATH, BODY))[0] == 200
            (node,) = place.gateway.trajectory("s").nodes
            assert node.masked == "the endpoint counts 3 sampled tokens and told the ids of 2"

    run(work)


@pytest.mark.parametrize(
    "limits", [("max_tokens",), ("max_completion_tokens",), ("max_tokens", "max_completion_tokens")]
)
def test_a_sessions_limit_stands_over_the_clients_whatever_its_name(limits: tuple[str, ...]) -> None:
    async def work() -> None:
        async with endpoint() as there, listening(to(there.url)) as place:
            await place.post("/sessions", {"id": "s", "sampling": {"max_new_tokens": 7, "temperature": 0.5}})
            await place.post(PATH, BODY | dict.fromkeys(limits, 999))
            assert {name: there.bodies[-1].get(name) for name in limits} == dict.fromkeys(limits, 7)
            await place.post("/s/s/v1/messages", ANTHROPIC)
            assert there.bodies[-1]["max_tokens"] == 7 and there.bodies[-1]["temperature"] == 0.5

    run(work)


@pytest.mark.parametrize("url, key", [("127.0.0.1:8000/v1", ""), ("", ""), ("http://x/v1", "key\r\nX-Other: 1")])
def test_an_endpoint_that_cannot_be_asked(url: str, key: str) -> None:
    with pytest.raises(ConfigError):
        EndpointServer(url, key=key)
