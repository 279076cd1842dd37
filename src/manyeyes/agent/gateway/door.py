"""`Door`: what every request passes: the name it asks for, how much it brings, and how refusals are written.

Report: none.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from manyeyes.agent.gateway.config import GatewayConfig
from manyeyes.agent.gateway.dialect import Dialect
from manyeyes.inference.serve_errors import ApiError, bad, json_response
from manyeyes.inference.serve_guard import HEADERS, is_loopback

READ_SECONDS = 60.0
"""A body that comes more slowly than this is refused."""
SMALL_BODY = 2**16
"""Bytes that are not worth counting."""
RETRY_AFTER = 1.0


class Door:
    """See the module.

    Attributes:
        port: that is listened on.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self.config, self.port, self._held = config, 0, 0
        self._names: frozenset[str] = frozenset()

    def request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        """A request, whose body is no larger than allowed."""
        loop = asyncio.get_running_loop()
        most = self.config.body_bytes
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=most)

    def check(self, http: web.BaseRequest) -> None:
        """Raises ApiError for who asks for another name: one that was made to point here (DNS rebinding)."""
        if not is_loopback(self.config.host):
            return
        if not self._names:
            own = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            names = ("127.0.0.1", "localhost", "[::1]", own.lower())
            self._names = frozenset([*names, *(f"{name}:{self.port}" for name in names)])
        if http.headers.get("Host", "").lower() not in self._names:
            raise ApiError(403, "this gateway goes by another name: use the address that it printed")

    @asynccontextmanager
    async def body(self, http: web.BaseRequest) -> AsyncIterator[bytes]:
        """The bytes that a client sends; they count until they are done with. Raises ApiError."""
        size = self._size(http)
        if self._held + size > max(self.config.bodies_bytes, self.config.body_bytes):
            raise ApiError(429, f"requests of {self._held:,} bytes are being answered already",
                           code="rate_limit_exceeded", retry_after=RETRY_AFTER)  # fmt: skip
        self._held += size
        try:
            yield await self._read(http)
        finally:
            self._held -= size

    def _size(self, http: web.BaseRequest) -> int:
        told = http.content_length if "Content-Encoding" not in http.headers else None
        size = self.config.body_bytes if told is None and http.can_read_body else told or 0
        return 0 if size <= SMALL_BODY else min(size, self.config.body_bytes)

    async def _read(self, http: web.BaseRequest) -> bytes:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await http.read()
        except TimeoutError:
            raise ApiError(408, f"the body did not come within {READ_SECONDS:g} seconds") from None
        except web.RequestPayloadError:
            raise bad("the body cannot be read: its length, chunks or encoding are not as the headers say") from None


def refusal(error: ApiError, dialect: Dialect) -> web.Response:
    """An answer that says what is wrong, as the client's dialect says it."""
    headers = dict(HEADERS)
    if error.retry_after:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response(dialect.error(error), status=error.status, headers=headers)
