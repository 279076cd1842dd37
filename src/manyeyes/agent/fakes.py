"""Models that need no model, for tests, demos and benchmarks; shipped so that everything above them is testable alone.

    Echo            says the user's last words again
    Scripted        answers by a function of the conversation, or from a list
    FakeEndpoint    an OpenAI-compatible server on loopback over such a function, with latency and faults by plan:
                    400, 401, 429, 500, cut streams, malformed tool JSON, silence, signs of life without an answer

Report: none; kept beside the protocol they stand in for.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from aiohttp import web

from manyeyes.agent.chat_model import DEFAULT_SAMPLING, Reply, Sampling, Usage
from manyeyes.agent.context import estimated_tokens
from manyeyes.agent.gate import Gate
from manyeyes.core.messages import Message, Tool, ToolCall, assistant

Policy = Callable[[Sequence[Message]], Message]
Fault = Literal[
    "", "400", "401", "402", "429", "500", "overflow", "cut", "malformed", "garbage", "silent", "ping", "timeout"
]


class Scripted:
    """Answers by a function of the conversation, or a list in order.

    Args:
        seconds: that each answer takes.
        price: US dollars of a token, in or out.

    Example:
        >>> import asyncio
        >>> asyncio.run(Scripted([assistant("Hi")]).complete([])).message.text
        'Hi'
    """

    name = "scripted"

    def __init__(self, script: Policy | Sequence[Message], *, seconds: float = 0.0, price: float = 0.0) -> None:
        self._policy = script if callable(script) else None
        self._replies = iter(()) if callable(script) else iter(script)
        self._seconds, self._price = seconds, price
        self.calls: list[tuple[Message, ...]] = []

    def cost(self, usage: Usage) -> float:
        """See `ChatModel.cost`."""
        return usage.total * self._price

    async def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        sampling: Sampling = DEFAULT_SAMPLING,
        priority: int = 0,
        on_text: Callable[[str], None] | None = None,
        gate: Gate | None = None,
    ) -> Reply:
        """See `ChatModel.complete`."""
        paused = 0.0 if gate is None else await gate.passed()
        self.calls.append(tuple(messages))
        await asyncio.sleep(self._seconds)
        message = self._policy(messages) if self._policy is not None else next(self._replies)
        if on_text is not None:
            on_text(message.text)
        usage = Usage(sum(map(estimated_tokens, messages)), estimated_tokens(message))
        usage = replace(usage, cost=self.cost(usage))
        stop = "tool_calls" if message.tool_calls else "stop"
        return Reply(message, stop, usage, waited=paused, seconds=self._seconds, paused=paused)


def Echo() -> Scripted:
    """Says the user's last words again."""
    return Scripted(lambda messages: assistant(next(m.text for m in reversed(messages) if m.role == "user")))


class FakeEndpoint:
    """An OpenAI-compatible server; an async context manager.

    Args:
        policy: the answer to a conversation.
        seconds: latency of each answer.
        fault: of call number n (from 0) with this conversation; "" for none.
        rate: calls that are served in each `window` of seconds; others get 429 with Retry-After. None serves all.
        key: what callers must present; "" lets everybody in.

    Attributes:
        served: answers given; `refused`: 429s; `windows`: those in which something was served; `in_flight`,
            `most_in_flight`; `arrivals`: when requests came, by the loop's clock.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        seconds: float = 0.0,
        fault: Callable[[int, Sequence[Message]], Fault] = lambda number, messages: "",
        rate: float | None = None,
        window: float = 1.0,
        key: str = "",
    ) -> None:
        self.policy, self.seconds, self.fault, self.key = policy, seconds, fault, key
        self.rate, self.window = rate, window
        self.served = self.refused = self.received = self.in_flight = self.most_in_flight = 0
        self.arrivals: list[float] = []
        self.windows: list[int] = []
        self._used = 0
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> "FakeEndpoint":
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        number, self.received = self.received, self.received + 1
        self.arrivals.append(asyncio.get_running_loop().time())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._respond(request, number)
        finally:
            self.in_flight -= 1

    async def _respond(self, request: web.Request, number: int) -> web.StreamResponse:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "invalid key")
        body = json.loads(await request.read())
        messages = [_message(plain) for plain in body["messages"]]
        fault = self.fault(number, messages)
        if fault in ("400", "401", "402", "429", "500"):
            return _error(int(fault), f"fault {fault}")
        if fault == "overflow":
            return _error(400, "this model's maximum context length is 8192 tokens")
        if not self._within_rate():
            self.refused += 1
            return _error(429, "slow down", {"Retry-After": str(self._until_next_window())})
        if fault == "timeout":
            await asyncio.sleep(3600)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return await self._stream(request, self.policy(messages), fault)

    async def _stream(self, request: web.Request, message: Message, fault: Fault) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunks = _chunks(message, malformed=fault == "malformed")
        if fault in ("cut", "silent", "ping", "garbage"):
            await response.write(b"".join(chunks[: len(chunks) // 2]))
            if fault == "silent":
                await asyncio.sleep(3600)
            while fault == "ping":
                await response.write(b": still here\n\n")
                await asyncio.sleep(0.02)
            if fault == "garbage":
                await response.write(b"data: {not json\n\n")
            if request.transport is not None:
                request.transport.close()
            return response
        await response.write(b"".join(chunks))
        await response.write_eof()
        self.served += 1
        return response

    def _within_rate(self) -> bool:
        if self.rate is None:
            return True
        now = int(asyncio.get_running_loop().time() / self.window)
        if not self.windows or now != self.windows[-1]:
            self.windows.append(now)
            self._used = 0
        self._used += 1
        return self._used <= self.rate

    def _until_next_window(self) -> float:
        now = asyncio.get_running_loop().time()
        return round((int(now / self.window) + 1) * self.window - now + 0.005, 3)


def _error(status: int, why: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": why}}, status=status, headers=headers)


def _message(plain: dict[str, Any]) -> Message:
    content = plain.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in plain.get("tool_calls", ())
    )
    return Message(
        plain["role"],
        content,
        reasoning=plain.get("reasoning_content"),
        tool_calls=calls,
        tool_call_id=plain.get("tool_call_id"),
    )


def _chunks(message: Message, *, malformed: bool) -> list[bytes]:
    """The answer as server-sent events: reasoning, text in halves, each call in two pieces, the end, the usage."""
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    if message.reasoning is not None:
        deltas.append({"reasoning_content": message.reasoning})
    half = len(message.text) // 2
    deltas += [{"content": piece} for piece in (message.text[:half], message.text[half:]) if piece]
    for index, call in enumerate(message.tool_calls):
        arguments = call.arguments[: len(call.arguments) // 2] if malformed else call.arguments
        first = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        deltas.append({"tool_calls": [first]})
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls" if message.tool_calls else "stop"})
    events: list[dict[str, Any]] = [{"choices": [choice]} for choice in choices]
    events.append({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": max(1, len(message.text) // 4)}})
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]
