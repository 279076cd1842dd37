"""Teachers and graders named on a command line: `NAME@URL` for an endpoint, else a run or a checkpoint folder.

The key of endpoints comes from MANYEYES_API_KEY. Where several hosts are named, each needs a key of its own in
MANYEYES_API_KEY_<HOST>, such as MANYEYES_API_KEY_API_MOONSHOT_AI: no host is sent the key of another one.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.endpoint import Endpoint
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import OpenAIChat
from manyeyes.cli.locations import model_folder
from manyeyes.cli.swarm_model import embedded
from manyeyes.cli.swarm_services import KEY, check_endpoint, key_of
from manyeyes.core.errors import ConfigError


class Named(NamedTuple):
    """A model as it is named; `url` is "" for one of one's own."""

    name: str
    url: str

    @property
    def host(self) -> str:
        """Of the endpoint."""
        return urlsplit(self.url).netloc


def named(said: str) -> Named:
    """What NAME@URL, a run or a folder means.

    Raises:
        ManyeyesError: an address that no endpoint has, or there is no such model.
    """
    name, at, url = said.partition("@")
    if not at:
        model_folder(said)
        return Named(said, "")
    check_endpoint(url)
    if not name:
        raise ConfigError(f"{said}: expected NAME@URL, the name of the model there and the endpoint's base address")
    return Named(name, url)


def key_for(one: Named, others: Sequence[Named]) -> str:
    """The key that an endpoint is sent; "" for none.

    Args:
        others: all that are named, this one included.

    Raises:
        ConfigError: the key is none.
    """
    hosts = {other.host for other in others if other.url}
    return key_of(KEY if len(hosts) == 1 else f"{KEY}_{re.sub('[^A-Z0-9]', '_', one.host.upper())}")


class Models:
    """Models by how they are named, each opened once; an async context manager."""

    def __init__(self, said: Sequence[str], *, at_once: int) -> None:
        self._named = {one: named(one) for one in said}
        self._at_once = at_once
        self._open = AsyncExitStack()
        self._models: dict[str, ChatModel] = {}
        self._limiters: dict[str, Limiter] = {}

    @property
    def keys(self) -> list[str]:
        """That must not be written down."""
        return [key for one in self._named.values() if one.url and (key := key_for(one, self._all))]

    @property
    def _all(self) -> list[Named]:
        return list(self._named.values())

    def is_own(self, said: str) -> bool:
        """Whether a model runs in this process."""
        return not self._named[said].url

    async def __aenter__(self) -> "Models":
        try:
            for said, one in self._named.items():
                self._models[said] = await self._open.enter_async_context(self._opened(one))
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def __getitem__(self, said: str) -> ChatModel:
        return self._models[said]

    def _opened(self, one: Named) -> AbstractAsyncContextManager[ChatModel]:
        limiter = self._limiters.setdefault(one.host or one.name, Limiter(most=self._at_once))
        if not one.url:
            return embedded(one.name, limiter=limiter)
        return OpenAIChat(Endpoint(one.url, one.name, key_for(one, self._all)), limiter=limiter)
