"""What whoever runs black boxes asks of a gateway: sessions, their trajectories and rewards, pauses, how it fares.

    POST   /sessions {id, name, task, environment, parent, role, policy, sampling, seed, variant, calls, sampled_tokens}
    GET    /sessions                  GET /sessions/ID          GET /sessions/ID/trajectory
    POST   /sessions/ID/reward {reward, parts, stop, masked}    POST /sessions/ID/end {stop}    DELETE /sessions/ID
    POST   /pause {mode: hold | refuse, wait}                   POST /resume {version}
    GET    /health (no token)         GET /metrics

Report: App. D (weights that change under running rollouts).
"""

import asyncio
from typing import Annotated, Any, Literal, Protocol

from aiohttp import web
from msgspec import Meta, Struct

from manyeyes.agent.gateway.capture import Verdict
from manyeyes.agent.gateway.keys import Keys, checked_name
from manyeyes.agent.gateway.metrics import CONTENT_TYPE, GatewayMetrics
from manyeyes.agent.gateway.session import Allowance, Session
from manyeyes.agent.gateway.sessions import Sessions, Wanted
from manyeyes.agent.gateway.wire import CONTENT_TYPE as TRAJECTORY
from manyeyes.agent.gateway.wire import to_bytes
from manyeyes.core.trajectory import Policy
from manyeyes.inference.serve_errors import ApiError, json_response
from manyeyes.inference.serve_wire import Count, MinP, Seed, Temperature, TopK, TopP, read

Name = Annotated[str, Meta(max_length=512)]
Mode = Literal["hold", "refuse"]


class NewSampling(Struct, forbid_unknown_fields=True):
    """Fields that stand over those of a session's requests."""

    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    max_new_tokens: Count | None = None


class NewSession(Struct, forbid_unknown_fields=True):
    """`POST /sessions`."""

    id: Name = ""
    name: Name = ""
    task: Name = ""
    environment: Name = ""
    parent: Name = ""
    role: Name = ""
    policy: Policy | None = None
    sampling: NewSampling | None = None
    seed: Seed | None = None
    variant: dict[str, Any] = {}
    calls: Count | None = None
    sampled_tokens: Count | None = None


class NewVerdict(Struct, forbid_unknown_fields=True):
    """`POST /sessions/ID/reward`."""

    reward: float | None = None
    parts: dict[str, float] = {}
    stop: Name = ""
    masked: Name = ""


class End(Struct, forbid_unknown_fields=True):
    """`POST /sessions/ID/end`."""

    stop: Name = "done"


class Pause(Struct, forbid_unknown_fields=True):
    """`POST /pause`."""

    mode: Mode = "hold"
    wait: Annotated[float, Meta(ge=0.0, le=3600.0)] = 0.0


class Resume(Struct, forbid_unknown_fields=True):
    """`POST /resume`."""

    version: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None


class Pace(Protocol):
    """What holds calls back, and counts them."""

    @property
    def state(self) -> str:
        """ "ok", "paused" or "draining"."""
        ...

    @property
    def version(self) -> int:
        """Of the weights that sample now."""
        ...

    def gauges(self) -> dict[str, float]:
        """Numbers of this moment."""
        ...

    def counts(self) -> dict[str, int]:
        """What came of calls."""
        ...

    async def pause(self, *, mode: Mode = "hold", wait: float = 0.0) -> bool:
        """See `Gateway.pause`."""
        ...

    def resume(self, version: int | None = None) -> None:
        """See `Gateway.resume`."""
        ...


class Control:
    """See the module.

    Args:
        url: base address of the gateway.
    """

    def __init__(self, sessions: Sessions, keys: Keys, metrics: GatewayMetrics, pace: Pace) -> None:
        self._sessions, self._keys, self._metrics, self._pace = sessions, keys, metrics, pace
        self.url = ""

    async def answer(self, method: str, tail: str, body: bytes) -> web.Response:
        """What a route answers. Raises ApiError."""
        first, _, rest = tail.partition("/")
        match method, first, rest:
            case "GET", "metrics", "":
                text = self._metrics.text(self._pace.gauges(), self._pace.counts())
                return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})
            case "POST", "pause", "":
                asked = read(body or b"{}", Pause)
                return self._state(idle=await self._pace.pause(mode=asked.mode, wait=asked.wait))
            case "POST", "resume", "":
                self._pace.resume(read(body or b"{}", Resume).version)
                return self._state(idle=False)
            case "POST", "sessions", "":
                return self._begun(read(body or b"{}", NewSession))
            case "GET", "sessions", "":
                return json_response({"sessions": [_summary(session) for session in self._sessions]})
            case _, "sessions", _ if rest:
                id, _, what = rest.partition("/")
                return await self._of_session(method, id, what, body)
        raise ApiError(404, "no such route; see docs/gateway.md for those there are")

    def health(self) -> web.Response:
        """Whether it answers."""
        state = self._pace.state
        status = 503 if state == "draining" else 200
        return json_response({"status": state, "version": self._pace.version}, status=status)

    async def _of_session(self, method: str, id: str, what: str, body: bytes) -> web.Response:
        session = self._sessions.find(id)
        match method, what:
            case "GET", "":
                return json_response(_summary(session))
            case "GET", "trajectory":
                content = await asyncio.to_thread(to_bytes, session.capture.trajectory())
                return web.Response(body=content, headers={"Content-Type": TRAJECTORY, "Cache-Control": "no-store"})
            case "POST", "reward":
                said = read(body, NewVerdict)
                self._sessions.judge(session, Verdict(said.reward, said.parts, said.stop, said.masked))
                return json_response(_summary(session))
            case ("POST", "end") | ("DELETE", ""):
                summary = _summary(session)
                self._sessions.end(session, read(body or b"{}", End).stop)
                return json_response(summary | {"over": True})
        raise ApiError(404, "no such route; see docs/gateway.md for those there are")

    def _begun(self, asked: NewSession) -> web.Response:
        if asked.id:
            checked_name(asked.id, "id")
        chosen = asked.sampling
        sampling = {} if chosen is None else {
            name: value for name in chosen.__struct_fields__ if (value := getattr(chosen, name)) is not None
        }  # fmt: skip
        session = self._sessions.begin(Wanted(
            asked.id, asked.name, asked.task, asked.environment, asked.parent, asked.role, asked.policy, sampling,
            asked.seed, asked.variant, Allowance(asked.calls, asked.sampled_tokens),
        ))  # fmt: skip
        base = f"{self.url}/s/{session.id}"
        told = {"key": self._keys.key_of(session.id), "openai_base_url": f"{base}/v1", "anthropic_base_url": base}
        return json_response(_summary(session) | told, status=201)

    def _state(self, *, idle: bool) -> web.Response:
        return json_response({"status": self._pace.state, "version": self._pace.version, "idle": idle})


def _summary(session: Session) -> dict[str, Any]:
    whole = session.capture.whole
    return {
        "id": session.id, "trajectory": whole.name, "agent": session.name, "calls": session.calls,
        "open": session.open, "sampled_tokens": session.sampled, "nodes": len(whole.nodes),
        "agents": len(whole.agents), "bytes": session.capture.bytes, "holes": session.capture.holes,
        "reward": whole.reward,
    }  # fmt: skip
