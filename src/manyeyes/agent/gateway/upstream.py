"""`Upstream`: what answers behind a gateway: a sampler, or an endpoint.

Report: App. D.
"""

from collections import Counter
from typing import Protocol

from manyeyes.agent.gateway.dialect import Answer, Ask, Telling
from manyeyes.agent.gateway.session import Session


class Upstream(Protocol):
    """See the module.

    Attributes:
        counts: what came of the calls.
        takes_bodies: whether chat requests are wanted as they came.
    """

    counts: Counter[str]

    @property
    def takes_bodies(self) -> bool:
        """See the class."""
        ...

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def version(self) -> int:
        """Of the weights that sample now."""
        ...

    async def answer(self, ask: Ask, session: Session, telling: Telling) -> Answer:
        """An assistant turn.

        Raises:
            ApiError, ManyeyesError: it could not be had.
        """
        ...

    async def count(self, ask: Ask, session: Session) -> int:
        """Tokens of the prompt that a request makes. Raises ApiError where nobody knows."""
        ...

    def published(self, version: int) -> None:
        """There are new weights, for upstreams that cannot know by themselves."""
        ...

    async def close(self) -> None:
        """Close what is held open."""
        ...
