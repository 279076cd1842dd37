"""`Session`: one run of a swarm (or of a single agent) in its folder, begun or gone on with.

    runs/swarm-20261125-221500/
    ├── config.json     what was asked, of which endpoint (never its key), in which mode, within which limits
    ├── events.jsonl    the journal; blobs/ beside it
    ├── inputs/         files that the user gave
    ├── artefacts/      files that agents left, results that were too long to flow back
    ├── work/           a folder for each agent that used files or code
    └── answer.md       the last words

Report: §3, App. E.8.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from manyeyes.agent.budget import Budget, Limits
from manyeyes.agent.chat_model import ChatModel, Usage
from manyeyes.agent.context import ContextStrategy, DiscardAll, HideToolResults, ShowAll, Summarise
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.past import settled
from manyeyes.agent.record import outcome_from
from manyeyes.agent.resume import paused_seconds
from manyeyes.agent.run import MAIN, AgentRun
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import Toolset
from manyeyes.agent.workspace import Workspace
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import EVENTS, Event, Journal, read
from manyeyes.core.runlog import write_atomic
from manyeyes.swarm.critical_path import critical_path
from manyeyes.swarm.critical_steps import StepCounter
from manyeyes.swarm.inputs import place_inputs, said_of_inputs
from manyeyes.swarm.orchestrator import PRESETS, SwarmConfig
from manyeyes.swarm.prompts import AUTO, ORCHESTRATOR, WITHOUT_SANDBOX, WORKPLACE, Language, single

Mode = Literal["single", "swarm", "auto"]
Strategy = Literal["none", "hide-tool-results", "discard-all", "summary"]
CONFIG, ANSWER, INPUTS, ARTEFACTS = "config.json", "answer.md", "inputs", "artefacts"
CONTEXT_SHARE = 0.8
"""Of the context, that a history may fill before its strategy acts; the rest is for the next results and the answer."""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a session is; enough to go on with it in another process.

    Attributes:
        task: the user's words.
        mode: one agent, an orchestrator with sub-agents, or an orchestrator that is told to weigh which of them fits.
        endpoint, model: where the model is served, and its name there.
        preset: key of `PRESETS`: step limits.
        language: of prompts.
        day: that the prompt names, ISO.
        tokens, cost, seconds: limits of the whole run; None for none.
        price: US dollars per million tokens, in and out.
        search: the search backend, as the command line names it; "" for none.
        most_agents: sub-agents at most.
        depth: levels of sub-agents.
        context: what becomes of an agent's history when it grows too long.
        context_tokens: of the model.
        tools: names of the tool groups that agents have beside search and pages, as the command line names them.
        unsafe: whether code may run without a sandbox.
        mcp: path of a file that names MCP servers; "" for none. What it holds may be secret and is not copied.
        system: system prompt of the main agent; the report's when "".
    """

    task: str
    mode: Mode = "swarm"
    endpoint: str = ""
    model: str = ""
    preset: str = "internal"
    language: Language = "en"
    day: str = field(default_factory=lambda: date.today().isoformat())
    tokens: float | None = None
    cost: float | None = None
    seconds: float | None = None
    price: tuple[float, float] = (0.0, 0.0)
    search: str = ""
    most_agents: int = 300
    depth: int = 1
    context: Strategy = "none"
    context_tokens: int = 256_000
    tools: tuple[str, ...] = ()
    unsafe: bool = False
    mcp: str = ""
    system: str = ""

    def __post_init__(self) -> None:
        if not self.task.strip():
            raise ConfigError("a session needs a task; say what is to be done")
        if self.preset not in PRESETS:
            raise ConfigError(f"no preset {self.preset!r}; there are {', '.join(PRESETS)}")
        if self.depth < 1:
            raise ConfigError(f"--depth must be 1 or more, got {self.depth}; --mode single makes no sub-agents")
        if self.most_agents < 1:
            raise ConfigError(f"--most-agents must be 1 or more, got {self.most_agents}; --mode single makes none")
        for name in ("tokens", "cost", "seconds", "context_tokens"):
            given = getattr(self, name)
            if given is not None and not given > 0:
                raise ConfigError(f"--{name.replace('_', '-')} must be more than 0, got {given:g}")
        if min(self.price) < 0:
            raise ConfigError(f"--price must not be negative, got {self.price[0]:g} {self.price[1]:g}")

    @property
    def strategy(self) -> ContextStrategy:
        """What becomes of a long history."""
        room = int(CONTEXT_SHARE * self.context_tokens)
        match self.context:
            case "none":
                return ShowAll()
            case "hide-tool-results":
                return HideToolResults(room)
            case "discard-all":
                return DiscardAll(room)
            case "summary":
                return Summarise(room)

    @property
    def limits(self) -> Limits:
        """Of the whole run."""
        given = {name: getattr(self, name) for name in ("tokens", "cost", "seconds")}
        return Limits(**{name: value for name, value in given.items() if value is not None})


class Figures(NamedTuple):
    """How a run went, from its journal.

    Attributes:
        critical_steps, total_steps: see `critical_steps`.
        agents: sub-agents that were started.
        seconds: from the first event to the last, less the time between a stop and a resume.
        path_seconds: of the critical path.
        serial_seconds: what all model calls and tools took one after the other.
        usage: of all calls.
    """

    critical_steps: int
    total_steps: int
    agents: int
    seconds: float
    path_seconds: float
    serial_seconds: float
    usage: Usage

    @property
    def speed_up(self) -> float:
        """How much faster than one thing after the other."""
        return self.serial_seconds / self.seconds if self.seconds else 1.0


class Session:
    """A session's folder. `create` begins one, `open` returns to one; `run` starts it or goes on."""

    def __init__(self, folder: Path, config: SessionConfig) -> None:
        self.folder, self.config = folder, config

    @classmethod
    def create(cls, folder: Path, config: SessionConfig, *, inputs: Sequence[Path] = ()) -> "Session":
        """Make the folder and put the inputs there.

        Raises:
            ConfigError: it holds a session already, it cannot be written, or an input is missing.
        """
        if (folder / CONFIG).exists():
            raise ConfigError(f"{folder} holds a session already; resume it, or name another folder")
        if inputs and any((folder / INPUTS).glob("*")):  # links to a user's files, which a copy would write through
            raise ConfigError(f"{folder / INPUTS} holds files already; delete it, or name another folder")
        try:
            place_inputs(inputs, folder / INPUTS)
            (folder / ARTEFACTS).mkdir(parents=True, exist_ok=True)
            write_atomic(folder / CONFIG, msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")
        except OSError as error:
            raise ConfigError(f"{error.filename or folder}: {error.strerror or error}; name another folder") from error
        return cls(folder, config)

    @classmethod
    def open(cls, folder: Path) -> "Session":
        """Return to a session. Raises ConfigError when there is none."""
        try:
            return cls(folder, msgspec.json.decode((folder / CONFIG).read_bytes(), type=SessionConfig))
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"{folder} holds no session that can be read ({error})") from error

    @property
    def events(self) -> list[Event]:
        """What has been recorded."""
        return read(self.folder).events if (self.folder / EVENTS).exists() else []

    async def run(
        self,
        model: ChatModel,
        make_tools: Callable[[Ctx], Toolset],
        *,
        secrets: tuple[str, ...] = (),
        listen: Callable[[Event], None] | None = None,
        started: Callable[[AgentRun], None] | None = None,
        attended: bool = False,
    ) -> Outcome:
        """Run to the end, from wherever the session stands.

        Args:
            model: that all agents use.
            make_tools: tools of every agent.
            secrets: never written.
            listen: called with every event.
            started: called with the run before it begins, to steer or cancel it.
            attended: a person can answer: when the endpoint wants money or a key, the run waits for `go_on`.
        """
        if (over := ended(self.events)) is not None:
            self.tell(over)
            return over
        with Journal(self.folder, secrets=secrets) as journal:
            past = self.events  # now that nobody else writes
            if listen is not None:
                journal.listen(listen)
            journal.append("run.resumed" if past else "run.started", mode=self.config.mode, model=self.config.model)
            elapsed = past[-1].time - past[0].time - stopped_seconds(past) - paused_seconds(past) if past else 0.0
            budget = Budget(self.config.limits, elapsed=elapsed)
            run = AgentRun(journal, model, budget=budget, past=past, on_quota="pause" if attended else "stop")
            if started is not None:
                started(run)
            environment = self.environment(make_tools, ended=settled(run.past))
            outcome = await run.start(Task(MAIN, self.prompt), environment)
            last = run.last_of.get(MAIN)
            journal.append("run.finished", after=() if last is None else (last,), stop=outcome.stop)
        self.tell(outcome)
        return outcome

    def tell(self, outcome: Outcome) -> None:
        """Write the answer down where it does not stand yet: a kill may have come between the end and the answer."""
        said, path = (outcome.text + "\n").encode(), self.folder / ANSWER
        if not path.exists() or path.read_bytes() != said:
            write_atomic(path, said)

    @property
    def artefacts(self) -> list[Path]:
        """Files that agents left."""
        found = (self.folder / ARTEFACTS).rglob("*")
        return sorted(path for path in found if path.is_file() and not path.is_symlink() and path.suffix != ".part")

    @property
    def prompt(self) -> str:
        """The user's words, and what they are told to be about."""
        said = said_of_inputs(Workspace.of(self.folder, MAIN), self.config.language)
        return f"{self.config.task}\n\n{said}" if said else self.config.task

    def environment(self, make_tools: Callable[[Ctx], Toolset], *, ended: int = 0) -> Environment:
        """Of the main agent.

        Args:
            ended: sub-agents of an interrupted run that are not started again.
        """
        config, preset = self.config, PRESETS[self.config.preset]
        workplace = WORKPLACE[config.language] if "files" in config.tools else ""
        if workplace and config.unsafe and "code" in config.tools:
            workplace += WITHOUT_SANDBOX[config.language]
        if config.mode == "single":
            system = config.system or single(config.language, date.fromisoformat(config.day))
            limits = Limits(steps=preset.sub_agent)
            return Environment(make_tools, system=system + workplace, context=config.strategy, limits=limits)
        system = config.system or ORCHESTRATOR[config.language]
        return SwarmConfig(
            make_tools,
            preset=preset,
            most_agents=config.most_agents,
            context=config.strategy,
            sub_context=config.strategy,
            context_tokens=config.context_tokens,
            language=config.language,
            artefacts=self.folder / ARTEFACTS,
            system=system + (AUTO[config.language] if config.mode == "auto" else ""),
            workplace=workplace,
            depth=config.depth,
            started=ended,
        ).orchestrator()

    def figures(self) -> Figures:
        """How it went so far."""
        return figures(self.events)


def figures(events: list[Event]) -> Figures:
    """The figures of a journal."""
    counter, usage, serial = StepCounter(), Usage(), 0.0
    for event in events:
        counter.take(event)
        if "usage" in event.data:
            usage = usage + Usage(*event.data["usage"])
            serial += float(event.data["seconds"])
        elif event.kind == "tool.finished" and not _delegates(event):
            serial += float(event.data["seconds"])
    agents = sum(event.kind == "agent.created" for event in events) - 1
    took = events[-1].time - events[0].time - stopped_seconds(events) - paused_seconds(events) if events else 0.0
    path = sum(link.seconds for link in critical_path(events) if link.spent != "stopped")
    return Figures(counter.critical, counter.total, max(0, agents), took, path, serial, usage)


def ended(events: Sequence[Event]) -> Outcome | None:
    """How the main agent ended; None while it has not."""
    for event in reversed(events):
        if event.kind == "agent.finished" and event.agent == MAIN:
            return outcome_from(event.data["outcome"])
    return None


def stopped_seconds(events: Sequence[Event]) -> float:
    """The time between each stop or kill and the resume behind it."""
    pairs = zip(events, events[1:], strict=False)
    return sum(after.time - before.time for before, after in pairs if after.kind == "run.resumed")


def _delegates(event: Event) -> bool:
    """Whether a call's time is that of a sub-agent, which is counted there."""
    return event.data["name"] == "assign_task"
