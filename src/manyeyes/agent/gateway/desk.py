"""`CallDesk`: a call from its beginning to its end: let in, held while weights change, answered, captured, told.

    request ── same as an earlier one? ──→ that one's tape ──────────────────────────────→ client
            └─→ allowed? room? ─→ gate ─→ upstream ─→ capture ─→ tape ─→ client (or the next that asks the same)

The call is a task of its own: a client that leaves does not take it along. If nobody comes back for it, it ends after a
while, and what it sampled stays masked. Whatever goes wrong while it is captured, the client has its answer.

Report: App. D (a gateway for agents that only speak a standard LLM API).
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence

from manyeyes.agent.gate import Gate
from manyeyes.agent.gateway.chat_dialect import DONE, ChatDialect
from manyeyes.agent.gateway.config import GatewayConfig
from manyeyes.agent.gateway.dialect import Answer, Ask, Dialect, Json, Telling, Voice
from manyeyes.agent.gateway.metrics import GatewayMetrics
from manyeyes.agent.gateway.repeats import Call
from manyeyes.agent.gateway.session import Session
from manyeyes.agent.gateway.upstream import Upstream
from manyeyes.inference.serve_errors import ApiError, api_error

LOG = logging.getLogger("manyeyes.gateway")
RETRY_AFTER = 1.0
"""Seconds."""


class CallDesk:
    """See the module.

    Args:
        upstream: what answers.
        clock: seconds.

    Attributes:
        answering: calls that the upstream answers now.
        calls: that are let in and not over.
    """

    def __init__(
        self, upstream: Upstream, config: GatewayConfig, metrics: GatewayMetrics, clock: Callable[[], float]
    ) -> None:
        self.upstream, self.config, self.metrics, self.clock = upstream, config, metrics, clock
        self.gate, self.refusing, self.draining = Gate(clock=clock), False, False
        self.answering, self._down_from_pause = 0, False
        self.calls: set[Call] = set()
        self._idle, self._empty = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._empty.set()

    @property
    def open(self) -> int:
        """How many calls are let in and not over."""
        return len(self.calls)

    def begin(self, session: Session, agent: int, dialect: Dialect, body: bytes, key: bytes) -> Call:
        """Let a call in. Raises ApiError."""
        self._require_room()
        session.require_allowed()
        if isinstance(dialect, ChatDialect) and self.upstream.takes_bodies:
            ask = dialect.read_fields(body)
        else:
            ask = dialect.read(body)
        call = Call(secrets.token_hex(12), key, agent, session.capture.now, dialect.name, ask.stream)
        session.calls += 1
        session.under_way.add(call)
        session.repeats.add(call)
        self.calls.add(call)
        self._empty.clear()
        call.task = asyncio.create_task(self._run(call, session, ask, dialect))
        call.task.add_done_callback(lambda _: self._never_ran(call, session))
        return call

    def come(self, call: Call) -> None:
        """A client listens."""
        call.readers += 1
        if call.leaving is not None:
            call.leaving.cancel()
            call.leaving = None

    def leave(self, call: Call) -> None:
        """A client listens no more; a call that nobody listens to ends after a while."""
        call.readers -= 1
        if not call.readers and not call.tape.ended:
            self.metrics.told["disconnects"] += 1
            loop = asyncio.get_running_loop()
            call.leaving = loop.call_later(self.config.leave_seconds, self._abandon, call)

    async def idle(self, seconds: float) -> bool:
        """Wait until the upstream answers nothing; False when that took too long."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def drain(self, seconds: float) -> None:
        """Let nobody in any more, whom a pause held neither, and wait for the others; who takes longer is cut."""
        self.draining, self._down_from_pause = True, self._down_from_pause or not self.gate.is_open
        self.gate.open()
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            await self.cut()

    async def cut(self) -> None:
        """End all calls now."""
        tasks = [call.task for call in self.calls if call.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _require_room(self) -> None:
        if self.draining:
            raise _going_down()
        if self.refusing:
            raise ApiError(429, "weights are being updated", code="paused", retry_after=RETRY_AFTER)
        if self.open >= self.config.most_calls:
            raise ApiError(429, f"{self.config.most_calls:,} calls are being answered or wait already",
                           code="rate_limit_exceeded", retry_after=RETRY_AFTER)  # fmt: skip

    def _abandon(self, call: Call) -> None:
        call.leaving = None
        if not call.readers and not call.tape.ended and call.task is not None:
            self.metrics.told["abandoned"] += 1
            call.task.cancel()

    async def _run(self, call: Call, session: Session, ask: Ask, dialect: Dialect) -> None:
        tape, began = call.tape, self.clock()
        voice = _Begun(dialect.voice(ask, call.id)) if ask.stream else None
        telling = Telling(lambda pieces: tape.write(voice.take(pieces)) if voice is not None else None, tape.write)
        error: ApiError | None = None
        try:
            answer = await self._answer(ask, session, telling)
            last = _last(dialect, ask, answer, call.id, voice)
            self._capture(call, session, telling, whole=True)
            tape.write(last)
        except asyncio.CancelledError:
            self._capture(call, session, telling, whole=False)
            why = "its session is over" if session.over else "nobody listened, or the gateway went down"
            error = ApiError(503, f"this answer was cut: {why}", code="cut", retry_after=RETRY_AFTER)
        except Exception as failure:  # the boundary: whoever listens must hear of it
            self._capture(call, session, telling, whole=False)
            error = api_error(failure)
        finally:
            if error is not None and tape.begun:
                tape.write(dialect.error_event(error))
            tape.end(error)
            self._end(call, session, error, began)

    def _never_ran(self, call: Call, session: Session) -> None:
        """A task that is cancelled before its first step runs nothing of `_run`."""
        if call in self.calls:
            error = ApiError(503, "this call was cut before it began", code="cut", retry_after=RETRY_AFTER)
            call.tape.end(error)
            self._end(call, session, error, self.clock())

    async def _answer(self, ask: Ask, session: Session, telling: Telling) -> Answer:
        await self._passed()
        self.answering += 1
        self._idle.clear()
        try:
            return await self.upstream.answer(ask, session, telling)
        finally:
            self.answering -= 1
            if not self.answering:
                self._idle.set()

    async def _passed(self) -> None:
        if self._down_from_pause:  # its task begins only now, and would have been held
            raise _going_down()
        if self.gate.is_open:
            return
        try:
            async with asyncio.timeout(self.config.hold_seconds):
                await self.gate.passed()
        except TimeoutError:
            raise ApiError(429, "the gateway is paused", code="paused", retry_after=RETRY_AFTER) from None
        if self._down_from_pause:
            raise _going_down()

    def _capture(self, call: Call, session: Session, telling: Telling, *, whole: bool) -> None:
        """Never fails: a call that cannot be captured is a hole, and its client has its answer."""
        capture, heard = session.capture, telling.heard
        if heard is None:
            if whole:
                self._lost(call, session, "the upstream told nothing of it")
            return
        try:
            call.node = capture.add(heard, agent=call.agent, at=call.at)
        except Exception as error:  # the boundary, see above
            LOG.error("a call of session %s was not captured: %s", session.id, type(error).__name__)
            self._lost(call, session, type(error).__name__)
        session.sampled += len(heard.ids)
        self.metrics.told["sampled_tokens"] += len(heard.ids)

    def _lost(self, call: Call, session: Session, why: str) -> None:
        self.metrics.told["captures_failed"] += 1
        session.capture.lost(call.agent, why)

    def _end(self, call: Call, session: Session, error: ApiError | None, began: float) -> None:
        self.calls.discard(call)
        session.under_way.discard(call)
        session.used = self.clock()
        session.repeats.end(call)
        if not self.calls:
            self._empty.set()
        self.metrics.calls[call.kind, 200 if error is None else error.status] += 1
        self.metrics.took(self.clock() - began)


def _going_down() -> ApiError:
    return ApiError(503, "the gateway is going down", code="draining", retry_after=RETRY_AFTER)


class _Begun:
    """A voice that begins with its first piece."""

    def __init__(self, voice: Voice) -> None:
        self._voice, self._begun = voice, False

    def take(self, pieces: Sequence[Json]) -> bytes:
        return self._begin() + self._voice.take(pieces)

    def end(self, usage: Json) -> bytes:
        return self._begin() + self._voice.end(usage)

    def _begin(self) -> bytes:
        first, self._begun = b"" if self._begun else self._voice.begin(), True
        return first


def _last(dialect: Dialect, ask: Ask, answer: Answer, id: str, voice: _Begun | None) -> bytes:
    """What is told at the end, at once with the tape's own: a client that has it has heard everything."""
    if voice is None:
        return dialect.whole(ask, answer, id)
    return DONE if ask.fields is not None else voice.end(answer.usage)
