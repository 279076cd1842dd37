"""Give a task to a swarm of agents on any OpenAI-compatible endpoint, and watch it work.

manyeyes swarm demo                                           no key, no network
manyeyes swarm "TASK" --endpoint URL --model NAME --search searxng:http://localhost:8888
manyeyes swarm resume RUN --endpoint URL                      goes on after a stop or a kill
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from manyeyes.agent.environment import Ctx
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Outcome
from manyeyes.agent.tools.citations import Citations
from manyeyes.agent.tools.guarded_client import GuardedClient
from manyeyes.agent.tools.pages import PageTools, WebPages
from manyeyes.agent.tools.search import Cached
from manyeyes.agent.tools.search_services import Brave, SearXNG, Serper, Service, Tavily
from manyeyes.agent.tools.web import web_tools
from manyeyes.agent.toolset import Toolset
from manyeyes.cli.locations import LocationError, runs_folder, short
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Event
from manyeyes.core.runlog import new_run_path
from manyeyes.swarm.demo import DemoConfig, Ran, run_demo
from manyeyes.swarm.prompts import Language
from manyeyes.swarm.session import Mode, Session, SessionConfig, ended
from manyeyes.view.swarm_state import SwarmState
from manyeyes.view.swarm_terminal import swarm_lines
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
STOPPED = 130
FIXED = ("mode", "search", "preset", "language", "most_agents", "tokens", "cost", "price", "seconds", "folder")
"""Options that belong to a run from its beginning."""

REDRAW_SECONDS = 0.2

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """What to do, and with which model."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="TASK | demo | resume RUN")] = ()
    """The task in quotes; or `demo`; or `resume` and a run's folder or name."""
    endpoint: Annotated[str, tyro.conf.arg(metavar="URL", help_behavior_hint="")] = ""
    """Base URL of an OpenAI-compatible endpoint, e.g. https://api.moonshot.ai/v1; its key from MANYEYES_API_KEY."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = ""
    """Name of the model there."""
    mode: Mode = "swarm"
    """An orchestrator with sub-agents, or one agent alone."""
    search: Annotated[str, tyro.conf.arg(metavar="NAME[:URL]", help_behavior_hint="")] = ""
    """searxng:URL, tavily, serper or brave; their key from MANYEYES_SEARCH_KEY. Without it agents only open pages."""
    preset: str = "internal"
    """Step limits as in the report: browsecomp (15/100), widesearch (100/100), internal (100/50)."""
    language: Language = "en"
    """Of the prompts."""
    concurrency: int = 256
    """Model calls under way at most; fewer when the endpoint objects."""
    most_agents: int = 300
    """Sub-agents of a run at most."""
    tokens: float | None = None
    """Limit of the whole run, in and out."""
    cost: float | None = None
    """Limit of the whole run in US dollars; needs --price."""
    price: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="IN OUT")] = None
    """US dollars per million tokens, in and out."""
    seconds: float | None = None
    """Limit of the whole run in wall time."""
    folder: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Run folder; a new one under MANYEYES_RUNS or ./runs when left out."""
    tasks: int = 3
    """demo: how many tasks, from the smallest to the largest."""
    plain: bool = False
    """No live view: one line when something ends."""


def main(options: Options) -> int:
    """Run; returns 0 when the task was finished, 1 when it ended otherwise, 130 when stopped."""
    if not options.words:
        raise ConfigError('say what to do: manyeyes swarm "TASK" --endpoint URL --model NAME, or: manyeyes swarm demo')
    if options.words == ("demo",):
        folder = options.folder or new_run_path(runs_folder(), "swarm-demo")
        work = lambda view: demo(folder, options, view)  # noqa: E731
        return run_with_view(work, plain=options.plain, going_on=f"demo --folder {short(folder)}")
    session = resumed(options) if options.words[0] == "resume" else begun(options)
    print(f"run folder: {short(session.folder)}")
    going_on = f"resume {short(session.folder)}"
    return run_with_view(lambda view: attend(session, options, view), plain=options.plain, going_on=going_on)


def begun(options: Options) -> Session:
    """A new session for the user's task."""
    require_endpoint(options)
    config = SessionConfig(
        " ".join(options.words), mode=options.mode, endpoint=options.endpoint, model=options.model,
        preset=options.preset, language=options.language, tokens=options.tokens, cost=options.cost,
        seconds=options.seconds, most_agents=options.most_agents, price=options.price or (0.0, 0.0),
        search=options.search,
    )  # fmt: skip
    if options.cost is not None and options.price is None:
        raise ConfigError("--cost needs --price IN OUT, else nobody knows what a token costs")
    search_backend(options.search)
    return Session.create(options.folder or new_run_path(runs_folder(), "swarm"), config)


def resumed(options: Options) -> Session:
    """The session that the user names; what it was begun with holds."""
    given = [name for name in FIXED if getattr(options, name) != getattr(Options(), name)]
    if given:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ConfigError(f"a resumed run keeps what it was begun with; leave out {flags}")
    if len(options.words) != 2:
        raise ConfigError("name the run to go on with: manyeyes swarm resume RUN --endpoint URL")
    name = options.words[1]
    for path in (Path(name), runs_folder() / name):
        if path.is_dir():
            return Session.open(path)
    raise LocationError(f"no run {name!r}, neither as a path nor under {runs_folder()}")


def require_endpoint(options: Options) -> None:
    """Raises ConfigError unless endpoint and model are given."""
    if not options.endpoint or not options.model:
        raise ConfigError("name an endpoint and a model: --endpoint URL --model NAME (manyeyes swarm demo needs none)")


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


async def attend(session: Session, options: Options, view: "View") -> int:
    """Run a session to its end."""
    config, key = session.config, os.environ.get(KEY, "")
    endpoint = Endpoint(
        options.endpoint or config.endpoint, options.model or config.model, key,
        prompt_price=config.price[0], completion_price=config.price[1],
    )  # fmt: skip
    for event in session.events:
        view.take(event)
    service, pages = search_backend(config.search), WebPages(GuardedClient())
    backend = None if service is None else Cached(service)

    def tools(ctx: Ctx) -> Toolset:
        if backend is not None:
            return web_tools(backend, pages, ctx)
        return PageTools(pages, Citations(ctx.noted), ctx.noted)

    secrets = tuple(filter(None, (key, os.environ.get(SEARCH_KEY, ""))))
    try:
        async with OpenAIChat(endpoint, limiter=Limiter(options.concurrency)) as model:
            outcome = await session.run(model, tools, secrets=secrets, listen=view.take, started=view.attach)
    finally:
        await pages.close()
        if service is not None:
            await service.close()
    view.close()
    return told(session, outcome)


def told(session: Session, outcome: Outcome) -> int:
    """Print the answer and how it went."""
    figures = session.figures()
    print(f"\n{printable(outcome.text)}\n")
    print(
        f"{outcome.stop}{': ' + printable(outcome.reason) if outcome.reason else ''}. {figures.agents} sub-agents, "
        f"{figures.critical_steps} critical of {figures.total_steps} steps, {figures.seconds:.1f} s, "
        f"{figures.speed_up:.1f}x faster than one thing after the other, {figures.usage.total:,} tokens"
    )
    print(f"answer: {short(session.folder / 'answer.md')}")
    if not outcome.finished and ended(session.events) is None:
        print(f"once the endpoint works again: manyeyes swarm resume {short(session.folder)}")
    return 0 if outcome.finished else 1


async def demo(folder: Path, options: Options, view: "View") -> int:
    """The demo, and its table."""
    view.say(f"run folder: {short(folder)}")

    def finished(ran: Ran) -> None:
        view.say(
            f"{ran.mode:<6}  {len(ran.task.gold):>3} rows  item F1 {100 * ran.score.item.f1:5.1f} %  "
            f"{ran.figures.seconds:6.1f} s  {ran.figures.agents} sub-agents"
        )
        view.reset()

    ran = await run_demo(folder, DemoConfig(tasks=options.tasks), listen=view.take, finished=finished)
    view.close()
    Console().print(demo_table(ran))
    return 0


def demo_table(ran: list[Ran]) -> Table:
    """Single and swarm side by side: item F1 in percent, seconds, steps of the one and critical steps of the other."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), collapse_padding=True, pad_edge=False)
    for heading in ("task", "rows", "F1", "F1 swarm", "s", "s swarm", "faster", "steps", "critical"):
        table.add_column(heading, justify="left" if heading == "task" else "right", no_wrap=True)
    for single, swarm in zip(ran[::2], ran[1::2], strict=True):
        alone, together = single.figures, swarm.figures
        table.add_row(
            single.task.id,
            str(len(single.task.gold)),
            f"{100 * single.score.item.f1:.1f}",
            f"{100 * swarm.score.item.f1:.1f}",
            f"{alone.seconds:.1f}",
            f"{together.seconds:.1f}",
            f"{alone.seconds / together.seconds:.1f}x",
            str(alone.critical_steps),
            str(together.critical_steps),
        )
    return table


class View:
    """The live view, or lines where there is no terminal. Belongs to the event loop: nothing draws from a thread."""

    def __init__(self, *, plain: bool) -> None:
        self.state = SwarmState()
        self.run: AgentRun | None = None
        self._live: Live | None = None
        if not plain and sys.stdout.isatty():
            self._live = Live(auto_refresh=False, transient=True)
            self._live.start()

    def take(self, event: Event) -> None:
        """An event."""
        self.state.take(event)

    def attach(self, run: AgentRun) -> None:
        """The run that is watched."""
        self.run = run

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._live is None:
            print(line, flush=True)
        else:
            self._live.console.print(line, highlight=False)

    def reset(self) -> None:
        """Another run begins."""
        self.state = SwarmState()

    async def draw(self) -> None:
        """Keep the terminal up to date until cancelled."""
        while self._live is not None:
            if self.state.agents:
                self._live.update(swarm_lines(self.state, time.time()), refresh=True)
            await asyncio.sleep(REDRAW_SECONDS)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def run_with_view(work: Callable[[View], Coroutine[Any, Any, int]], *, plain: bool, going_on: str) -> int:
    """Run on uvloop where there is one; Ctrl-C stops the run, and a second one ends at once.

    Args:
        going_on: the words that go on with it.
    """
    view = View(plain=plain)

    async def attended() -> int:
        task, drawing = asyncio.ensure_future(work(view)), asyncio.ensure_future(view.draw())
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.remove_signal_handler(signal.SIGINT)
            task.cancel()

        with suppress(NotImplementedError):
            loop.add_signal_handler(signal.SIGINT, stop)
        try:
            return await task
        except asyncio.CancelledError:
            view.close()
            print("stopped; what was done is kept. Go on with: manyeyes swarm " + going_on)
            return STOPPED
        finally:
            drawing.cancel()

    try:
        return _runner()(attended())
    finally:
        view.close()


def _runner() -> Callable[[Coroutine[Any, Any, T]], T]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run
