"""`Endpoint`: where a model is served, what it costs there, and how patient to be.

Report: App. D (agents speak a standard LLM API).
"""

import re
from dataclasses import dataclass
from typing import Literal

from manyeyes.agent.chat_model import Usage

SHORTEST_KEY = 8
"""Characters; a shorter key, such as "1" of a local server, is no secret and stands in many texts."""
TEXT_ONLY_TOOLS = re.compile(r"^https?://([^/]*\.)?openai\.(com|azure\.com)(:\d+)?(/|$)")
"""Addresses whose tool messages take text alone."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is served and how patient to be.

    Attributes:
        url: base, such as "https://api.moonshot.ai/v1"; "/chat/completions" is added.
        model: name of the model there.
        key: of the endpoint; never logged, never shown by `repr`.
        prompt_price, completion_price, cached_price: US dollars per million tokens.
        connect, idle, alive, wall: seconds; see the module.
        retries: further tries after a failure that is nobody's fault.
        patience: seconds of 429 and 503, from the first of them on, after which a call fails; what it waits for other
            calls and for a person does not count, what the endpoint asks it to wait does.
        wait_for_quota: whether lack of quota pauses everybody (a person will look) or fails the call.
        media_role: whose message holds the pictures that a tool gave: "tool", or "user" for endpoints that take none
            there; "" decides by the address (OpenAI's own takes none).
        video: how clips travel: as frames with their timestamps, which every vision endpoint understands, or as
            `video_url` parts (MP4 in a data URL), as Moonshot's and vLLM's take them.
    """

    url: str
    model: str
    key: str = ""
    prompt_price: float = 0.0
    completion_price: float = 0.0
    cached_price: float | None = None
    connect: float = 10.0
    idle: float = 120.0
    alive: float = 600.0
    wall: float = 3600.0
    retries: int = 4
    patience: float = 900.0
    wait_for_quota: bool = False
    media_role: Literal["", "tool", "user"] = ""
    video: Literal["frames", "video_url"] = "frames"

    @property
    def media_of_tools(self) -> Literal["tool", "user"]:
        """See `media_role`."""
        return self.media_role or ("user" if TEXT_ONLY_TOOLS.search(self.url) else "tool")

    def __repr__(self) -> str:
        return self.hide(f"Endpoint({self.url!r}, {self.model!r})")

    def hide(self, text: str) -> str:
        """A text without the key."""
        return text.replace(self.key, "[key]") if len(self.key) >= SHORTEST_KEY else text

    def cost(self, usage: Usage) -> float:
        """US dollars of a call."""
        cached = self.prompt_price if self.cached_price is None else self.cached_price
        fresh = usage.prompt - usage.cached
        return (fresh * self.prompt_price + usage.cached * cached + usage.completion * self.completion_price) / 1e6
