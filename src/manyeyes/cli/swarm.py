"""Give a task to a swarm of agents on any OpenAI-compatible endpoint, and watch it work.

manyeyes swarm demo                   no key, no network
manyeyes swarm "TASK" --endpoint URL --model NAME --inputs FILE FOLDER
manyeyes swarm resume RUN             goes on after a stop or a kill
manyeyes swarm show RUN               the page of a run, finished or not
manyeyes swarm export RUN --to FILE   .html .md .csv .xlsx, or http://...
"""

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from manyeyes.cli.locations import LocationError, model_folder, runs_folder, short
from manyeyes.cli.swarm_attend import ask_first, attend, sandbox_works
from manyeyes.cli.swarm_demo import demo
from manyeyes.cli.swarm_export import export_run
from manyeyes.cli.swarm_services import LOCAL, check_endpoint, check_services
from manyeyes.cli.swarm_show import show
from manyeyes.cli.swarm_view import run_with_view
from manyeyes.cli.threads import check_threads, use_threads
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import new_run_path
from manyeyes.swarm.prompts import Language
from manyeyes.swarm.session import CONFIG, Mode, Session, SessionConfig, Strategy, ended
from manyeyes.swarm.tool_kit import GROUPS

FIXED = (
    "mode", "search", "preset", "language", "most_agents", "tokens", "cost", "price", "seconds", "folder", "inputs",
    "depth", "context", "context_tokens", "code", "unsafe_no_sandbox", "browser", "mcp", "system",
)  # fmt: skip
"""Options that belong to a run from its beginning."""
VERBS = ("demo", "resume", "show", "export")
MOST_PORT = 65_535


@dataclass(frozen=True)
class Options:
    """What is to be done, and with what."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="TASK", help_behavior_hint="")] = ()
    """The task; or: demo; or: resume, show or export, and a run's folder or name."""
    endpoint: Annotated[str, tyro.conf.arg(metavar="URL", help_behavior_hint="")] = ""
    """Base URL of an OpenAI-compatible endpoint, e.g. https://api.moonshot.ai/v1; its key from MANYEYES_API_KEY."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = ""
    """Name of the model there; without an endpoint a trained model of your own: a run or a checkpoint folder."""
    inputs: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = ()
    """Files and folders that the agents may read; an AGENTS.md among them is told to the main agent."""
    mode: Mode = "swarm"
    """An orchestrator with sub-agents, one agent alone, or auto: the main agent weighs which of them fits."""
    search: Annotated[str, tyro.conf.arg(metavar="NAME[:URL]", help_behavior_hint="")] = ""
    """searxng:URL, tavily, serper or brave, their key from MANYEYES_SEARCH_KEY; or local:FOLDER, a folder of pages. \
Without it agents only open pages."""
    browser: bool = False
    """Pages in a headless Chromium: runs their scripts, and agents can type."""
    code: Literal["auto", "on", "off"] = "auto"
    """IPython and shell in the sandbox; auto: where one works (manyeyes doctor says)."""
    unsafe_no_sandbox: bool = False
    """Run model-written code as you, without any sandbox."""
    mcp: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """JSON file {"mcpServers": {...}}: more tools, from MCP servers."""
    preset: str = "internal"
    """Step limits as in the report: browsecomp (15/100), widesearch (100/100), internal (100/50)."""
    context: Strategy = "none"
    """When a history grows too long; none: the agent ends."""
    context_tokens: int = 256_000
    """Of the model."""
    depth: int = 1
    """Levels of sub-agents; the report has one."""
    language: Language = "en"
    """Of the prompts."""
    system: Annotated[str, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")] = ""
    """System prompt of the main agent, in place of the report's."""
    concurrency: int = 256
    """Model calls under way at most; fewer when the endpoint objects."""
    threads: Annotated[int, tyro.conf.arg(help_behavior_hint="")] = 0
    """Of a model in this process: CPU threads; torch's own count when left out."""
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
    tasks: int = 2
    """demo: how many tables, from the smallest to the largest."""
    questions: int = 1
    """demo: how many questions with one answer among many candidates."""
    to: Annotated[str, tyro.conf.arg(metavar="FILE|URL", help_behavior_hint="")] = ""
    """export: where to."""
    web: bool = False
    """Serve the live page, on this machine only; its address is printed."""
    port: int = 0
    """Of the live page; a free one when left out."""
    plain: bool = False
    """No live view: one line when something ends."""
    yes: bool = False
    """resume: do not ask."""


def main(options: Options) -> int:
    """Run; returns 0 when the task was finished, 1 when it ended otherwise, 130 when stopped."""
    if not options.words:
        raise ConfigError('say what to do: manyeyes swarm "TASK" --endpoint URL --model NAME, or: manyeyes swarm demo')
    check(options)
    if options.threads:
        use_threads(options.threads)
    first = options.words[0]
    if first not in VERBS or (len(options.words) > 2 and options.endpoint):
        return _attended(begun(options), options)
    match first:
        case "demo":
            return _demo(options)
        case "resume":
            return _attended(resumed(options), options)
        case "show":
            return show(named(options).folder, port=options.port)
        case _:
            return export_run(named(options), options.to)


def check(options: Options) -> None:
    """Raises ConfigError for what can be seen to be wrong before anything is made."""
    if options.concurrency < 1:
        raise ConfigError(f"--concurrency must be 1 or more, got {options.concurrency}")
    check_threads(options.threads)
    if not 0 <= options.port <= MOST_PORT:
        raise ConfigError(f"--port must be between 0 (any) and {MOST_PORT}, got {options.port}")
    if options.endpoint:
        check_endpoint(options.endpoint)


def _demo(options: Options) -> int:
    if len(options.words) > 1:
        raise ConfigError(f"the demo has its own tasks; leave out {' '.join(options.words[1:])!r}")
    if options.endpoint and not options.model:
        raise ConfigError("an endpoint needs a model: --endpoint URL --model NAME; without both rules stand in for it")
    if options.model and not options.endpoint:
        model_folder(options.model)
    folder = options.folder or new_folder("swarm-demo")
    return run_with_view(
        lambda view: demo(
            folder,
            view,
            tasks=options.tasks,
            questions=options.questions,
            endpoint=options.endpoint,
            model=options.model,
            concurrency=options.concurrency,
        ),
        plain=options.plain,
        web=options.web,
        port=options.port,
        folder=folder,
        going_on=demo_again(options, folder),
    )


def demo_again(options: Options, folder: Path) -> str:
    """The words that go on with the very same demo."""
    words = ["demo", "--folder", short(folder), "--tasks", str(options.tasks), "--questions", str(options.questions)]
    words += ["--endpoint", options.endpoint] if options.endpoint else []
    words += ["--model", options.model] if options.model else []
    return shlex.join(words)


def new_folder(kind: str) -> Path:
    """A folder that nobody else has, made: two runs may begin in the same second.

    Raises:
        ConfigError: none can be made there.
    """
    while True:
        folder = new_run_path(runs_folder(), kind)
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise ConfigError(f"{folder}: {error.strerror}; MANYEYES_RUNS names another place for runs") from error


def _attended(session: Session, options: Options) -> int:
    print(f"run folder: {short(session.folder)}")
    return run_with_view(
        lambda view: attend(
            session, view, endpoint=options.endpoint, model=options.model, concurrency=options.concurrency
        ),
        plain=options.plain,
        web=options.web,
        port=options.port,
        folder=session.folder,
        going_on=shlex.join(["resume", short(session.folder)]),
    )


def begun(options: Options) -> Session:
    """A new session for the user's task."""
    if not options.model:
        raise ConfigError("name an endpoint and a model: --endpoint URL --model NAME (manyeyes swarm demo needs none)")
    model = options.model if options.endpoint else str(model_folder(options.model).resolve())
    if options.cost is not None and options.price is None:
        raise ConfigError("--cost needs --price IN OUT, else nobody knows what a token costs")
    config = SessionConfig(
        " ".join(options.words), mode=options.mode, endpoint=options.endpoint, model=model,
        preset=options.preset, language=options.language, tokens=options.tokens, cost=options.cost,
        seconds=options.seconds, most_agents=options.most_agents, price=options.price or (0.0, 0.0),
        search=located(options.search), depth=options.depth, context=options.context,
        context_tokens=options.context_tokens, system=options.system, tools=tool_groups(options),
        unsafe=options.unsafe_no_sandbox,
        mcp="" if options.mcp is None else str(options.mcp.resolve()),
    )  # fmt: skip
    check_services(config)
    folder = options.folder or new_folder("swarm")
    try:
        return Session.create(folder, config, inputs=options.inputs)
    except ConfigError:
        if options.folder is None:
            with suppress(OSError):  # not empty: what is there may be of use
                os.rmdir(folder)
        raise


def located(search: str) -> str:
    """`--search` with the whole path of its folder, so that a resume finds it from anywhere."""
    return f"{LOCAL}{Path(search.removeprefix(LOCAL)).resolve()}" if search.startswith(LOCAL) else search


def tool_groups(options: Options) -> tuple[str, ...]:
    """The groups of tools that a new run has, in the order of `GROUPS`."""
    wanted = {"files", "media", "download"}
    if options.code == "on" or (options.code == "auto" and (options.unsafe_no_sandbox or sandbox_works())):
        wanted.add("code")
    if options.browser:
        wanted.add("browser")
    return tuple(name for name in GROUPS if name in wanted)


def resumed(options: Options) -> Session:
    """The session that the user names; what it was begun with holds."""
    given = [name for name in FIXED if getattr(options, name) != getattr(Options(), name)]
    if given:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ConfigError(f"a resumed run keeps what it was begun with; leave out {flags}")
    session = named(options)
    if ended(session.events) is None:
        config = session.config
        if not (options.endpoint or options.model or config.endpoint or Path(config.model).is_dir()):
            again = shlex.join(["--folder", short(session.folder.resolve().parent)])
            raise ConfigError(
                f"{session.folder} names no endpoint, as runs of a demo do not: manyeyes swarm demo {again}, or say "
                "--endpoint URL --model NAME"
            )
        ask_first(session, yes=options.yes)
    return session


def named(options: Options) -> Session:
    """The session that the second word names."""
    verb = options.words[0]
    if len(options.words) != 2:
        raise ConfigError(f"name the run: manyeyes swarm {verb} RUN")
    name = options.words[1]
    for path in (Path(name), runs_folder() / name):
        if path.is_dir():
            return _opened(path, verb)
    raise LocationError(f"no run {name!r}, neither as a path nor under {runs_folder()}")


def _opened(folder: Path, verb: str) -> Session:
    """A session's folder; that of a demo holds several."""
    if not (folder / CONFIG).exists() and (inside := sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))):
        names = "\n".join(f"    manyeyes swarm {verb} {shlex.quote(short(path))}" for path in inside)
        raise LocationError(f"{folder} holds {len(inside)} runs; name one of them:\n{names}")
    return Session.open(folder)
