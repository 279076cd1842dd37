"""`told`: a call's tape to a client, whole or as it comes; it returns when the client has been sent all of it.

A line without content goes out while a stream waits. Whoever reads nothing for WRITE_SECONDS is dropped.

Report: none.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from manyeyes.agent.gateway.dialect import Dialect
from manyeyes.agent.gateway.repeats import Call
from manyeyes.inference.serve_errors import ApiError
from manyeyes.inference.serve_guard import HEADERS
from manyeyes.inference.serve_stream import PING_SECONDS, WRITE_SECONDS


async def told(http: web.BaseRequest, call: Call, dialect: Dialect, received: Callable[[], None]) -> web.StreamResponse:
    """Send an answer.

    Args:
        received: is called when all of it is sent; a client may close the connection right behind its last word.

    Raises:
        ApiError: there is none.
        ConnectionError: the client is gone, or reads nothing.
    """
    return await (_streamed(http, call, dialect, received) if call.stream else _whole(http, call, received))


async def _whole(http: web.BaseRequest, call: Call, received: Callable[[], None]) -> web.StreamResponse:
    await call.tape.finished()
    _raise(call)
    headers = {"X-Request-Id": call.id, **HEADERS}
    response = web.Response(body=call.tape.content, content_type="application/json", headers=headers)
    await _sent(http, response.prepare(http))
    await _sent(http, response.write_eof())
    received()
    return response


async def _streamed(
    http: web.BaseRequest, call: Call, dialect: Dialect, received: Callable[[], None]
) -> web.StreamResponse:
    headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "X-Request-Id": call.id, **HEADERS}
    response = web.StreamResponse(headers=headers)
    async for pieces in call.tape.read(PING_SECONDS):
        if not response.prepared:
            await _sent(http, response.prepare(http))
        await _sent(http, response.write(pieces or dialect.ping))
    if not response.prepared:
        _raise(call)
        await _sent(http, response.prepare(http))
    if call.tape.error is None:
        received()
    elif not call.tape.begun:  # it waited, and lines without content went out: too late for a status
        await _sent(http, response.write(dialect.error_event(call.tape.error)))
    await _sent(http, response.write_eof())
    return response


def _raise(call: Call) -> None:
    if call.tape.error is not None:
        error = call.tape.error
        raise ApiError(error.status, error.message, param=error.param, code=error.code, retry_after=error.retry_after)


async def _sent(http: web.BaseRequest, writing: Awaitable[object]) -> None:
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await writing
    except TimeoutError:
        if http.transport is not None:
            http.transport.abort()
        raise ConnectionResetError("the client reads nothing") from None
