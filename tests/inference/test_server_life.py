"""Who is let in, what happens when somebody leaves, and how a server goes."""

import asyncio
import base64
import gzip
import io
import json
import struct
import subprocess
import sys
import zlib

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from PIL import Image

from manyeyes.core.errors import ConfigError
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.media import MediaRules
from manyeyes.inference.serve_desk import Desk
from manyeyes.inference.serve_guard import ServeGuard
from manyeyes.inference.serve_media import MediaLimits
from manyeyes.inference.serve_metrics import ServeMetrics
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.serve_stream import Pieces
from manyeyes.inference.server import ChatServer, ServerConfig

from .scripted_server import CONTEXT, GRAMMARS, TOKEN, TOKENIZER, Held, serving, settled, turn
from .test_server_openai import HI, run

SERVED = Served("tiny", TOKENIZER, MediaRules(), CONTEXT, GRAMMARS)
CHAT = {"model": "tiny", "messages": HI}


def held_server(**options):
    held = Held()
    return held, serving(lambda request: turn("a text"), pace=held, **options)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place_at_once(stream) -> None:
    async def work() -> None:
        held, server = held_server(places=1)
        async with server as s:
            task = asyncio.create_task(s.post("/v1/chat/completions", CHAT | {"stream": stream, "n": 2}))
            await settled(lambda: s.fake.running == 1 and s.fake.waiting == 1)
            held.let(1)
            task.cancel()
            await settled(lambda: s.fake.running == 0 and s.fake.waiting == 0 and s.server.desk.open == 0)
            held.let(99)
            assert (await s.post("/v1/chat/completions", CHAT))[0] == 200

    run(work)


def test_a_client_that_leaves_in_the_middle_of_a_stream_frees_its_place() -> None:
    async def work() -> None:
        held, server = held_server()
        async with server as s:
            stream = await gathered(s.client.chat.completions.create(model="tiny", messages=HI, stream=True), held)
            async for _ in stream:
                break
            assert s.fake.running == 1
            await stream.close()
            await settled(lambda: s.fake.running == 0 and s.server.desk.open == 0)

    run(work)


async def gathered(call, held: Held):
    """The stream, once its first token was let through."""
    task = asyncio.ensure_future(call)
    held.let(1)
    return await task


def test_more_than_the_limit_is_a_429_and_then_there_is_room_again() -> None:
    async def work() -> None:
        held, server = held_server(config=ServerConfig(most_requests=2))
        async with server as s:
            first = [asyncio.create_task(s.post("/v1/chat/completions", CHAT)) for _ in range(2)]
            await settled(lambda: s.fake.running == 2)
            async with s.http.post(s.base + "/v1/completions", json={"model": "tiny", "prompt": "x"}) as refused:
                assert refused.status == 429 and int(refused.headers["Retry-After"]) >= 1
            held.let(99)
            assert [status for status, _ in await asyncio.gather(*first)] == [200, 200]
            assert (await s.post("/v1/chat/completions", CHAT))[0] == 200

    run(work)


def test_draining_finishes_what_runs_and_refuses_what_comes() -> None:
    async def work() -> None:
        held, server = held_server()
        async with server as s:
            running = asyncio.create_task(s.post("/v1/chat/completions", CHAT))
            await settled(lambda: s.fake.running == 1)
            drain = asyncio.create_task(s.server.drain())
            await settled(lambda: s.server.desk.draining)
            status, said = await s.post("/v1/chat/completions", CHAT)
            assert (status, said["error"]["code"]) == (503, "draining")
            assert (await s.http.get(s.base + "/health")).status == 503
            held.let(99)
            assert (await running)[0] == 200
            await drain

    run(work)


def test_draining_ends_what_takes_too_long() -> None:
    async def work() -> None:
        _, server = held_server(config=ServerConfig(drain_seconds=0.0))
        async with server as s:
            running = asyncio.create_task(s.post("/v1/chat/completions", CHAT))
            await settled(lambda: s.fake.running == 1)
            await s.server.drain()
            assert s.fake.running == 0 and s.server.desk.open == 0
            status, said = await running
            assert (status, said["error"]["code"]) == (503, "draining")

    run(work)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"model": "tiny", "prompt": "x"}),
        ("/generate", {"ids": [1]}),
    ],
)
def test_a_stream_that_draining_cuts_has_a_last_line(path, body) -> None:
    async def work() -> None:
        held, config = Held(), ServerConfig(drain_seconds=0.0)
        async with serving(lambda request: turn("word " * 99), pace=held, config=config) as s:
            held.let(3)
            async with s.http.post(s.base + path, json=body | {"stream": True}) as answer:
                await settled(lambda: held.spent)
                await s.server.drain()
                lines = [line for line in (await answer.text()).splitlines() if line]
            if path != "/generate":
                assert lines.pop() == "data: [DONE]" and lines[-1].startswith("data: ")
            error = json.loads(lines[-1].removeprefix("data: "))["error"]
            assert len(lines) > 1 and error["code"] == "draining" and "was cut" in error["message"]

    run(work)


def test_who_prepares_or_reads_too_long_is_cut_too(monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.inference.serve_desk.LAST_WORDS_SECONDS", 0.01)

    async def work() -> None:
        desk = Desk(FakeSampler(vocab_size=9), ServeMetrics(), most=3)

        async def stubborn() -> None:
            async with desk.visit("x"):
                await asyncio.Event().wait()

        task = asyncio.create_task(stubborn())
        await settled(lambda: desk.open == 1)
        await desk.drain(0.0)
        assert desk.open == 0 and task.cancelled()

    run(work)


def test_only_who_has_the_token_and_the_right_name_is_heard() -> None:
    async def work() -> None:
        async with serving([]) as s:
            port = s.server.guard.port
            for headers, status in (
                ({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": f"Basic {TOKEN}"}, 401),
                ({"Authorization": f"Bearer {TOKEN}"}, 200),
                ({"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}, 403),
                ({"Authorization": f"Bearer {TOKEN}", "Host": f"localhost:{port}"}, 200),
            ):  # fmt: skip
                async with aiohttp.request("GET", s.server.url + "/models", headers=headers) as answer:
                    assert answer.status == status and "nosniff" in str(answer.headers) or status != 200
                    assert ("error" in await answer.json()) == (status != 200)
            async with aiohttp.request("GET", s.base + "/health") as answer:
                assert (answer.status, await answer.json()) == (200, {"status": "ok", "version": 0})
            async with aiohttp.request("GET", s.base + "/metrics") as answer:
                assert answer.status == 401

    run(work)


@pytest.mark.parametrize(
    ("host", "port", "named", "heard"),
    [
        ("127.0.0.2", 99, "127.0.0.2:99", True), ("127.0.0.1", 99, "LOCALHOST:99", True), ("::1", 99, "[::1]:99", True),
        ("127.0.0.1", 80, "localhost", True), ("127.0.0.1", 99, "localhost", False), ("0.0.0.0", 99, "any:99", True),
    ],
)  # fmt: skip
def test_a_server_goes_by_its_own_names(host, port, named, heard) -> None:
    guard = ServeGuard(TOKEN, host=host)
    guard.port = port
    assert (not guard.hosts or named.lower() in guard.hosts) == heard


def test_who_does_not_read_the_end_is_dropped(monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.inference.serve_stream.WRITE_SECONDS", 0.01)

    async def work() -> None:
        async def never(*_: object) -> None:
            await asyncio.Event().wait()

        http = make_mocked_request("POST", "/generate")
        pieces = Pieces(http, "text/plain", ping=b"", id="x")
        monkeypatch.setattr(pieces.response, "write_eof", never)
        with pytest.raises(ConnectionError, match="reads nothing"):
            await pieces.end()
        assert http.transport is not None and http.transport.abort.called  # type: ignore[attr-defined]

    run(work)


def test_what_never_fits_is_refused_before_it_is_cut_into_tokens() -> None:
    much, user = "word " * 400_000, {"role": "user", "content": "x"}
    thought = {"role": "assistant", "content": "", "reasoning_content": much}
    call = {"id": "functions.zoom:0", "type": "function", "function": {"name": "zoom", "arguments": much}}
    wordy = {"type": "function", "function": {"name": "zoom", "description": much}}

    async def work() -> None:
        async with serving([]) as s:
            for change, param in (
                ({"messages": [user, thought]}, "messages"), ({"messages": [user] * 5000}, "messages"),
                ({"messages": [user, {"role": "assistant", "content": "", "tool_calls": [call]}]}, "messages"),
                ({"tools": [wordy]}, "tools"),
            ):  # fmt: skip
                status, said = await s.post("/v1/chat/completions", CHAT | change)
                error = said["error"]
                assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", param)

    run(work)


def test_bodies_have_a_limit_together_and_control_is_always_heard() -> None:
    async def work() -> None:
        held, server = held_server(config=ServerConfig(body_bytes=300_000, bodies_bytes=400_000))
        long = {"ids": [1], "params": {"stop_texts": []}}
        async with server as s:
            body = json.dumps(long | {"request_id": "big"}).encode() + b" " * 250_000
            first = asyncio.create_task(s.post("/generate", body))
            await settled(lambda: s.fake.running == 1)
            unknown = {"data": pieces_of(body), "headers": {"Content-Type": "application/json"}}
            async with s.http.post(s.base + "/generate", **unknown) as answer:
                assert answer.status == 429 and answer.headers["Retry-After"] == "1"
            assert (await s.post("/abort", {"request_id": "big"}))[0] == 200
            assert (await first)[1]["stop"] == "aborted"
            held.let(99)
            async with s.http.post(s.base + "/generate", data=pieces_of(body)) as answer:
                assert answer.status == 200

    run(work)


async def pieces_of(body: bytes):
    """A body whose length no header tells."""
    yield body


def test_bytes_that_are_no_http_are_no_crash_and_leave_no_words_in_the_log(caplog) -> None:
    key = f"Authorization: Bearer {TOKEN}\r\n"

    async def said(port: int, head: str, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST /generate HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{head}\r\n".encode() + body)
        answer = await reader.readline()
        writer.close()
        return answer

    async def work() -> None:
        async with serving([]) as s:
            port = s.server.guard.port
            for head, body in (
                ("Secret: " + "word" * 5000 + "\r\n", b""), ("no header\r\n", b""),
                (key + "Transfer-Encoding: chunked\r\n", b"zz\r\nword\r\n"),
                (key + "Content-Encoding: gzip\r\nContent-Length: 4\r\n", b"word"),
            ):  # fmt: skip
                assert b" 400 " in await said(port, head, body), head
        assert not caplog.records

    run(work)


def test_pictures_count_together() -> None:
    content = [{"type": "image_url", "image_url": {"url": bomb(900)}}] * 3

    async def work() -> None:
        async with serving([], media=MediaLimits(all_pixels=2 * 10**6)) as s:
            body = CHAT | {"messages": [{"role": "user", "content": content}]}
            for path, asked in (
                ("/v1/chat/completions", body), ("/generate", {"ids": [1], "media": [bomb(900)] * 3}),
            ):  # fmt: skip
                status, said = await s.post(path, asked)
                assert status == 400 and "in all" in said["error"]["message"]

    run(work)


@pytest.mark.parametrize("token", ["short", "with a space in the middle", "not-ascii-é-at-all", ""])
def test_a_token_that_is_none_is_refused(token) -> None:
    with pytest.raises(ConfigError, match="token"):
        ServeGuard(token)


def test_a_port_that_is_taken_is_one_line() -> None:
    async def work() -> None:
        async with serving([]) as s:
            config = ServerConfig(port=s.server.guard.port)
            with pytest.raises(ConfigError, match="--port") as caught:
                async with ChatServer(s.fake, SERVED, token=TOKEN, config=config):
                    pass
            assert "\n" not in str(caught.value)

    run(work)


def test_metrics_count() -> None:
    async def work() -> None:
        async with serving([turn("Hello")]) as s:
            await s.post("/v1/chat/completions", CHAT)
            await s.post("/v1/chat/completions", {})
            async with s.http.get(s.base + "/metrics") as answer:
                lines = (await answer.text()).splitlines()
            assert 'manyeyes_requests_total{route="/v1/chat/completions",status="200"} 1.0' in lines
            assert 'manyeyes_requests_total{route="/v1/chat/completions",status="400"} 1.0' in lines
            assert f"manyeyes_completion_tokens_total {float(len(turn('Hello')))}" in lines
            assert "manyeyes_requests_open 0.0" in lines and 'manyeyes_completions_total{stop="stop"} 1.0' in lines

    run(work)


def bomb(side: int) -> str:
    """A PNG whose header promises side x side pixels, in a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def jpeg(size: int) -> str:
    buffer = io.BytesIO()
    Image.effect_noise((size, size), 99).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://169.254.169.254/latest", "fetches nothing"),
        ("file:///etc/passwd", "fetches nothing"),
        ("data:image/png;base64,????", "not base64"),
        ("data:image/png,abc", "expected data:image"),
        ("data:text/html;base64,AAAA", "expected data:image"),
        ("data:image/png;base64,", "not a picture"),
        ("data:image/png;base64,AAAA", "not a picture"),
        (bomb(60_000), "pixels"),
        (jpeg(200), "bytes"),
    ],
)
def test_pictures_that_cannot_be_used_are_a_400(url, says) -> None:
    async def work() -> None:
        async with serving([turn("x")], media=MediaLimits(file_bytes=9_000, pixels=10**6)) as s:
            content = [{"type": "image_url", "image_url": {"url": url}}]
            status, said = await s.post(
                "/v1/chat/completions", CHAT | {"messages": [{"role": "user", "content": content}]}
            )
            assert status == 400 and says in said["error"]["message"] and not s.fake.requests
            content = [{"type": "video_url", "video_url": {"url": url.replace("image/png", "video/mp4")}}]
            status, _ = await s.post(
                "/v1/chat/completions", CHAT | {"messages": [{"role": "user", "content": content}]}
            )
            assert status == 400 and not s.fake.requests

    run(work)


def test_a_body_that_is_too_large_is_a_413() -> None:
    async def work() -> None:
        async with serving([], config=ServerConfig(body_bytes=1000)) as s:
            status, said = await s.post("/v1/chat/completions", {"model": "x" * 2000})
            assert (status, said["error"]["code"]) == (413, "request_too_large")

    run(work)


def test_a_body_that_unpacks_to_too_much_is_a_413() -> None:
    async def work() -> None:
        async with serving([], config=ServerConfig(body_bytes=10_000)) as s:
            packed = gzip.compress(b" " * 5_000_000)
            status, _ = await s.post("/v1/chat/completions", packed, headers={"Content-Encoding": "gzip"})
            assert status == 413

    run(work)


def test_a_million_words_are_refused_before_they_are_cut_into_tokens() -> None:
    async def work() -> None:
        async with serving([]) as s:
            for body in ({"messages": [{"role": "user", "content": "word " * 1_000_000}]}, {"prompt": "word " * 10**6}):
                path = "/v1/completions" if "prompt" in body else "/v1/chat/completions"
                status, said = await s.post(path, {"model": "tiny"} | body)
                assert status == 400 and said["error"]["code"] == "context_length_exceeded"

    run(work)


def test_the_server_needs_no_torch() -> None:
    code = "import manyeyes.inference.server, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_address_that_is_none_has_an_answer_of_the_same_form() -> None:
    async def work() -> None:
        async with serving([]) as s:
            assert (await s.post("/v2/nothing", {}))[1]["error"]["type"] == "invalid_request_error"
            async with s.http.get(s.server.url + "/chat/completions") as answer:
                assert answer.status == 405 and (await answer.json())["error"]["code"] == "method_not_allowed"

    run(work)


def test_tool_call_constraints_hold_through_the_server() -> None:
    """Random scores, and yet: a named function is called once, with arguments that fit."""
    from .scripted_server import tool

    choice = {"type": "function", "function": {"name": "pan"}}
    flag = {
        "type": "object",
        "properties": {"x": {"type": "boolean"}},
        "required": ["x"],
        "additionalProperties": False,
    }

    async def work() -> None:
        async with serving() as s:
            asked = CHAT | {"tools": [tool(), tool("pan", flag)], "tool_choice": choice, "max_tokens": 99,
                            "chat_template_kwargs": {"thinking": False}}  # fmt: skip
            for seed in range(8):
                _, said = await s.post("/v1/chat/completions", asked | {"seed": seed})
                (call,) = said["choices"][0]["message"]["tool_calls"]
                assert said["choices"][0]["finish_reason"] == "tool_calls" and call["id"] == "functions.pan:0"
                assert call["function"]["arguments"].replace(" ", "") in ('{"x":true}', '{"x":false}')
            for strict, status in ((True, 400), (None, 400), (False, 200)):
                loose = tool("pan", {"type": "object", "not": {}}, strict=strict)
                got, said = await s.post("/v1/chat/completions", asked | {"tools": [loose]})
                assert got == status and (got == 200 or '"not"' in said["error"]["message"])
            free = asked | {"tools": [tool("pan", {"type": "object", "not": {}})], "tool_choice": "auto"}
            assert (await s.post("/v1/chat/completions", free))[0] == 200  # nothing is promised: nothing is refused

    run(work)
