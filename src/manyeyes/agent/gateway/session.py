"""`Session`: one black box's place at the gateway: whose agent it is, what it said, what it left, what it may still do.

A session that names a parent is an agent of its parent's trajectory. So is every name that a client gives in the header
X-Manyeyes-Agent, within its session.

Report: App. D; §3 (agents that other agents start).
"""

from dataclasses import dataclass, field
from typing import Any

from manyeyes.agent.gateway.capture import Capture
from manyeyes.agent.gateway.repeats import Call, Repeats
from manyeyes.core.trajectory import Policy
from manyeyes.inference.serve_errors import ApiError

MOST_AGENTS = 10_000
"""Of one trajectory."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a session may use; None: as much as it likes."""

    calls: int | None = None
    sampled_tokens: int | None = None


@dataclass(slots=True, eq=False)
class Session:
    """See the module.

    Attributes:
        id: in its path and its key.
        agent: number of its agent.
        name: of its agent, such as "main/0".
        capture: shared with its parent and its children.
        sampling: fields that stand over those of its requests.
        seed: of its draws; None: its parent's, and of a root the upstream's.
        said: what the upstream remembers of the tree, in the root session.
        under_way: calls that are not over.
        used: when it was used last, by the gateway's clock.
    """

    id: str
    agent: int
    name: str
    capture: Capture
    repeats: Repeats
    parent: "Session | None" = None
    policy: Policy = "live"
    sampling: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    allowance: Allowance = Allowance()
    calls: int = 0
    sampled: int = 0
    children: int = 0
    under_way: set[Call] = field(default_factory=set)
    used: float = 0.0
    over: str = ""
    _said: Any = None
    _agents: dict[str, int] = field(default_factory=dict)

    @property
    def root(self) -> "Session":
        """The session that the trajectory is named after."""
        return self if self.parent is None else self.parent.root

    def within(self, other: "Session") -> bool:
        """Whether it is another session or descends from it."""
        return self is other or (self.parent is not None and self.parent.within(other))

    @property
    def draws(self) -> int | None:
        """The seed that its draws come from; None: the upstream's."""
        return self.seed if self.seed is not None or self.parent is None else self.parent.draws

    @property
    def open(self) -> int:
        """How many calls are under way."""
        return len(self.under_way)

    def close(self, why: str) -> None:
        """It is over; calls under way end, as nobody keeps what they would sample."""
        self.over = why
        for call in self.under_way:
            if call.task is not None:
                call.task.cancel()

    @property
    def said(self) -> Any:
        """What the upstream remembers of this tree of sessions."""
        return self.root._said

    @said.setter
    def said(self, value: Any) -> None:
        self.root._said = value

    def agent_named(self, name: str, role: str) -> int:
        """The number of an agent of this session; a new one where the name is new. Raises ApiError."""
        if not name:
            return self.agent
        if name not in self._agents:
            self.require_room()
            path = f"{self.name}/{self.children}"
            self.children += 1
            self._agents[name] = self.capture.agent(path, role=role or name, parent=self.agent, policy=self.policy)
        return self._agents[name]

    def require_room(self) -> None:
        """Raises ApiError for an agent too many."""
        if len(self.capture.whole.agents) >= MOST_AGENTS:
            raise ApiError(429, f"this session has {MOST_AGENTS:,} agents already", code="rate_limit_exceeded")

    def require_allowed(self) -> None:
        """Raises ApiError for a call too many: a refusal that no client tries again, so that any harness ends."""
        if self.over:
            raise ApiError(403, f"this session is over: {self.over}", code="session_over")
        most = self.allowance
        if most.calls is not None and self.calls >= most.calls:
            raise ApiError(403, f"this session may make {most.calls:,} calls, and has", code="session_over")
        if most.sampled_tokens is not None and self.sampled >= most.sampled_tokens:
            raise ApiError(403, f"this session may sample {most.sampled_tokens:,} tokens, and has", code="session_over")
