"""`Gateway`: agents that only speak a standard LLM API, in front of any sampler or endpoint.

    async with Gateway(SamplerUpstream(sampler, served)) as gateway:
        key = gateway.key_of("maze-17-0")                       a session, by its key or by its path
        OpenAI(base_url=f"{gateway.url}/s/maze-17-0/v1", api_key=key)
        Anthropic(base_url=f"{gateway.url}/s/maze-17-0", api_key=key)
        ...
        gateway.trajectory("maze-17-0")                         as `agent.loop` would have left it

Report: App. D (a gateway, through which black-box agents take part in training).
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

from aiohttp import web

from manyeyes.agent.gateway.anthropic_dialect import AnthropicDialect
from manyeyes.agent.gateway.capture import Verdict
from manyeyes.agent.gateway.chat_dialect import ChatDialect
from manyeyes.agent.gateway.config import GatewayConfig
from manyeyes.agent.gateway.control import Control, Mode
from manyeyes.agent.gateway.desk import CallDesk
from manyeyes.agent.gateway.dialect import Dialect
from manyeyes.agent.gateway.door import Door, refusal
from manyeyes.agent.gateway.keys import Keys, checked_name
from manyeyes.agent.gateway.metrics import GatewayMetrics
from manyeyes.agent.gateway.repeats import Call, key_of
from manyeyes.agent.gateway.responses_dialect import ResponsesDialect
from manyeyes.agent.gateway.routes import Route, route_of
from manyeyes.agent.gateway.session import Session
from manyeyes.agent.gateway.sessions import OnFinished, Sessions, Wanted
from manyeyes.agent.gateway.telling import told
from manyeyes.agent.gateway.upstream import Upstream
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Trajectory
from manyeyes.inference.serve_errors import ApiError, ServerLog, api_error, json_response

LOG = logging.getLogger("manyeyes.gateway")
SESSION, PARENT = "X-Manyeyes-Session", "X-Manyeyes-Parent"
AGENT, ROLE = "X-Manyeyes-Agent", "X-Manyeyes-Role"
"""Headers that a harness may send; paths and keys say the same for those that cannot."""
LONGEST_ROLE = 128
GONE = 499
"""As others log a client that left."""
SWEEP_SECONDS = 30.0
"""Between two looks for sessions that nobody uses."""


class Gateway:
    """See the module.

    Args:
        upstream: what answers; closed with the gateway.
        config: limits.
        token: of the gateway; a random one when left out.
        on_finished: is handed every trajectory that is over.

    Raises:
        ConfigError: the token is too short, or the port is taken.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        config: GatewayConfig | None = None,
        token: str | None = None,
        on_finished: OnFinished | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.upstream, self.config = upstream, config or GatewayConfig()
        self.keys = Keys(token or secrets.token_urlsafe(24))
        self.metrics = GatewayMetrics()
        self.sessions = Sessions(self.config, on_finished, clock=clock)
        self.desk = CallDesk(upstream, self.config, self.metrics, clock)
        self.control = Control(self.sessions, self.keys, self.metrics, self)
        self._door = Door(self.config)
        self._chat = ChatDialect()
        self._dialects: dict[str, Dialect] = {
            "chat/completions": self._chat, "responses": ResponsesDialect(), "messages": AnthropicDialect(),
        }  # fmt: skip
        self._runner: web.ServerRunner | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Gateway":
        # A handler is cancelled when its client goes; the call that it waits for is not.
        server = web.Server(
            self._handle, request_factory=self._door.request, handler_cancellation=True, access_log=None,
            logger=ServerLog(LOG), keepalive_timeout=75.0,
        )  # fmt: skip
        self._runner = runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.config.host, self.config.port).start()
        except OSError as error:
            await runner.cleanup()
            where = f"{self.config.host}:{self.config.port}"
            raise ConfigError(f"{where} cannot be used ({error.strerror}); name another --port or --host") from error
        self._door.port = runner.addresses[0][1]
        self.control.url = self.url
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self.desk.cut()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.upstream.close()

    @property
    def url(self) -> str:
        """Base address."""
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"http://{host}:{self._door.port}"

    @property
    def token(self) -> str:
        """Opens everything."""
        return self.keys.token

    def key_of(self, session: str) -> str:
        """What opens one session, which need not exist yet."""
        return self.keys.key_of(checked_name(session, "session"))

    def begin(self, wanted: Wanted) -> Session:
        """A new session. Raises ApiError."""
        return self.sessions.begin(wanted)

    def trajectory(self, session: str) -> Trajectory:
        """What a session and its agents have left so far. Raises ApiError when there is none of that name."""
        return self.sessions.find(session).capture.trajectory()

    def reward(self, session: str, verdict: Verdict) -> None:
        """Take a verdict. Raises ApiError."""
        self.sessions.judge(self.sessions.find(session), verdict)

    def end(self, session: str, stop: str = "done") -> Trajectory | None:
        """A session is over; of a root its trajectory. Raises ApiError."""
        return self.sessions.end(self.sessions.find(session), stop)

    async def pause(self, *, mode: Mode = "hold", wait: float = 0.0) -> bool:
        """Let no new call through to the upstream.

        Args:
            mode: calls that come wait, or get a 429 with Retry-After.
            wait: so many seconds for those that the upstream answers now.

        Returns:
            Whether the upstream answers none.
        """
        self.desk.refusing = mode == "refuse"
        self.desk.gate.shut("weights are being updated")
        return await self.desk.idle(wait) if wait else not self.desk.answering

    def resume(self, version: int | None = None) -> None:
        """Go on.

        Args:
            version: of the weights, for an endpoint, which does not tell.
        """
        if version is not None:
            self.upstream.published(version)
        self.desk.refusing = False
        self.desk.gate.open()

    async def drain(self) -> None:
        """Refuse new calls and wait, for a bounded time, for those under way."""
        await self.desk.drain(self.config.drain_seconds)

    @property
    def state(self) -> str:
        """ "ok", "paused" or "draining"."""
        return "draining" if self.desk.draining else "ok" if self.desk.gate.is_open else "paused"

    @property
    def version(self) -> int:
        """Of the weights that sample now."""
        return self.upstream.version

    def gauges(self) -> dict[str, float]:
        """Numbers of this moment."""
        return {
            "sessions": len(self.sessions), "calls_open": self.desk.open, "calls_answering": self.desk.answering,
            "bytes_kept": self.sessions.room.taken, "policy_version": self.version,
            "paused": int(self.state == "paused"),
        }  # fmt: skip

    def counts(self) -> dict[str, int]:
        """What came of calls."""
        return dict(self.upstream.counts)

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        route = route_of(http.rel_url.raw_path)
        dialect = self._dialects.get(route.tail.removesuffix("/count_tokens"), self._chat)
        try:
            if route.tail == "health" and not route.session:
                return self.control.health()
            self._door.check(http)
            return await self._routed(http, route, dialect)
        except ConnectionError:
            return web.Response(status=GONE)  # to nobody
        except Exception as error:  # the boundary: nothing but an answer goes to a client
            return refusal(api_error(error), dialect)

    async def _routed(self, http: web.BaseRequest, route: Route, dialect: Dialect) -> web.StreamResponse:
        owner = self.keys.session_of(http.headers)
        if not route.call:
            if owner:
                raise ApiError(403, "a session's key opens its model and nothing else", code="permission")
            async with self._door.body(http) as body:
                return await self.control.answer(http.method, route.tail, body)
        if route.tail.startswith("models"):
            return json_response(self._models(route.tail))
        if http.method != "POST":
            raise ApiError(405, "this route takes POST")
        id = self._session_id(http, route, owner)
        async with self._door.body(http) as body:
            session = self._session(http, id, owner)
            if route.tail == "messages/count_tokens":
                return await self._count(session, body)
            return await self._call(http, route, session, dialect, body)

    async def _call(
        self, http: web.BaseRequest, route: Route, session: Session, dialect: Dialect, body: bytes
    ) -> web.StreamResponse:
        name = route.agent or http.headers.get(AGENT, "")
        agent = session.agent_named(checked_name(name, "agent") if name else "",
                                    http.headers.get(ROLE, "")[:LONGEST_ROLE])  # fmt: skip
        key, retried = key_of(dialect.name, name, body, http.headers)
        call = session.repeats.find(key, retried=retried)
        if call is not None:
            self.metrics.told["replayed" if call.tape.ended else "joined"] += 1
        else:
            try:
                call = self.desk.begin(session, agent, dialect, body, key)
            except ApiError:
                self.metrics.told["refused"] += 1
                session.repeats.refused(key)
                raise
        self.desk.come(call)
        try:
            return await told(http, call, dialect, partial(_received, call, session))
        finally:
            self.desk.leave(call)

    async def _count(self, session: Session, body: bytes) -> web.Response:
        ask = AnthropicDialect().read_count(body)
        return json_response({"input_tokens": await self.upstream.count(ask, session)})

    def _session_id(self, http: web.BaseRequest, route: Route, owner: str) -> str:
        id = route.session or owner or http.headers.get(SESSION, "")
        if not id:
            raise ApiError(400, "which session? Use the path /s/SESSION/v1 or a session's key as the API key")
        if owner and id != owner:
            raise ApiError(403, "this key is that of another session", code="permission")
        return checked_name(id, "session")

    def _session(self, http: web.BaseRequest, id: str, owner: str) -> Session:
        parent = "" if owner else http.headers.get(PARENT, "")  # a key speaks for its own session alone
        return self.sessions.of_call(id, parent, http.headers.get(ROLE, "")[:LONGEST_ROLE])

    def _models(self, tail: str) -> dict[str, object]:
        """All there are, or the one that is asked for: its name is free."""
        _, one, name = tail.partition("/")
        model = {"id": unquote(name) or self.upstream.name, "object": "model", "created": 0, "owned_by": "manyeyes"}
        return model if one else {"object": "list", "data": [model]}

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, max(1.0, self.config.idle_seconds / 2)))
            self.sessions.expire()
            self.sessions.forget_answers()


def _received(call: Call, session: Session) -> None:
    call.received = True
    session.capture.received(call.node)
