"""A session on an endpoint, attended to its end: its services and tools, and what is said before and after."""

import asyncio
import re
import shlex
import sys
from contextlib import AsyncExitStack

from manyeyes.agent.limiter import Limiter
from manyeyes.agent.resume import cost_of_resuming
from manyeyes.agent.sandbox import UNSAFE
from manyeyes.agent.sandbox_probe import probe
from manyeyes.agent.task import Outcome
from manyeyes.cli.locations import short
from manyeyes.cli.swarm_services import KEY, SEARCH_KEY, endpoint_key, key_of, mcp_servers, model_of, web_of
from manyeyes.cli.swarm_view import View
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import read_blob
from manyeyes.swarm.session import Session, ended
from manyeyes.swarm.tool_kit import ToolKit
from manyeyes.view.wording import printable

NEEDS_KEY = re.compile(r"\bHTTP 40[13]\b")
"""In the reason of a run that ended because the endpoint wants to know who asks."""


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
    if not (events := session.events):
        return  # it was stopped before anything was asked
    print(cost_of_resuming(events, lambda name: read_blob(folder, name), price=price))
    if yes or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    try:
        said = input("go on? [Y/n] ").strip().lower()
    except EOFError:
        said = "no"
    if said not in ("", "y", "yes"):
        raise ConfigError("not resumed; nothing was changed")


async def attend(session: Session, view: View, *, endpoint: str, model: str, concurrency: int) -> int:
    """Run a session to its end.

    Args:
        endpoint, model: in place of the session's; "" for those.
    """
    config, key = session.config, endpoint_key()
    if (over := ended(session.events)) is not None:
        view.replay(session.events)
        session.tell(over)
        return await _finished(session, view, over)
    view.replay(session.events)
    limiter = Limiter(concurrency)
    view.watch(limiter)
    if config.unsafe and "code" in config.tools:
        view.say(UNSAFE)
    async with AsyncExitStack() as stack:
        kit = await stack.enter_async_context(await _kit(session, stack))
        chat = await stack.enter_async_context(model_of(config, limiter, endpoint=endpoint, model=model))
        secrets = tuple(filter(None, (key, key_of(SEARCH_KEY), *kit.secrets)))
        outcome = await session.run(
            chat, kit.tools, secrets=secrets, listen=view.take, started=view.attach, attended=view.attended
        )
    return await _finished(session, view, outcome, keyless=not key)


async def _finished(session: Session, view: View, outcome: Outcome, *, keyless: bool = False) -> int:
    view.close()
    told(session, outcome)
    if keyless and NEEDS_KEY.search(outcome.reason):
        print(f"no key was sent; export {KEY}=<your key>")
    await view.linger()
    return 0 if outcome.finished else 1


async def _kit(session: Session, stack: AsyncExitStack) -> ToolKit:
    config = session.config
    web = await stack.enter_async_context(web_of(config.search))
    return ToolKit(
        session.folder,
        search=web.search,
        pages=web.pages,
        groups=config.tools,
        servers=mcp_servers(config.mcp),
        unsafe=config.unsafe,
    )


def told(session: Session, outcome: Outcome) -> None:
    """Print the answer and how it went."""
    figures = session.figures()
    if outcome.text.strip():
        print(f"\n{printable(outcome.text)}\n")
    why = f": {printable(outcome.reason).rstrip('.')}" if outcome.reason else ""
    faster = f"{figures.speed_up:.1f}x faster than one thing after the other, " if figures.speed_up >= 1.05 else ""
    print(
        f"{outcome.stop}{why}. {figures.agents} sub-agents, "
        f"{figures.critical_steps} critical of {figures.total_steps} steps, {figures.seconds:.1f} s, "
        f"{faster}{figures.usage.total:,} tokens" + (f", ${figures.usage.cost:.2f}" if figures.usage.cost else "")
    )
    print(f"answer: {short(session.folder / 'answer.md')}")
    for path in session.artefacts[:20]:
        print(f"artefact: {printable(short(path))}")  # code of agents chose the name
    if (more := len(session.artefacts) - 20) > 0:
        print(f"… and {more} more in {short(session.folder / 'artefacts')}")
    if not outcome.finished and ended(session.events) is None:
        print(f"once the endpoint works again: manyeyes swarm resume {shlex.quote(short(session.folder))}")
