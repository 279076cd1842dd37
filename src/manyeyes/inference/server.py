"""`ChatServer`: a sampler behind the OpenAI API and the token API.

    async with ChatServer(sampler, served, token=token) as server:
        print(server.url)
        ...
        await server.drain()

    request → guard → body → thread: render, compile, decode → sampler → reader of turns → answer
                                                        (serve_desk lets in)    (serve_turn)

It stands on `core.sampler` alone: a fake, our engine and a remote engine are the same to it.

Report: App. D.
"""

import secrets
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import PolicySampler, Sampler
from manyeyes.inference.serve_control import ControlRoutes, WeightSource
from manyeyes.inference.serve_desk import RETRY_AFTER, Desk
from manyeyes.inference.serve_errors import LOG, ApiError, ServerLog, error_middleware
from manyeyes.inference.serve_guard import ServeGuard
from manyeyes.inference.serve_metrics import ServeMetrics
from manyeyes.inference.serve_openai import OpenAIRoutes
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.serve_tokens import TokenRoutes

SMALL_BODY = 2**16
"""Bytes that are not worth counting; /abort, /pause and /resume are always heard."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where a server listens, and what it lets in.

    Attributes:
        host: 127.0.0.1 is this machine alone.
        port: 0 for a free one.
        most_requests: answered or waiting at once; more get a 429.
        body_bytes: of a request, pictures included.
        bodies_bytes: of all requests at once; more get a 429. Small ones are not counted.
        drain_seconds: for answers under way, when the server goes down.
    """

    host: str = "127.0.0.1"
    port: int = 0
    most_requests: int = 512
    body_bytes: int = 64 * 2**20
    bodies_bytes: int = 2**30
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise ConfigError(f"a port lies between 0 (a free one) and 65535, got {self.port}")
        if self.most_requests < 1 or self.body_bytes < 1:
            raise ConfigError("a server must let in at least one request, of at least one byte")
        if not 0 <= self.drain_seconds < float("inf"):
            raise ConfigError(f"drain_seconds must be 0 or more and finite, got {self.drain_seconds}")


class ChatServer:
    """See the module.

    Args:
        sampler: what generates tokens.
        served: name, vocabulary and limits of the model.
        token: that clients must bring; a random one when left out.
        control: the sampler again, where /pause, /resume and /update_weights may reach it.
        weights: where new ones may come from.

    Raises:
        ConfigError: the token is too short, the port is taken, or the extra `serve` is not installed.
    """

    def __init__(
        self,
        sampler: Sampler,
        served: Served,
        *,
        token: str | None = None,
        config: ServerConfig | None = None,
        control: PolicySampler | None = None,
        weights: WeightSource | None = None,
    ) -> None:
        self.config = config or ServerConfig()
        self.metrics = ServeMetrics()
        self.guard = ServeGuard(token or secrets.token_urlsafe(24), host=self.config.host)
        self.desk = Desk(sampler, self.metrics, most=self.config.most_requests)
        self._openai = openai = OpenAIRoutes(served, self.desk)
        tokens, controls = TokenRoutes(served, self.desk, openai), ControlRoutes(self.desk, control, weights)
        self._routes = [*openai.table, *tokens.table, *controls.table]
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "ChatServer":
        app = web.Application(
            middlewares=[_counted(self.metrics), error_middleware(), self.guard.middleware(), _weighed(self.config)],
            client_max_size=self.config.body_bytes,
        )
        app.add_routes(self._routes)
        # A handler is cancelled when its client goes: that is what frees the place at once.
        self._runner = runner = web.AppRunner(
            app, access_log=None, logger=ServerLog(LOG), handler_cancellation=True, shutdown_timeout=1.0
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self.config.host, self.config.port).start()
        except OSError as error:
            await runner.cleanup()
            where = f"{self.config.host}:{self.config.port}"
            raise ConfigError(f"{where} cannot be used ({error.strerror}); name another --port or --host") from error
        self.guard.port = runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._openai.close()

    async def drain(self) -> None:
        """Refuse new requests and wait, for a bounded time, for those under way."""
        await self.desk.drain(self.config.drain_seconds)

    @property
    def url(self) -> str:
        """Base address of the OpenAI API."""
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"http://{host}:{self.guard.port}/v1"

    @property
    def token(self) -> str:
        """What clients must bring."""
        return self.guard.token


def _weighed(config: ServerConfig) -> Middleware:
    """What clients send is in memory until it is answered: its sum has a limit before a byte of it is read."""
    most, held = max(config.bodies_bytes, config.body_bytes), 0

    @web.middleware
    async def weighed(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal held
        told = request.content_length if "Content-Encoding" not in request.headers else None
        size = config.body_bytes if told is None and request.can_read_body else told or 0
        size = 0 if size <= SMALL_BODY else min(size, config.body_bytes)
        if held + size > most:
            raise ApiError(429, f"requests of {held:,} bytes are being answered already", code="rate_limit_exceeded",
                           retry_after=RETRY_AFTER)  # fmt: skip
        held += size
        try:
            return await handler(request)
        finally:
            held -= size

    return weighed


def _counted(metrics: ServeMetrics) -> Middleware:
    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        resource = request.match_info.route.resource
        route = "other" if resource is None else resource.canonical
        metrics.requests.labels(route, str(response.status)).inc()
        return response

    return counted
