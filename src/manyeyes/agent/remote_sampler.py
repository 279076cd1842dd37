"""`RemoteSampler`: what the samplers over HTTP share: pieces of a stream become a completion, whatever cuts it short.

A stream that breaks after its first token ends as "aborted" with what had come: those tokens were sampled, and the
`continuation` goes on from there. One that breaks before is an error, and the same request may be sent again.

Report: App. D.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Self

from manyeyes.agent.remote_errors import Unreachable
from manyeyes.agent.remote_wire import Server, Wire
from manyeyes.core import seeds
from manyeyes.core.all_of import all_of
from manyeyes.core.sampler import (
    Completion,
    LogprobKind,
    OnToken,
    RequestError,
    SampleRequest,
    SamplerError,
    SampleUsage,
    SamplingParams,
    StopReason,
    continuation,
    joined,
)

GRACE = 5.0
"""Seconds for a server to end the requests that it was told to abort; then their connections are closed."""
Fate = Literal["", "aborted", "handed_back", "again"]


class Piece(NamedTuple):
    """What one event of a stream adds.

    Attributes:
        versions: of the weights, where the server tells them.
        stop: why it ended, in the last piece.
        cached: tokens of the prompt that the server had seen before.
        whole: the answer from its beginning, where the last event repeats it.
    """

    ids: Sequence[int] = ()
    logprobs: Sequence[float] = ()
    versions: Sequence[int] | None = None
    top: Sequence[list[tuple[int, float]]] = ()
    stop: StopReason | None = None
    cached: int = 0
    whole: Completion | None = None


@dataclass(slots=True, eq=False)
class Running:
    """A request under way.

    Attributes:
        number: its name at the server.
        whole: what has come.
        fate: what becomes of it when it is cut short by us; "" when that is not our doing.
    """

    number: str
    whole: Completion
    began: float = field(default_factory=time.monotonic)
    fate: Fate = ""
    task: "asyncio.Task[None] | None" = None


class RemoteSampler:
    """A `Sampler` over HTTP; an async context manager. Belongs to one event loop.

    Args:
        server: where.
        version: of the weights that it has now.
    """

    def __init__(self, server: Server, *, version: int = 0) -> None:
        self.wire = Wire(server)
        self.grace = GRACE
        self._version = version
        self._running: dict[str, Running] = {}
        self._prefix, self._numbers = secrets.token_hex(6), itertools.count()
        self._door = asyncio.Event()
        self._door.set()

    @property
    def version(self) -> int:
        """See `Sampler.version`."""
        return self._version

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.wire.close()

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        """See `Sampler.sample`. Cancelling the call closes its connection, which frees its place at the server."""
        if request.params.constraint is not None:
            raise RequestError("a constraint is an object of this process; a server over HTTP cannot follow it")
        whole: Completion | None = None
        while True:
            while not self._door.is_set():  # it may be shut again before we come to it
                await self._door.wait()
            running = await self._part(request, on_token)
            part = running.whole
            whole = part if whole is None else joined(whole, part)
            if part.stop != "aborted" or running.fate != "again":
                return whole
            if len(part.ids) >= request.params.max_new_tokens:
                return replace(whole, stop="length")
            request = continuation(request, part)

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        """See `Sampler.sample_many`. As many requests, whose prompt the server's prefix cache reads once."""
        several = [replace(request.params, seed=request.params.seed + draw) for draw in range(count)]
        return await all_of(*(self.sample(replace(request, params=params)) for params in several))

    async def abort(self) -> None:
        """End this sampler's requests under way with what they have."""
        await self._end("aborted")

    def _pieces(self, request: SampleRequest, number: str, *, heard: bool) -> AsyncGenerator[Piece, None]:
        """The stream of a request."""
        raise NotImplementedError

    async def _tell_abort(self, numbers: Sequence[str]) -> None:
        """Tell the server to abort requests."""
        raise NotImplementedError

    def _kind(self, params: SamplingParams) -> LogprobKind:
        """Which distribution the server's log-probabilities are of."""
        return "sampled"

    async def _end(self, fate: Fate) -> None:
        """Abort all requests under way, and come back when each has ended here too."""
        ended = list(self._running.values())
        for running in ended:
            running.fate = fate
        await self._tell_abort([running.number for running in ended])
        tasks = [running.task for running in ended if running.task is not None]
        if not tasks:
            return
        _, silent = await asyncio.wait(tasks, timeout=self.grace)
        for task in silent:
            task.cancel()
        await asyncio.wait(tasks)

    async def _part(self, request: SampleRequest, on_token: OnToken | None) -> Running:
        """One request, to its end or until it is cut."""
        whole = Completion(stop="aborted", logprob_kind=self._kind(request.params))
        running = Running(f"{self._prefix}-{next(self._numbers)}", whole)
        running.task = task = asyncio.create_task(self._fill(request, running, on_token))
        self._running[running.number] = running
        try:
            await asyncio.wait({task})
        finally:
            del self._running[running.number]
            task.cancel()
        if not task.cancelled():
            task.result()
        whole.usage = SampleUsage(len(request.ids), whole.usage.cached, len(whole.ids))
        whole.seconds = time.monotonic() - running.began
        if whole.stop == "aborted" and running.fate == "handed_back":
            whole.stop = "handed_back"
        return running

    async def _fill(self, request: SampleRequest, running: Running, on_token: OnToken | None) -> None:
        whole, version = running.whole, self._version
        try:
            async with aclosing(self._pieces(request, running.number, heard=on_token is not None)) as pieces:
                async for piece in pieces:
                    if piece.ids and not whole.ids:
                        whole.first_seconds = time.monotonic() - running.began
                    _add(whole, piece, version, on_token)
        except SamplerError as error:
            cut = isinstance(error, Unreachable) and bool(whole.ids)
            if not cut and not running.fate:
                raise


def seed_of(request: SampleRequest) -> int:
    """Of a request; a continuation draws from another stream, as servers cannot take up one in its middle."""
    seed = request.params.seed
    return seeds.key(seed, "agent/remote", request.drawn) & 0x7FFF_FFFF if request.drawn else seed


def stop_of(params: SamplingParams, reason: str, last: int | None) -> StopReason:
    """The stop reason of a server that says "stop", "length" or something else, which is an abort."""
    if reason == "length":
        return "length"
    if reason != "stop":
        return "aborted"
    return "stop_text" if params.stop_texts and last not in params.stop_ids else "stop"


def _add(whole: Completion, piece: Piece, version: int, on_token: OnToken | None) -> None:
    if piece.whole is not None:
        piece = _unseen(piece.whole, whole)
    versions = [version] * len(piece.ids) if piece.versions is None else piece.versions
    if not len(piece.logprobs) == len(versions) == len(piece.ids):
        raise Unreachable(
            f"{len(piece.ids)} ids came with {len(piece.logprobs)} log-probabilities and {len(versions)} versions, "
            "expected one of each for each"
        )
    whole.ids += piece.ids
    whole.logprobs += piece.logprobs
    whole.versions += versions
    whole.top += piece.top
    whole.stop = piece.stop or whole.stop
    whole.usage = whole.usage._replace(cached=max(whole.usage.cached, piece.cached))
    if on_token is not None:
        for token, logprob in zip(piece.ids, piece.logprobs, strict=True):
            on_token(token, logprob)


def _unseen(told: Completion, whole: Completion) -> Piece:
    """What a whole answer adds to what had come of it; what it says of that counts."""
    seen = len(whole.ids)
    if told.ids[:seen] != whole.ids or len(told.versions) != len(told.ids):
        raise Unreachable(f"the answer of {len(told.ids)} ids does not go on from the {seen} that had come")
    whole.versions, whole.top, whole.logprob_kind = told.versions[:seen], told.top[:seen], told.logprob_kind
    whole.routing = told.routing
    return Piece(
        told.ids[seen:], told.logprobs[seen:], told.versions[seen:], told.top[seen:], told.stop, told.usage.cached
    )
