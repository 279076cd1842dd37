"""`EndpointServer`: where an endpoint is, what it can tell, and what its refusals mean.

Report: App. D.
"""

from dataclasses import dataclass
from typing import Any, Literal

from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import LogprobKind
from manyeyes.inference.serve_errors import ApiError

SHORTEST_KEY = 8
"""Characters; a shorter one, such as "1" of a local server, is no secret and stands in many texts."""
Texts = Literal["always", "without_ids"]


@dataclass(frozen=True, slots=True)
class EndpointServer:
    """Where the endpoint is and what it can tell.

    Attributes:
        url: base, such as "http://127.0.0.1:8000/v1".
        model: its name there; "" passes on the name that the client used.
        key: never logged, never shown.
        ids: ask for token ids (vLLM's `return_token_ids`); an endpoint that refuses unknown fields wants False.
        logprob_kind: which distribution its log-probabilities are of.
        texts: whether what was said is kept as text beside token ids, or only where there are none.
        connections: at most.
        connect, idle: seconds to reach it, and between two pieces.

    Raises:
        ConfigError: the address is none, or the key cannot be sent.
    """

    url: str
    model: str = ""
    key: str = ""
    ids: bool = True
    logprob_kind: LogprobKind = "raw"
    texts: Texts = "always"
    connections: int = 512
    connect: float = 10.0
    idle: float = 600.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"an endpoint is named by its address, http://... or https://..., got {self.url!r}")
        if not (self.key.isascii() and self.key.isprintable()):
            raise ConfigError("the endpoint's key has characters that no header takes, such as the end of a line")

    def hide(self, text: str) -> str:
        """A text without the key."""
        return text.replace(self.key, "[key]") if len(self.key) >= SHORTEST_KEY else text

    def __repr__(self) -> str:
        return f"EndpointServer({self.url!r}, {self.model!r})"


def error_of(status: int, said: Any) -> ApiError:
    """What to tell the client of an endpoint's refusal."""
    told = said.get("error", said) if isinstance(said, dict) else {}
    told = told if isinstance(told, dict) else {"message": str(told)}
    message = str(told.get("message") or f"the endpoint answered {status}")
    if status in (401, 403):  # its own key, which is nothing that the client could mend
        return ApiError(502, f"the endpoint refuses the gateway's key ({status})", code="upstream_refused")
    code, param = told.get("code"), told.get("param")
    return ApiError(status, message[:2000], param=param if isinstance(param, str) else None,
                    code=code if isinstance(code, str) else None)  # fmt: skip
