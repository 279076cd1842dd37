"""`GatewayConfig`: where a gateway listens, what it lets in, and how long it remembers.

Report: App. D.
"""

from dataclasses import dataclass

from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Limits of a gateway.

    Attributes:
        host: 127.0.0.1 is this machine alone.
        port: 0 for a free one.
        most_calls: answered or waiting at once; more get a 429.
        most_sessions: at once; more get a 429.
        session_bytes: of ids, log-probabilities, pictures and texts that a session keeps; what comes later is answered
            and not captured.
        kept_bytes: the same of all sessions together.
        idle_seconds: after which a session that nobody uses is over.
        body_bytes: of a request, pictures included.
        bodies_bytes: of all requests at once; more get a 429.
        retry_seconds: for which an answer can be told again.
        retry_bytes: of answers that a session keeps for that.
        leave_seconds: for which sampling goes on when the client has left, in case it asks again.
        hold_seconds: for which a call waits while the gateway is paused; then it gets a 429.
        drain_seconds: for calls under way, when the gateway goes down.
    """

    host: str = "127.0.0.1"
    port: int = 0
    most_calls: int = 1024
    most_sessions: int = 10_000
    session_bytes: int = 2**29
    kept_bytes: int = 2**33
    idle_seconds: float = 3600.0
    body_bytes: int = 64 * 2**20
    bodies_bytes: int = 2**30
    retry_seconds: float = 120.0
    retry_bytes: int = 4 * 2**20
    leave_seconds: float = 30.0
    hold_seconds: float = 600.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise ConfigError(f"a port lies between 0 (a free one) and 65535, got {self.port}")
        for name in ("most_calls", "most_sessions", "session_bytes", "kept_bytes", "body_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("idle_seconds", "retry_seconds", "leave_seconds", "hold_seconds", "drain_seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} must be 0 or more and finite, got {getattr(self, name)}")
