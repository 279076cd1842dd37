"""A session on an endpoint, attended to its end: its services and tools, and what is said before and after."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.agent.resume import cost_of_resuming
from manyeyes.agent.sandbox import UNSAFE
from manyeyes.agent.sandbox_probe import probe
from manyeyes.agent.task import Outcome
from manyeyes.agent.tools.mcp_config import McpServer, read_servers
from manyeyes.agent.tools.search import Cached
from manyeyes.agent.tools.search_services import Brave, SearXNG, Serper, Service, Tavily
from manyeyes.cli.locations import short
from manyeyes.cli.swarm_view import View
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import read_blob
from manyeyes.swarm.session import Session, SessionConfig, ended
from manyeyes.swarm.tool_kit import ToolKit
from manyeyes.view.wording import printable

KEY = "MANYEYES_API_KEY"
"""Environment variable of the endpoint's key; never a flag, which would stand in the shell's history."""
SEARCH_KEY = "MANYEYES_SEARCH_KEY"
SEARCHES: dict[str, Callable[[str, str], Service]] = {
    "searxng": lambda key, url: SearXNG(key, url=url),
    "tavily": lambda key, url: Tavily(key, url=url),
    "serper": lambda key, url: Serper(key, url=url),
    "brave": lambda key, url: Brave(key, url=url),
}


def check_services(config: SessionConfig) -> None:
    """Raises ConfigError for a search or an MCP file that cannot be used, before anything is made."""
    search_backend(config.search)
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


def search_backend(said: str) -> Service | None:
    """The backend that `--search` names; None for none."""
    if not said:
        return None
    name, _, url = said.partition(":")
    if name not in SEARCHES:
        raise ConfigError(f"--search {said!r}: expected {', '.join(SEARCHES)}, with :URL behind it for another address")
    key = os.environ.get(SEARCH_KEY, "")
    if name == "searxng" and not url:
        raise ConfigError("--search searxng: say where it runs, such as --search searxng:http://localhost:8888")
    if name != "searxng" and not key:
        raise ConfigError(f"--search {name} needs its key in the environment variable {SEARCH_KEY}")
    return SEARCHES[name](key, url)


def sandbox_works() -> bool:
    """Whether code can run here; says so where it cannot."""
    found = asyncio.run(probe())
    if not found.works:
        print(f"no shell and no IPython: {found.problem}. To mend it: {found.fix}", file=sys.stderr)
    return found.works


def ask_first(session: Session, *, yes: bool) -> None:
    """Say what going on will cost; ask where somebody can answer.

    Raises:
        ConfigError: the answer was no.
    """
    folder, price = session.folder, session.config.price
    print(cost_of_resuming(session.events, lambda name: read_blob(folder, name), price=price))
    if yes or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    if input("go on? [Y/n] ").strip().lower() not in ("", "y", "yes"):
        raise ConfigError("not resumed; nothing was changed")


async def attend(session: Session, view: View, *, endpoint: str, model: str, concurrency: int) -> int:
    """Run a session to its end.

    Args:
        endpoint, model: in place of the session's; "" for those.
    """
    config, key = session.config, os.environ.get(KEY, "")
    served = Endpoint(
        endpoint or config.endpoint, model or config.model, key,
        prompt_price=config.price[0], completion_price=config.price[1],
    )  # fmt: skip
    for event in session.events:
        view.take(event)
    limiter = Limiter(concurrency)
    view.watch(limiter)
    if config.unsafe and "code" in config.tools:
        view.say(UNSAFE)
    async with AsyncExitStack() as stack:
        kit = await stack.enter_async_context(_kit(session, stack))
        chat = await stack.enter_async_context(OpenAIChat(served, limiter=limiter))
        secrets = tuple(filter(None, (key, os.environ.get(SEARCH_KEY, ""), *kit.secrets)))
        outcome = await session.run(
            chat, kit.tools, secrets=secrets, listen=view.take, started=view.attach, attended=view.attended
        )
    view.close()
    told(session, outcome)
    await view.linger()
    return 0 if outcome.finished else 1


def _kit(session: Session, stack: AsyncExitStack) -> ToolKit:
    config, service = session.config, search_backend(session.config.search)
    if service is not None:
        stack.push_async_callback(service.close)
    return ToolKit(
        session.folder,
        search=None if service is None else Cached(service),
        groups=config.tools,
        servers=mcp_servers(config.mcp),
        unsafe=config.unsafe,
    )


def told(session: Session, outcome: Outcome) -> None:
    """Print the answer and how it went."""
    figures = session.figures()
    print(f"\n{printable(outcome.text)}\n")
    print(
        f"{outcome.stop}{': ' + printable(outcome.reason) if outcome.reason else ''}. {figures.agents} sub-agents, "
        f"{figures.critical_steps} critical of {figures.total_steps} steps, {figures.seconds:.1f} s, "
        f"{figures.speed_up:.1f}x faster than one thing after the other, {figures.usage.total:,} tokens"
        + (f", ${figures.usage.cost:.2f}" if figures.usage.cost else "")
    )
    print(f"answer: {short(session.folder / 'answer.md')}")
    for path in session.artefacts[:20]:
        print(f"artefact: {short(path)}")
    if (more := len(session.artefacts) - 20) > 0:
        print(f"… and {more} more in {short(session.folder / 'artefacts')}")
    if not outcome.finished and ended(session.events) is None:
        print(f"once the endpoint works again: manyeyes swarm resume {short(session.folder)}")
