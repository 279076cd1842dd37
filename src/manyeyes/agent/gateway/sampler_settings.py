"""`TokenSettings`: how a gateway asks a sampler, where the client does not say.

Report: App. D (token in, token out).
"""

from dataclasses import dataclass

from manyeyes.agent.gateway.matcher import Matching
from manyeyes.agent.token_chat_prompt import History

LONGEST_ANSWER = 4_096
"""Tokens, where the request sets no limit: as `TokenChat`."""


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How a sampler is asked.

    Attributes:
        history: which reasoning of earlier turns stays; see `token_chat`.
        matching: how assistant messages that come back are compared; see `matcher`.
        thinking: of requests that do not say.
        temperature, top_p: the same.
        never: ids that are not sampled; None: those of media, as `TokenChat`.
        seed: of sessions that have none.
        record_routing: keep the experts that each token was sent to.
        retries, patience: see `Persistence`.
    """

    history: History = "append"
    matching: Matching = "loose"
    thinking: bool = True
    temperature: float = 1.0
    top_p: float = 1.0
    never: frozenset[int] | None = None
    seed: int = 0
    record_routing: bool = False
    retries: int = 4
    patience: float = 300.0
