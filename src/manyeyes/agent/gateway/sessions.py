"""`Sessions`: those that a gateway has, how they begin, and how they end.

A session begins when somebody makes it (`POST /sessions`) or when its first call comes. It ends when somebody ends it
or when nobody has used it for long; its trajectory is handed on then, each exactly once.

Report: App. D.
"""

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from manyeyes.agent.gateway.capture import Capture, Room, Verdict
from manyeyes.agent.gateway.config import GatewayConfig
from manyeyes.agent.gateway.repeats import Repeats
from manyeyes.agent.gateway.session import Allowance, Session
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.trajectory import Policy, Trajectory
from manyeyes.inference.serve_errors import ApiError, bad

LOG = logging.getLogger("manyeyes.gateway")
REMEMBERED = 100_000
"""Sessions that are over."""
UNUSED = "nobody has used the session for long, and nobody ended it"
OnFinished = Callable[[Trajectory], object]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a new session is to be.

    Attributes:
        id: "" for a random one.
        name: of its trajectory; its id when left out.
        task, environment: of its trajectory.
        parent: id of the session whose agent it is; "" for none.
        role: of its agent.
        policy: whether what it samples may be trained on; that of its parent when left out, live for a root.
        sampling: fields that stand over those of its requests.
        seed: of its draws; that of its parent when left out.
        variant: recorded in its trajectory.
        allowance: what it may use.
    """

    id: str = ""
    name: str = ""
    task: str = ""
    environment: str = ""
    parent: str = ""
    role: str = ""
    policy: Policy | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    variant: dict[str, Any] = field(default_factory=dict)
    allowance: Allowance = Allowance()


class Sessions:
    """See the module.

    Args:
        config: limits.
        on_finished: is handed every trajectory that is over.
    """

    def __init__(
        self,
        config: GatewayConfig,
        on_finished: OnFinished | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self._on_finished, self.clock = config, on_finished, clock
        self._sessions: dict[str, Session] = {}
        self._over: OrderedDict[str, None] = OrderedDict()
        self.room = Room(config.kept_bytes)
        self.begun = self.ended = self.expired = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def find(self, id: str) -> Session:
        """A session. Raises ApiError when there is none."""
        session = self._sessions.get(id)
        if session is None:
            raise ApiError(404, f"no session {id[:128]!r} here: it never began, or it is over", code="no_session")
        return session

    def of_call(self, id: str, parent: str, role: str) -> Session:
        """The session that a call is made in; it begins with its first call. Raises ApiError."""
        session = self._sessions.get(id)
        if session is None:
            if id in self._over:
                raise ApiError(403, f"session {id!r} is over", code="session_over")
            session = self.begin(Wanted(id, parent=parent, role=role))
        session.used = self.clock()
        return session

    def begin(self, wanted: Wanted) -> Session:
        """A new session. Raises ApiError."""
        id = wanted.id or secrets.token_hex(8)
        if id in self._sessions:
            raise ApiError(409, f"there is a session {id!r} already", param="id")
        if len(self) >= self.config.most_sessions:
            self.expire()
        if len(self) >= self.config.most_sessions:
            raise ApiError(429, f"{self.config.most_sessions:,} sessions are open already; end some",
                           code="rate_limit_exceeded", retry_after=5.0)  # fmt: skip
        session = self._child(id, wanted) if wanted.parent else self._root(id, wanted)
        session.used = self.clock()
        self._sessions[id] = session
        self._over.pop(id, None)
        self.begun += 1
        return session

    def judge(self, session: Session, verdict: Verdict) -> None:
        """Take a verdict on a whole trajectory. Raises ApiError for that of a part of it."""
        if session.parent is not None:
            raise bad(f"session {session.id} is an agent of session {session.root.id}: reward that one")
        session.capture.judge(verdict)

    def end(self, session: Session, stop: str, masked: str = "") -> Trajectory | None:
        """A session and its children are over, and their calls under way; of a root its trajectory.

        Raises:
            Exception: what `on_finished` raised, which did not take the trajectory; the session stays as it is.
        """
        family = [one for one in self if one.within(session)]
        if session.parent is not None:
            for one in family:
                _finish(one, stop)
                self._forget(one, stop)
            return None
        trajectory = session.capture.finished(stop, masked)
        if self._on_finished is not None:
            self._on_finished(trajectory)
        for one in family:
            self._forget(one, stop)
        session.capture.leave()
        return trajectory

    def expire(self) -> None:
        """End the sessions that nobody has used for long."""
        late = self.clock() - self.config.idle_seconds
        fresh = {one.root.id for one in self if one.used > late or one.open}
        for session in [one for one in self if one.parent is None and one.id not in fresh]:
            try:
                self.end(session, "expired", UNUSED)
                self.expired += 1
            except Exception as error:  # the boundary: others must end all the same, and this one is tried again
                why = error if isinstance(error, ManyeyesError) else f"{type(error).__name__}: {error}"
                LOG.error("session %s could not be ended: %s", session.id, why)

    def forget_answers(self) -> None:
        """Those that nobody asks for again, also of sessions that say nothing more."""
        for one in self:
            one.repeats.forget()

    def _forget(self, session: Session, stop: str) -> None:
        del self._sessions[session.id]
        session.close(stop or "ended")
        self.ended += 1
        self._over[session.id] = None  # a black box that still runs must not begin it anew
        if len(self._over) > REMEMBERED:
            self._over.popitem(last=False)

    def _root(self, id: str, wanted: Wanted) -> Session:
        whole = Trajectory(wanted.name or id, wanted.task, wanted.environment, variant=wanted.variant)
        main = whole.agents[0]
        main.role, main.policy, main.task = wanted.role, wanted.policy or "live", wanted.task
        capture = Capture(whole, self.config.session_bytes, self.room, self.clock)
        return self._session(id, 0, main.name, capture, wanted, None)

    def _child(self, id: str, wanted: Wanted) -> Session:
        parent = self.find(wanted.parent)
        parent.require_room()
        if wanted.name or wanted.environment or wanted.variant:
            raise bad(
                f"name, environment and variant are those of the trajectory: give them to session {parent.root.id}"
            )
        name = f"{parent.name}/{parent.children}"
        parent.children += 1
        policy = wanted.policy or parent.policy
        number = parent.capture.agent(name, role=wanted.role, parent=parent.agent, policy=policy)
        parent.capture.whole.agents[number].task = wanted.task
        return self._session(id, number, name, parent.capture, wanted, parent)

    def _session(
        self, id: str, agent: int, name: str, capture: Capture, wanted: Wanted, parent: Session | None
    ) -> Session:
        repeats = Repeats(self.config.retry_bytes, self.config.retry_seconds, self.clock)
        return Session(
            id, agent, name, capture, repeats, parent, capture.whole.agents[agent].policy, dict(wanted.sampling),
            wanted.seed, wanted.allowance,
        )  # fmt: skip


def _finish(session: Session, stop: str) -> None:
    agent = session.capture.whole.agents[session.agent]
    agent.ended, agent.stop = session.capture.now, stop
