"""An OpenAI-compatible endpoint that tells token ids, in the ways in which servers do, or none."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec
from aiohttp import web

Tells = Literal["ids", "spelt", "nothing", "nonsense"]
SAID = [21, 22, 23]
LOGPROBS = [-0.1, -0.2, -0.3]


class Endpoint:
    """Says three tokens to everything.

    Attributes:
        tells: how its tokens are told; "spelt": inside log-probabilities, as older servers do.
        bodies: requests, as they came.
        status, words: of a refusal.
        thought: what it calls thoughts.
        odd_line: of its streams.
        cut: break off a stream in its middle; "quietly": as if it were whole.
        then: awaited before an answer.
    """

    def __init__(self, tells: Tells = "ids") -> None:
        self.tells, self.bodies, self.keys = tells, [], []
        self.status, self.words, self.url = 200, "", ""
        self.cut: bool | Literal["quietly"] = False
        self.thought, self.odd_line = "reasoning_content", b""
        self.then: Callable[[], Any] | None = None
        self.prompt = [1, 2, 3]

    async def chat(self, http: web.Request) -> web.StreamResponse:
        asked = await http.json()
        self.bodies.append(asked)
        self.keys.append(http.headers.get("Authorization"))
        if self.then is not None:
            await self.then()
        if self.status != 200:
            error = {
                "message": self.words or f"refused with {self.status}",
                "code": "of_the_endpoint",
                "param": "messages",
            }
            return web.json_response({"error": error}, status=self.status, headers={"Retry-After": "7"})
        return await self._streamed(http, asked) if asked.get("stream") else self._whole(asked)

    def _whole(self, asked: dict[str, Any]) -> web.Response:
        message = {"role": "assistant", "content": "abc", self.thought: "hm", "odd": [1]}
        if asked.get("tools"):
            function = {"name": "zoom", "arguments": '{"x": 1}'}
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        choice = {"index": 0, "message": message, "finish_reason": "stop", **self._tokens(0, 3)}
        if self.tells == "nonsense":
            choice["token_ids"] = "many"
        usage = {"prompt_tokens": len(self.prompt), "completion_tokens": 3, "total_tokens": len(self.prompt) + 3}
        return web.json_response(self._around(asked) | {"choices": [choice], "usage": usage, **self._prompt()})

    async def _streamed(self, http: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(http)
        first = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        chunks: list[dict[str, Any]] = [{"choices": [first], **self._prompt()}]
        for at, text in enumerate("abc"):
            end = "stop" if at == 2 else None
            chunks.append({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": end,
                                        **self._tokens(at, at + 1)}]})  # fmt: skip
        if self.odd_line:
            await response.write(b"data: " + self.odd_line + b"\n\n")
        for number, chunk in enumerate(chunks):
            if self.cut == "quietly" and number == 2:
                return response
            if self.cut and number == 2:
                http.transport.abort()  # pyright: ignore[reportOptionalMemberAccess]
                break
            await response.write(b"data: " + msgspec.json.encode(self._around(asked) | chunk) + b"\n\n")
        if (asked.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
            await response.write(b"data: " + msgspec.json.encode({"choices": [], "usage": usage}) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    def _around(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"id": "x", "object": "o", "created": 1, "model": asked["model"], "extra": {"kept": True}}

    def _prompt(self) -> dict[str, Any]:
        return {"prompt_token_ids": self.prompt} if self.tells in ("ids", "spelt") else {}

    def _tokens(self, start: int, stop: int) -> dict[str, Any]:
        name = "token_id:{}" if self.tells == "spelt" else "t{}"
        told = [
            {"token": name.format(token), "logprob": logprob, "bytes": None, "top_logprobs": []}
            for token, logprob in zip(SAID[start:stop], LOGPROBS[start:stop], strict=True)
        ]
        ids = {"token_ids": SAID[start:stop]} if self.tells == "ids" else {}
        return {"logprobs": {"content": told}, **ids}


@asynccontextmanager
async def endpoint(tells: Tells = "ids") -> AsyncIterator[Endpoint]:
    made = Endpoint(tells)
    app = web.Application(client_max_size=2**26)
    app.add_routes([web.post("/v1/chat/completions", made.chat)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield made
    finally:
        await runner.cleanup()
