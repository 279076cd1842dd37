"""`OpenAIChat`: a `ChatModel` over any OpenAI-compatible endpoint, always streaming, on one shared connection pool.

    429, 503        the limiter slows everybody down; this call waits and goes again, as often as it takes
    500, 502, 504, cut or silent stream, broken line     again, at most `retries` times, with growing pauses
    400, 404, 413, 422                                   this call's own fault: a `ModelError` at once
    401, 402, 403, and 429 for lack of money             everybody pauses until `limiter.resume()`, then it goes again;
                                                         a `ModelError` where nobody can be asked

What an answer other than 200 means is told in `refusals`. The endpoint's key is cut out of every text that leaves the
client, and no error that leaves it carries the failures behind it, whose texts nobody has looked through.

Time limits: `connect` to reach the endpoint, `idle` between two pieces of a stream, `alive` between two pieces of an
answer when all that comes in between are signs of life, `wall` for a whole answer.

Report: App. D (agents speak a standard LLM API).
"""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aiohttp
import msgspec

from manyeyes.agent.chat_model import DEFAULT_SAMPLING, ModelError, Reply, Sampling, Usage
from manyeyes.agent.endpoint import Endpoint
from manyeyes.agent.fenced_calls import fenced_calls
from manyeyes.agent.gate import Gate
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.refusals import (
    Again,
    Busy,
    Course,
    NoQuota,
    Transient,
    refusal,
    said_by,
    start_of,
    status_of,
    why_unanswered,
)  # fmt: skip
from manyeyes.agent.wire import Assembler, Chunk, MessageEncoder, tools_json
from manyeyes.core.messages import Message, Tool

_DECODE_CHUNK = msgspec.json.Decoder(Chunk).decode
_ENCODE = msgspec.json.Encoder().encode
TOOL_LISTS = 16
"""Encoded lists of tools that are kept: as many as there are kinds of agents."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
"""Seconds before the second try and before any other; doubled in between."""
LONGEST_LINE = 2**22
"""Bytes of one streamed line; more is no answer but an attack or a bug."""
LONGEST_ANSWER = 2**28
"""Bytes of an answer: some 300 for each of a million tokens, whose chunks have names around them."""


class OpenAIChat:
    """A client; use as an async context manager, or `close` it.

    Args:
        endpoint: where and what.
        limiter: shared by all clients of one endpoint and key; a new one when left out.
        encoder: shared cache of encoded messages.
    """

    def __init__(
        self, endpoint: Endpoint, *, limiter: Limiter | None = None, encoder: MessageEncoder | None = None
    ) -> None:
        self.endpoint = endpoint
        self.limiter = limiter or Limiter()
        self._encoder = encoder or MessageEncoder(media_of_tools=endpoint.media_of_tools, video=endpoint.video)
        self._session: aiohttp.ClientSession | None = None
        self._tools: list[tuple[tuple[Tool, ...], bytes]] = []
        self._calls = itertools.count()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.endpoint.model

    def cost(self, usage: Usage) -> float:
        """See `ChatModel.cost`."""
        return self.endpoint.cost(usage)

    async def __aenter__(self) -> "OpenAIChat":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

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
        """One assistant message; see `ChatModel.complete`."""
        body, ticket, course = self._body(messages, tools, sampling), self.limiter.ticket(), Course(time.monotonic())
        while True:
            await self._enter(priority, ticket, gate, course)
            course.tries(time.monotonic())
            try:
                reply = await self._attempt(body, on_text)
            except Again as caught:
                failure = caught
                course.failed(failure, time.monotonic())
                self._slow_down(failure)  # before the turn goes to the next one
            else:
                self.limiter.succeeded()
                reply = _with_written_calls(reply, tools, turn=next(self._calls))
                return dataclasses.replace(reply, waited=course.waited, attempts=course.attempts, paused=course.paused)
            finally:
                self.limiter.leave()
            self._give_up(failure, course)
            if course.failures:
                pause = min(FIRST_PAUSE * 2 ** (course.failures - 1), LONGEST_PAUSE)
                await asyncio.sleep(pause)
                course.waited += pause

    async def _enter(self, priority: int, ticket: int, gate: Gate | None, course: "Course") -> None:
        """Wait for a turn at the limiter; who is called up while the run is paused stands back."""
        course.waited += await self.limiter.enter(priority, ticket)
        while gate is not None and not gate.is_open:
            self.limiter.leave()
            paused = await gate.passed()
            course.paused, course.waited = course.paused + paused, course.waited + paused
            course.waited += await self.limiter.enter(priority, ticket)

    def _body(self, messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling) -> bytes:
        """The request; only messages that were never sent before are encoded."""
        settings: dict[str, Any] = {
            "model": self.endpoint.model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
            **sampling.extra,
        }
        if sampling.max_tokens is not None:
            settings["max_tokens"] = sampling.max_tokens
        head = _ENCODE(settings)[:-1]
        declared = b',"tools":' + self._declared(tools) if tools else b""
        return head + declared + b',"messages":' + self._encoder.conversation(messages) + b"}"

    def _declared(self, tools: Sequence[Tool]) -> bytes:
        """The declarations; agents of one kind have equal lists of their own, which are encoded once."""
        wanted = tuple(tools)
        at = next((at for at, (known, _) in enumerate(self._tools) if known == wanted), None)
        newest = (wanted, tools_json(wanted)) if at is None else self._tools.pop(at)
        self._tools.insert(0, newest)
        del self._tools[TOOL_LISTS:]
        return newest[1]

    async def _attempt(self, body: bytes, on_text: Callable[[str], None] | None) -> Reply:
        """One request, from its first byte to its last."""
        began, answer = time.monotonic(), Assembler()
        first = 0.0
        try:
            async with self._connected().post(self._url, data=body, headers=self._headers) as response:
                if response.status != 200:
                    said = said_by(await start_of(response), self.endpoint)
                    raise refusal(response.status, said, response.headers)
                async for chunk in _chunks(response, alive=self.endpoint.alive):
                    if chunk.error is not None:
                        said = said_by(chunk.error, self.endpoint)
                        raise refusal(status_of(chunk.error), said, response.headers)
                    text = answer.add(chunk)
                    if not first and answer.started:
                        first = time.monotonic() - began
                    if text and on_text is not None:
                        on_text(text)
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, ConnectionError) as error:
            raise Transient(why_unanswered(error, self.endpoint), partial=answer.written) from error
        if answer.stop is None:
            raise Transient("the stream ended before the answer did", partial=answer.written)
        message = answer.message(prefix=f"call_{next(self._calls)}")
        usage = answer.usage or _estimated(body, message)
        usage = dataclasses.replace(usage, cost=self.endpoint.cost(usage))
        return Reply(message, answer.stop, usage, first=first, seconds=time.monotonic() - began)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            patience = aiohttp.ClientTimeout(
                total=self.endpoint.wall, sock_connect=self.endpoint.connect, sock_read=self.endpoint.idle
            )
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
                timeout=patience,
                auto_decompress=True,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    @property
    def _url(self) -> str:
        return self.endpoint.url.rstrip("/") + "/chat/completions"

    @property
    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        return headers | ({"Authorization": f"Bearer {self.endpoint.key}"} if self.endpoint.key else {})

    def _give_up(self, failure: "Again", course: "Course") -> None:
        """Raise ModelError when trying again has no point; called where no exception is being handled."""
        why = self.endpoint.hide(f"{self.endpoint.url}: {failure}")
        if isinstance(failure, NoQuota) and not self.endpoint.wait_for_quota:
            raise ModelError(why, kind="quota", status=failure.status)
        impatient = isinstance(failure, Busy) and course.refused > self.endpoint.patience
        if impatient or course.failures > self.endpoint.retries:
            raise ModelError(
                f"{why}; gave up after {course.attempts} tries in {time.monotonic() - course.began:.0f} s",
                kind="endpoint",
                status=failure.status,
                partial=self.endpoint.hide(failure.partial),
            )

    def _slow_down(self, failure: "Again") -> None:
        if isinstance(failure, NoQuota) and self.endpoint.wait_for_quota:
            self.limiter.pause(str(failure))
        elif isinstance(failure, Busy):
            self.limiter.refuse(failure.retry_after, at_once=failure.at_once)


async def _chunks(response: aiohttp.ClientResponse, *, alive: float) -> AsyncIterator[Chunk]:
    """The chunks of a stream of server-sent events; of an endpoint that does not stream, its whole answer.

    Args:
        alive: seconds for which comments alone, which many endpoints send while a call queues, keep it going.
    """
    if "text/event-stream" not in response.headers.get("Content-Type", ""):
        yield _DECODE_CHUNK(b"".join([block async for block in _bounded(response)]))
        return
    rest, newest = b"", time.monotonic()
    async for block in _bounded(response):
        *lines, rest = (rest + block).split(b"\n")
        if any(line.startswith(b"data:") for line in lines):
            newest = time.monotonic()
        elif time.monotonic() - newest > alive:
            raise TimeoutError
        for line in lines:
            if line.startswith(b"data:"):
                data = line[5:].strip()
                if data == b"[DONE]":
                    return
                if data:
                    yield _DECODE_CHUNK(data)
        if len(rest) > LONGEST_LINE:
            raise aiohttp.ClientPayloadError(f"a line of more than {LONGEST_LINE >> 20} MiB")


async def _bounded(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The blocks of an answer, which must not fill our memory."""
    left = LONGEST_ANSWER
    async for block in response.content.iter_any():
        left -= len(block)
        if left < 0:
            raise aiohttp.ClientPayloadError(f"an answer of more than {LONGEST_ANSWER >> 20} MiB")
        yield block


def _estimated(body: bytes, message: Message) -> Usage:
    """Where an endpoint counts nothing: a token is about four bytes of English."""
    written = len(message.text) + len(message.reasoning or "") + sum(len(call.arguments) for call in message.tool_calls)
    return Usage(len(body) // 4, max(1, written // 4))


def _with_written_calls(reply: Reply, tools: Sequence[Tool], *, turn: int) -> Reply:
    """Calls that a model wrote as text count as calls; see `fenced_calls`."""
    message = reply.message
    if message.tool_calls or reply.stop != "stop" or not tools or '"arguments"' not in message.text:
        return reply
    calls = fenced_calls(message.text, {tool.name for tool in tools}, turn=turn)
    if not calls:
        return reply
    return dataclasses.replace(
        reply, message=dataclasses.replace(message, content="", tool_calls=calls), stop="tool_calls"
    )
