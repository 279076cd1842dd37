"""Servers of three wires over one small engine whose next token is a function of the ids so far.

A test hands out tokens (`credit`), so that what happens between two of them happens there and nowhere else.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

LOTS = 10**9
PAD = 21


def next_token(ids: list[int]) -> int:
    return 1000 + (31 * sum(ids) + 7 * len(ids)) % 500


def logprob_of(token: int) -> float:
    return -(token % 16) / 8 - 0.125


def expected(ids: list[int], count: int) -> list[int]:
    ids = list(ids)
    for _ in range(count):
        ids.append(next_token(ids))
    return ids[-count:]


@dataclass(eq=False)
class _Request:
    ids: list[int]
    most: int
    stops: list[int]
    aborted: bool = False
    output: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)


class Mock:
    """An engine and a server; an async context manager."""

    deaf = False
    """Whether aborts are ignored."""

    def __init__(self) -> None:
        self.credit, self.version, self.paused = LOTS, 0, False
        self.requests: dict[str, _Request] = {}
        self.calls: list[tuple[str, Any, dict[str, str]]] = []
        self.cut_after: int | None = None
        self.refuse: tuple[int, Any, Mapping[str, str]] | None = None
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    def routes(self) -> dict[str, Callable[[web.Request, Any], Awaitable[web.StreamResponse]]]:
        raise NotImplementedError

    async def __aenter__(self) -> "Mock":
        app = web.Application(client_max_size=2**28)
        for path, handler in self.routes().items():
            app.router.add_post(path, self._noted(handler))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.set(credit=LOTS, paused=False)
        if self._runner is not None:
            await self._runner.cleanup()

    async def set(self, **values: Any) -> None:
        async with self._changed:
            for name, value in values.items():
                setattr(self, name, value)
            self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something, in simulated steps; fails when it does not come."""
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("it did not happen")

    async def abort(self, numbers: list[str] | None = None) -> None:
        if not self.deaf:
            for number in list(self.requests) if numbers is None else numbers:
                if number in self.requests:
                    self.requests[number].aborted = True
        await self.set()

    async def run(self, number: str, request: _Request) -> AsyncIterator[tuple[int, str | None]]:
        """Tokens with a finish reason at the last; an abort gives none."""
        self.requests[number] = request
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(lambda: request.aborted or (self.credit > 0 and not self.paused))
                    if request.aborted:
                        return
                    self.credit -= 1
                token = next_token(request.ids + request.output)
                request.output.append(token)
                request.versions.append(self.version)
                stop = "stop" if token in request.stops else "length" if len(request.output) >= request.most else None
                yield token, stop
                if stop:
                    return
        finally:
            del self.requests[number]

    async def stream(self, request: web.Request, events: AsyncIterator[bytes], kind: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        sent = 0
        async for event in events:
            if self.cut_after is not None and sent >= self.cut_after and request.transport is not None:
                request.transport.close()
                return response
            await response.write(event)
            sent += 1
        await response.write_eof()
        return response

    def bodies(self, path: str) -> list[Any]:
        return [body for called, body, _ in self.calls if called == path]

    def _noted(self, handler: Callable[[web.Request, Any], Awaitable[web.StreamResponse]]) -> Any:
        async def noted(request: web.Request) -> web.StreamResponse:
            content = await request.read()
            body = json.loads(content) if content else None
            self.calls.append((request.path, body, dict(request.query)))
            if self.refuse is not None:
                status, said, headers = self.refuse
                return web.json_response(said, status=status, headers=headers)
            return await handler(request, body)

        return noted


def sse(event: Any) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


class MockVllm(Mock):
    """vLLM: /inference/v1/generate, /v1/completions, render, dev endpoints."""

    picture_tokens: int | None = None

    def routes(self):
        return {
            "/inference/v1/generate": self.generate,
            "/v1/completions": self.complete,
            "/v1/chat/completions/render": self.render,
            "/pause": self.pause,
            "/resume": self.resume,
            "/abort_requests": self.abort_requests,
            "/start_weight_update": self.accept,
            "/update_weights": self.update,
            "/finish_weight_update": self.accept,
        }

    async def generate(self, request, body):
        sampling = body["sampling_params"]
        asked = _Request(body["token_ids"], sampling["max_tokens"], sampling["stop_token_ids"])
        return await self.stream(request, self._generated(body["request_id"], asked, sampling), "text/event-stream")

    async def _generated(self, number, asked, sampling):
        async for token, stop in self.run(number, asked):
            others = [{"token": f"token_id:{t}", "logprob": logprob_of(t)} for t in (token, token + 1, token + 2)]
            told = {"token": f"token_id:{token}", "logprob": logprob_of(token), "bytes": None,
                    "top_logprobs": others[: max(sampling["logprobs"], 1)]}  # fmt: skip
            choice = {"index": 0, "token_ids": [token], "logprobs": {"content": [told]}, "finish_reason": stop}
            yield sse({"request_id": number, "choices": [choice], "usage": None})
        details = {"cached_tokens": 4}
        usage = {"prompt_tokens": len(asked.ids), "completion_tokens": len(asked.output)}
        yield sse({"request_id": number, "choices": [], "usage": usage | {"prompt_tokens_details": details}})
        yield b"data: [DONE]\n\n"

    async def complete(self, request, body):
        asked = _Request(body["prompt"], body["max_tokens"], body["stop_token_ids"])
        return await self.stream(request, self._completed(body, asked), "text/event-stream")

    async def _completed(self, body, asked):
        async for token, stop in self.run(body["request_id"], asked):
            told = {"tokens": [f"token_id:{token}"], "token_logprobs": [logprob_of(token)], "text_offset": [0],
                    "top_logprobs": [{f"token_id:{t}": logprob_of(t) for t in (token, token + 1)}]}  # fmt: skip
            choice = {"index": 0, "text": "", "token_ids": [token], "logprobs": told, "finish_reason": stop,
                      "stop_reason": token if stop == "stop" else None}  # fmt: skip
            yield sse({"id": "x", "object": "text_completion", "choices": [choice]})
        yield sse({"id": "x", "choices": [], "usage": {"prompt_tokens_details": {"cached_tokens": 4}}})
        yield b"data: [DONE]\n\n"

    async def render(self, request, body):
        (part,) = body["messages"][0]["content"]
        length = self.picture_tokens or 1
        features = {
            "mm_hashes": {"vision_chunk": [f"hash of {len(part['image_url']['url'])}"]},
            "mm_placeholders": {"vision_chunk": [{"offset": 5, "length": length}]},
            "kwargs_data": {"vision_chunk": ["c2VyaWFsaXNlZA=="]},
        }
        return web.json_response({"token_ids": [1, 2], "features": features, "sampling_params": {}})

    async def pause(self, request, body):
        self.paused = True
        if request.query["mode"] == "abort":
            await self.abort()
        return web.json_response({"status": "paused"})

    async def resume(self, request, body):
        await self.set(paused=False)
        return web.json_response({"status": "resumed"})

    async def abort_requests(self, request, body):
        await self.abort(body["request_ids"] or None)
        return web.json_response({"status": "aborted"})

    async def update(self, request, body):
        assert self.paused
        self.version = body["update_info"]["version"]
        return web.json_response({"message": "Weights updated"})

    async def accept(self, request, body):
        return web.json_response({"message": "ok"})


class MockSglang(Mock):
    """SGLang: /generate and what RL systems use of it."""

    incremental, spans = False, True
    prompt_tokens: int | None = None

    def routes(self):
        return {
            "/generate": self.generate,
            "/pause_generation": self.pause,
            "/continue_generation": self.resume,
            "/abort_request": self.abort_request,
            "/update_weights_from_disk": self.update,
            "/update_weights_from_tensor": self.update,
        }

    async def generate(self, request, body):
        sampling = body["sampling_params"]
        asked = _Request(body["input_ids"], sampling["max_new_tokens"], sampling["stop_token_ids"])
        return await self.stream(request, self._events(body, asked), "text/event-stream")

    async def _events(self, body, asked):
        number, stop = body["rid"], None
        async for token, stop in self.run(number, asked):
            finish = stop and (
                {"type": "stop", "matched": token} if stop == "stop" else {"type": "length", "length": 3}
            )
            yield sse(self._event(body, asked, finish, 1))
        if stop is None:
            yield sse(self._event(body, asked, {"type": "abort", "message": "Abort"}, 0))
        yield b"data: [DONE]\n\n"

    def _event(self, body, asked, finish, new):
        told = [[logprob_of(token), token, None] for token in asked.output]
        top = [[[logprob_of(token), token, None]] for token in asked.output]
        first = len(told) - new if self.incremental else 0
        meta = {
            "id": body["rid"], "finish_reason": finish, "prompt_tokens": self.prompt_tokens or len(asked.ids),
            "completion_tokens": len(told), "cached_tokens": 4, "weight_version": str(self.version),
            "output_token_logprobs": told[first:], "e2e_latency": 0.1,
        }  # fmt: skip
        if body["top_logprobs_num"]:
            meta["output_top_logprobs"] = top[first:]
        if self.spans:
            spans: list[dict[str, Any]] = []
            for at, version in enumerate(asked.versions):
                if spans and spans[-1]["version"] == str(version):
                    spans[-1]["end"] = at + 1
                else:
                    spans.append({"version": str(version), "start": at, "end": at + 1})
            meta["weight_versions"] = spans or [{"version": str(self.version), "start": 0, "end": 0}]
        return {"text": "", "output_ids": asked.output[first:], "meta_info": meta}

    async def pause(self, request, body):
        self.paused = True
        if body["mode"] == "abort":
            await self.abort()
        return web.json_response({"status": "ok"})

    async def resume(self, request, body):
        await self.set(paused=False)
        return web.json_response({"status": "ok"})

    async def abort_request(self, request, body):
        await self.abort(None if body.get("abort_all") else [body["rid"]])
        return web.Response()

    async def update(self, request, body):
        assert self.paused
        if body.get("model_path") == "missing":
            return web.json_response({"success": False, "message": "no such checkpoint"})
        self.version = int(body["weight_version"])
        return web.json_response({"success": True, "message": "", "num_paused_requests": 0})


class MockManyeyes(Mock):
    """The token API of docs/serving.md."""

    def routes(self):
        return {
            "/generate": self.generate,
            "/pause": self.pause,
            "/resume": self.resume,
            "/abort": self.abort_one,
            "/update_weights": self.update,
        }

    async def generate(self, request, body):
        asked = _Request(body["ids"], body["params"]["max_new_tokens"], body["params"]["stop_ids"])
        return await self.stream(request, self._lines(body["request_id"], asked), "application/x-ndjson")

    async def _lines(self, number, asked):
        reason = None
        async for token, stop in self.run(number, asked):
            reason = stop
            yield json.dumps({"ids": [token], "logprobs": [logprob_of(token)]}).encode() + b"\n"
        done = {
            "done": True, "request_id": number, "ids": asked.output, "versions": asked.versions,
            "logprobs": [logprob_of(token) for token in asked.output],
            "stop": reason or self.ending, "logprob_kind": "sampled", "top": [],
            "usage": {"prompt": len(asked.ids), "cached": 4, "completion": len(asked.output)},
            "first_seconds": 0.1, "seconds": 0.2,
        }  # fmt: skip
        yield json.dumps(done).encode() + b"\n"

    ending = "aborted"

    async def pause(self, request, body):
        self.paused = True
        if body["hand_back"]:
            self.ending = "handed_back"
            await self.abort()
        return web.json_response({})

    async def resume(self, request, body):
        await self.set(paused=False)
        return web.json_response({})

    async def abort_one(self, request, body):
        self.ending = "aborted"
        await self.abort([body["request_id"]])
        return web.json_response({"aborted": True})

    async def update(self, request, body):
        if body["hand_back"]:
            self.ending = "handed_back"
            await self.abort()
        await self.set(version=body["version"])
        return web.json_response({})
