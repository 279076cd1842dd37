"""`OpenAIChat`: a `ChatModel` over any OpenAI-compatible endpoint, always streaming, on one shared connection pool.

    429, 503        the limiter slows everybody down; this call waits and goes again, as often as it takes
    500, 502, 504, cut or silent stream, broken line     again, at most `retries` times, with growing pauses
    400, 404, 413, 422                                   this call's own fault: a `ModelError` at once
    401, 402, 403, and 429 for lack of money             everybody pauses until `limiter.resume()`, then it goes again;
                                                         a `ModelError` where nobody can be asked

A 429 is for lack of money when it names no time to come back and says so; "quota" alone is also what Azure and Gemini
call an ordinary rate limit. The endpoint's key is cut out of every text that leaves the client, and no error that
leaves it carries the failures behind it, whose texts nobody has looked through.

Time limits: `connect` to reach the endpoint, `idle` between two pieces of a stream, `alive` between two pieces of an
answer when all that comes in between are signs of life, `wall` for a whole answer.

Report: App. D (agents speak a standard LLM API).
"""

import asyncio
import dataclasses
import email.utils
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import aiohttp
import msgspec

from manyeyes.agent.chat_model import DEFAULT_SAMPLING, ErrorKind, ModelError, Reply, Sampling, Usage
from manyeyes.agent.fenced_calls import fenced_calls
from manyeyes.agent.gate import Gate
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.wire import Assembler, Chunk, MessageEncoder, tools_json
from manyeyes.core.messages import Message, Tool

_DECODE_CHUNK = msgspec.json.Decoder(Chunk).decode
_ENCODE = msgspec.json.Encoder().encode
BUSY = (429, 503)
AGAIN = (408, 409, 500, 502, 504, 520, 522, 524, 529)
NO_MONEY = re.compile(
    r"insufficient[ _](quota|balance|credit|fund)|exceeded_current_quota|billing|\bbalance\b|suspended"
)
COME_BACK = re.compile(r"(retry|try again) (in|after)\b")
"""Said by endpoints that name the time in the text and not in Retry-After, as Gemini does."""
AT_ONCE = "concurren"
"""In what an endpoint says whose limit is on calls under way, as Moonshot's is."""
SHORTEST_KEY = 8
"""Characters; a shorter key, such as "1" of a local server, is no secret and stands in many texts."""
TEXT_ONLY_TOOLS = re.compile(r"^https?://([^/]*\.)?openai\.(com|azure\.com)(:\d+)?(/|$)")
"""Addresses whose tool messages take text alone."""
TOOL_LISTS = 16
"""Encoded lists of tools that are kept: as many as there are kinds of agents."""
OVERFLOW_WORDS = ("context length", "context_length", "maximum context", "too many tokens", "context window")
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
"""Seconds before the second try and before any other; doubled in between."""
DEFAULT_RETRY_AFTER, LONGEST_RETRY_AFTER = 1.0, 120.0
LONGEST_LINE = 2**22
"""Bytes of one streamed line; more is no answer but an attack or a bug."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is served and how patient to be.

    Attributes:
        url: base, such as "https://api.moonshot.ai/v1"; "/chat/completions" is added.
        model: name of the model there.
        key: of the endpoint; never logged, never shown by `repr`.
        prompt_price, completion_price, cached_price: US dollars per million tokens.
        connect, idle, alive, wall: seconds; see the module.
        retries: further tries after a failure that is nobody's fault.
        patience: seconds of 429 and 503, from the first of them on, after which a call fails; what it waits for other
            calls and for a person does not count, what the endpoint asks it to wait does.
        wait_for_quota: whether lack of quota pauses everybody (a person will look) or fails the call.
        media_role: whose message holds the pictures that a tool gave: "tool", or "user" for endpoints that take none
            there; "" decides by the address (OpenAI's own takes none).
    """

    url: str
    model: str
    key: str = ""
    prompt_price: float = 0.0
    completion_price: float = 0.0
    cached_price: float | None = None
    connect: float = 10.0
    idle: float = 120.0
    alive: float = 600.0
    wall: float = 3600.0
    retries: int = 4
    patience: float = 900.0
    wait_for_quota: bool = False
    media_role: Literal["", "tool", "user"] = ""

    @property
    def media_of_tools(self) -> Literal["tool", "user"]:
        """See `media_role`."""
        return self.media_role or ("user" if TEXT_ONLY_TOOLS.search(self.url) else "tool")

    def __repr__(self) -> str:
        return self.hide(f"Endpoint({self.url!r}, {self.model!r})")

    def hide(self, text: str) -> str:
        """A text without the key."""
        return text.replace(self.key, "[key]") if len(self.key) >= SHORTEST_KEY else text

    def cost(self, usage: Usage) -> float:
        """US dollars of a call."""
        cached = self.prompt_price if self.cached_price is None else self.cached_price
        fresh = usage.prompt - usage.cached
        return (fresh * self.prompt_price + usage.cached * cached + usage.completion * self.completion_price) / 1e6


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
        self._encoder = encoder or MessageEncoder(media_of_tools=endpoint.media_of_tools)
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
        body, ticket, course = self._body(messages, tools, sampling), self.limiter.ticket(), _Course(time.monotonic())
        while True:
            await self._enter(priority, ticket, gate, course)
            course.tries(time.monotonic())
            try:
                reply = await self._attempt(body, on_text)
            except _Again as caught:
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

    async def _enter(self, priority: int, ticket: int, gate: Gate | None, course: "_Course") -> None:
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
                    said = _said(await _start_of(response), self.endpoint)
                    raise _refusal(response.status, said, response.headers)
                async for chunk in _chunks(response, alive=self.endpoint.alive):
                    if chunk.error is not None:
                        said = _said(chunk.error, self.endpoint)
                        raise _refusal(_status_of(chunk.error), said, response.headers)
                    text = answer.add(chunk)
                    if not first and answer.started:
                        first = time.monotonic() - began
                    if text and on_text is not None:
                        on_text(text)
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, ConnectionError) as error:
            raise _Transient(_why(error, self.endpoint), partial=answer.written) from error
        if answer.stop is None:
            raise _Transient("the stream ended before the answer did", partial=answer.written)
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

    def _give_up(self, failure: "_Again", course: "_Course") -> None:
        """Raise ModelError when trying again has no point; called where no exception is being handled."""
        why = self.endpoint.hide(f"{self.endpoint.url}: {failure}")
        if isinstance(failure, _NoQuota) and not self.endpoint.wait_for_quota:
            raise ModelError(why, kind="quota", status=failure.status)
        impatient = isinstance(failure, _Busy) and course.refused > self.endpoint.patience
        if impatient or course.failures > self.endpoint.retries:
            raise ModelError(
                f"{why}; gave up after {course.attempts} tries in {time.monotonic() - course.began:.0f} s",
                kind="endpoint",
                status=failure.status,
                partial=self.endpoint.hide(failure.partial),
            )

    def _slow_down(self, failure: "_Again") -> None:
        if isinstance(failure, _NoQuota) and self.endpoint.wait_for_quota:
            self.limiter.pause(str(failure))
        elif isinstance(failure, _Busy):
            self.limiter.refuse(failure.retry_after, at_once=failure.at_once)


class _Again(Exception):
    """A failure after which the same request may succeed. `counts`: towards `Endpoint.retries`."""

    counts = 0

    def __init__(self, why: str, *, status: int = 0, partial: str = "", retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.status, self.partial, self.retry_after = status, partial, retry_after


class _Busy(_Again):
    """Too many calls, or too many tokens, for now; `at_once`: too many under way, says the endpoint."""

    def __init__(self, why: str, *, status: int = 0, retry_after: float = 0.0, at_once: bool = False) -> None:
        super().__init__(why, status=status, retry_after=retry_after)
        self.at_once = at_once


class _NoQuota(_Again):
    """No money, no right, or no key: nobody's call will work until a person acts."""


class _Transient(_Again):
    """Nobody's fault."""

    counts = 1


@dataclass(slots=True)
class _Course:
    """How a call fares.

    Attributes:
        began: when, on the monotonic clock.
        waited: seconds for a turn and between tries.
        paused: seconds of these for which the run was paused.
        refused: seconds of patience that are used up: tries after the first refusal, and pauses that were asked for.
    """

    began: float
    waited: float = 0.0
    paused: float = 0.0
    attempts: int = 0
    failures: int = 0
    refused: float = 0.0
    _refusals: int = 0
    _asked: float = 0.0
    _tried: float = 0.0

    def tries(self, now: float) -> None:
        """A try begins."""
        self.attempts += 1
        self._tried = now

    def failed(self, failure: _Again, now: float) -> None:
        """A try is over."""
        self.failures += failure.counts
        if isinstance(failure, _Busy):
            if self._refusals:
                self.refused += self._asked + now - self._tried
            self._refusals, self._asked = self._refusals + 1, failure.retry_after


async def _chunks(response: aiohttp.ClientResponse, *, alive: float) -> AsyncIterator[Chunk]:
    """The chunks of a stream of server-sent events; of an endpoint that does not stream, its whole answer.

    Args:
        alive: seconds for which comments alone, which many endpoints send while a call queues, keep it going.
    """
    if "text/event-stream" not in response.headers.get("Content-Type", ""):
        yield _DECODE_CHUNK(await response.read())
        return
    rest, newest = b"", time.monotonic()
    async for block in response.content.iter_any():
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


class _Said(NamedTuple):
    """What a refusal says: in one short line for people, and all of its words in small letters."""

    line: str
    words: str


async def _start_of(response: aiohttp.ClientResponse) -> Any:
    """The error that a refusal holds, or its text."""
    content = await response.content.read(4096)
    try:
        said = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return content.decode("utf-8", "replace")
    if isinstance(said, list) and len(said) == 1:  # as Gemini answers
        said = said[0]
    return said.get("error", said) if isinstance(said, dict) else said


def _said(error: Any, endpoint: Endpoint) -> _Said:
    fields = error if isinstance(error, dict) else {}
    text = " ".join(str(fields.get("message") or fields.get("detail") or error).split())
    words = " ".join(str(word) for word in (fields.get("code"), fields.get("type"), text) if word)
    return _Said(endpoint.hide(text)[:300], words.lower())  # hidden before it is cut: half a key is still too much


def _status_of(error: Any) -> int:
    """Of an error inside a stream: its own code, else that of a server's fault."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _refusal(status: int, said: _Said, headers: Mapping[str, str]) -> Exception:
    """What a status other than 200 means."""
    why = f"HTTP {status}: {said.line}" if said.line else f"HTTP {status}"
    if status in (401, 402, 403) or (status == 429 and _for_lack_of_money(said.words, headers)):
        return _NoQuota(why, status=status)
    if status in BUSY:
        return _Busy(why, status=status, retry_after=_retry_after(headers), at_once=AT_ONCE in said.words)
    if status in AGAIN or status >= 500:
        return _Transient(why, status=status)
    kind: ErrorKind = "overflow" if any(word in said.words for word in OVERFLOW_WORDS) else "request"
    return ModelError(why, kind=kind, status=status)


def _for_lack_of_money(words: str, headers: Mapping[str, str]) -> bool:
    """Whether a 429 is one that waiting does not help."""
    return "Retry-After" not in headers and not COME_BACK.search(words) and bool(NO_MONEY.search(words))


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the endpoint asks for; a short pause where it says nothing that can be read."""
    said = headers.get("Retry-After", "")
    try:
        return min(max(float(said), 0.0), LONGEST_RETRY_AFTER)
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
    except (TypeError, ValueError):
        return DEFAULT_RETRY_AFTER
    return min(max(until, 0.0), LONGEST_RETRY_AFTER)


def _why(error: BaseException, endpoint: Endpoint) -> str:
    said = endpoint.hide(str(error))
    if isinstance(error, aiohttp.ClientConnectorError | ConnectionError):
        return f"cannot be reached ({said}); is the URL right and the server up?"
    if isinstance(error, TimeoutError):
        return (
            f"silent for {endpoint.idle:g} s, without a word of an answer for {endpoint.alive:g} s, or an answer took "
            f"more than {endpoint.wall:g} s"
        )
    if isinstance(error, msgspec.DecodeError):
        return f"sent what is no chat completion ({said})"
    return f"{type(error).__name__}: {said}"


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
