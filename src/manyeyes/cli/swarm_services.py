"""What a swarm on the command line works with: a model, its key, a search backend, MCP servers, a folder of pages.

--search searxng:URL | tavily | serper | brave      a service; its key from MANYEYES_SEARCH_KEY
--search local:FOLDER                               a folder of pages, indexed when the run begins
--endpoint URL --model NAME                         a model behind an endpoint; its key from MANYEYES_API_KEY
--model RUN_OR_CHECKPOINT                           a trained model of one's own, in this process
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.endpoint import Endpoint
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import OpenAIChat
from manyeyes.agent.tools.folder_web import FolderThenWeb, folder_pages
from manyeyes.agent.tools.guarded_client import GuardedClient
from manyeyes.agent.tools.mcp_config import McpServer, read_servers
from manyeyes.agent.tools.pages import PageSource, WebPages
from manyeyes.agent.tools.search import Cached, SearchBackend
from manyeyes.agent.tools.search_services import Brave, SearXNG, Serper, Service, Tavily
from manyeyes.agent.tools.tantivy_web import local_web
from manyeyes.cli.swarm_model import embedded
from manyeyes.core.errors import ConfigError
from manyeyes.swarm.session import SessionConfig

KEY = "MANYEYES_API_KEY"
"""Environment variable of the endpoint's key; never a flag, which would stand in the shell's history."""
SEARCH_KEY = "MANYEYES_SEARCH_KEY"
LOCAL = "local:"
SEARCHES: dict[str, Callable[[str, str], Service]] = {
    "searxng": lambda key, url: SearXNG(key, url=url),
    "tavily": lambda key, url: Tavily(key, url=url),
    "serper": lambda key, url: Serper(key, url=url),
    "brave": lambda key, url: Brave(key, url=url),
}


def endpoint_key() -> str:
    """The endpoint's key from the environment; "" for none. A file's last line break is no part of it.

    Raises:
        ConfigError: no endpoint could take it.
    """
    return key_of(KEY)


def key_of(name: str) -> str:
    """A key from the environment; "" for none.

    Raises:
        ConfigError: no service could take it.
    """
    key = os.environ.get(name, "").strip()
    if not key.isprintable() or not key.isascii():
        raise ConfigError(f"{name} holds what no key consists of, such as a line break; set it anew")
    return key


def check_endpoint(url: str) -> None:
    """Raises ConfigError for an address that no endpoint has. It is written down, so it must hold no password."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        raise ConfigError("--endpoint must begin with http:// or https://, such as https://api.moonshot.ai/v1")
    if "@" in parts.netloc or parts.query:
        raise ConfigError(f"--endpoint must hold no name, password or query; a key comes from {KEY}")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise ConfigError("--endpoint is the base address; leave out /chat/completions")


def check_services(config: SessionConfig) -> None:
    """Raises ConfigError for a search or an MCP file that cannot be used, before anything is made."""
    search_service(config.search)
    if config.search.startswith(LOCAL) and not Path(config.search.removeprefix(LOCAL)).is_dir():
        raise ConfigError(f"--search {config.search}: there is no such folder")
    mcp_servers(config.mcp)


def mcp_servers(path: str) -> tuple[McpServer, ...]:
    """The servers that `--mcp` names; ${NAME} in the file stands for a variable of the environment.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not path:
        return ()
    try:
        return read_servers(Path(path).read_bytes(), os.environ)
    except OSError as error:
        raise ConfigError(f"--mcp {path}: {error.strerror}") from error


class Web(NamedTuple):
    """What agents search and where their pages come from; None for no search, and for the guarded web."""

    search: SearchBackend | None = None
    pages: PageSource | None = None


@asynccontextmanager
async def web_of(said: str) -> AsyncIterator[Web]:
    """What `--search` names, opened."""
    if said.startswith(LOCAL):
        index = await asyncio.to_thread(lambda: local_web(folder_pages(Path(said.removeprefix(LOCAL)))))
        outside = WebPages(GuardedClient())
        try:
            yield Web(index, FolderThenWeb(index, outside))
        finally:
            await outside.close()
            await index.close()
    elif (service := search_service(said)) is not None:
        try:
            yield Web(Cached(service))
        finally:
            await service.close()
    else:
        yield Web()


@asynccontextmanager
async def model_of(config: SessionConfig, limiter: Limiter, *, endpoint: str, model: str) -> AsyncIterator[ChatModel]:
    """The model of a session.

    Args:
        endpoint, model: in place of the session's; "" for those.
    """
    url, name = endpoint or config.endpoint, model or config.model
    if not url:
        async with embedded(name, limiter=limiter) as chat:
            yield chat
        return
    served = Endpoint(
        url, name, endpoint_key(), prompt_price=config.price[0], completion_price=config.price[1]
    )  # fmt: skip
    async with OpenAIChat(served, limiter=limiter) as chat:
        yield chat


def search_service(said: str) -> Service | None:
    """The service that `--search` names; None for none.

    Raises:
        ConfigError: it cannot be used as it is.
    """
    if not said or said.startswith(LOCAL):
        return None
    name, _, url = said.partition(":")
    if name not in SEARCHES:
        known = ", ".join([*SEARCHES, "local:FOLDER"])
        raise ConfigError(f"--search {said!r}: expected {known}, with :URL behind a service for another address")
    key = key_of(SEARCH_KEY)
    if name == "searxng" and not url:
        raise ConfigError("--search searxng: say where it runs, such as --search searxng:http://localhost:8888")
    if name != "searxng" and not key:
        raise ConfigError(f"--search {name} needs its key in the environment variable {SEARCH_KEY}")
    return SEARCHES[name](key, url)
