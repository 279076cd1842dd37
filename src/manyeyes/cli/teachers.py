"""Teachers and graders named on a command line: `NAME@URL` for an endpoint, else a run or a checkpoint folder.

The key of endpoints comes from MANYEYES_API_KEY. Where several hosts are named, each needs a key of its own in
MANYEYES_API_KEY_<HOST>, such as MANYEYES_API_KEY_API_MOONSHOT_AI: no host is sent the key of another one. What is made
is given to others, so a model of one's own is written down by the name of its run and not by its path.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.endpoint import Endpoint
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import OpenAIChat
from manyeyes.cli.locations import MODEL, model_folder
from manyeyes.cli.swarm_model import embedded
from manyeyes.cli.swarm_services import KEY, check_endpoint, key_of
from manyeyes.core.errors import ConfigError

_URL = re.compile(r"@(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
"""Names of models may hold an @ themselves; an address begins with its scheme."""


class Named(NamedTuple):
    """A model as it is named; `url` is "" for one of one's own."""

    name: str
    url: str

    @property
    def host(self) -> str:
        """Of the endpoint."""
        return urlsplit(self.url).netloc.lower()

    @property
    def label(self) -> str:
        """What is written down: NAME@URL, or the name of the folder of the run."""
        if self.url:
            return f"{self.name}@{self.url}"
        folder = model_folder(self.name).resolve()
        return folder.parent.name if folder.name == MODEL else folder.name


def named(said: str) -> Named:
    """What NAME@URL, a run or a folder means.

    Raises:
        ManyeyesError: an address that no endpoint has, or there is no such model.
    """
    found = _URL.search(said)
    if found is None:
        if "@" in said and not Path(said).exists():
            raise ConfigError(f"{said}: an endpoint's address begins with http:// or https://, as in NAME@https://...")
        model_folder(said)
        return Named(said, "")
    name, url = said[: found.start()], said[found.end() :]
    check_endpoint(url)
    if not name:
        raise ConfigError(f"{said}: expected NAME@URL, the name of the model there and the endpoint's base address")
    return Named(name, url)


def key_for(one: Named, others: Sequence[Named]) -> str:
    """The key that an endpoint is sent; "" for none.

    Args:
        others: all that are named, this one included.

    Raises:
        ConfigError: the key is none, or it would be sent to another host as well.
    """
    hosts = {other.host for other in others if other.url}
    if len(hosts) == 1:
        return key_of(KEY)
    variable = _variable(one.host)
    if also := sorted(host for host in hosts if host != one.host and _variable(host) == variable):
        raise ConfigError(
            f"{one.host} and {also[0]} would both be sent the key in {variable}; name one of them at a time"
        )
    return key_of(variable)


def _variable(host: str) -> str:
    return f"{KEY}_{re.sub('[^A-Z0-9]', '_', host.upper())}"


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

    def label(self, said: str) -> str:
        """What a model is called in what is written."""
        return self._named[said].label

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
