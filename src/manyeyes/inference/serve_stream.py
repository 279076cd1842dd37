"""Answers in pieces: tokens of several completions as they come, and a client that may read slowly, or leave.

    sampling tasks → one queue → batches of what there is → one write

Nothing is sent before the first token or error has come (or PATIENCE is over): a refusal still has its status then. A
line without content goes out while a request waits. Whoever reads nothing for WRITE_SECONDS is dropped.

Report: none.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import NamedTuple

from aiohttp import web

from manyeyes.core.sampler import Completion, SampleRequest
from manyeyes.inference.serve_desk import Desk, Visit, cancelled

PATIENCE = 5.0
PING_SECONDS = 15.0
WRITE_SECONDS = 60.0


class Token(NamedTuple):
    """A completion has one more; which completion, id, log-probability, version of the weights."""

    choice: int
    token: int
    logprob: float
    version: int


class Ended(NamedTuple):
    """A completion is whole, or will never be."""

    choice: int
    done: Completion | Exception


Batch = list[Token | Ended]


async def batches(
    desk: Desk, visit: Visit, requests: Sequence[SampleRequest], *, go_on: bool = True
) -> AsyncGenerator[Batch]:
    """What comes of requests that are sampled at once; an empty batch says that nothing did for a while.

    Closing the iterator cancels what is under way. Ends when all have ended, or one in an error.
    """
    queue: asyncio.Queue[Token | Ended] = asyncio.Queue()

    async def work(choice: int, request: SampleRequest) -> None:
        def tell(token: int, logprob: float) -> None:
            queue.put_nowait(Token(choice, token, logprob, desk.sampler.version))

        try:
            done: Completion | Exception = await desk.sample(request, visit, on_token=tell, go_on=go_on)
        except Exception as error:  # it is raised where the answer is written
            done = error
        queue.put_nowait(Ended(choice, done))

    tasks = [asyncio.create_task(work(choice, request)) for choice, request in enumerate(requests)]
    left, wait = len(requests), PATIENCE
    try:
        while left:
            batch = await _next(queue, wait)
            wait = PING_SECONDS
            yield batch
            ended = [event for event in batch if isinstance(event, Ended)]
            left -= len(ended)
            if any(isinstance(event.done, Exception) for event in ended):
                return
    finally:
        await cancelled(tasks)


async def _next(queue: "asyncio.Queue[Token | Ended]", seconds: float) -> Batch:
    try:
        batch = [await asyncio.wait_for(queue.get(), seconds)]
    except TimeoutError:
        return []
    while not queue.empty():
        batch.append(queue.get_nowait())
    return batch


class Pieces:
    """An answer that is written as it comes.

    Args:
        http: what is answered.
        kind: content type.
        ping: what says that the answer is still to come.
        id: of the request, told in a header.
    """

    def __init__(self, http: web.Request, kind: str, *, ping: bytes, id: str) -> None:
        self._http, self._ping = http, ping
        headers = {"Content-Type": kind, "Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Request-Id": id}
        self.response = web.StreamResponse(headers=headers | {"X-Content-Type-Options": "nosniff"})

    @property
    def begun(self) -> bool:
        """Whether the status is out."""
        return self.response.prepared

    async def write(self, content: bytes) -> None:
        """Send a piece. Raises ConnectionError when the client is gone, or reads nothing."""
        if not self.begun:
            await self.response.prepare(self._http)
        await self._sent(self.response.write(content))

    async def ping(self) -> None:
        """Say that there is nothing yet."""
        await self.write(self._ping)

    async def end(self) -> web.StreamResponse:
        """The answer is whole."""
        await self._sent(self.response.write_eof())
        return self.response

    async def _sent(self, writing: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await writing
        except TimeoutError:
            if self._http.transport is not None:
                self._http.transport.abort()
            raise ConnectionResetError("the client reads nothing") from None
