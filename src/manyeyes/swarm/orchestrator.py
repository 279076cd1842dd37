"""The orchestrator's two tools: `create_subagent` registers a specification, `assign_task` runs a fresh instance of it.

    several assign_task calls in one answer    run at once, one group
    one name assigned twice                    two instances, no shared memory
    what comes back                            a status line and the last message, clipped to a share of the context;
                                               the whole is kept as an artefact

Sub-agents get every tool but these two (depth 1; `SwarmConfig.depth` allows more), their own context and their own
limits. Only results flow back.

Report: §3 (context sharding), App. E.8 (schemas, prompt, step limits).
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from manyeyes.agent.budget import Limits
from manyeyes.agent.chat_model import DEFAULT_SAMPLING, Sampling
from manyeyes.agent.context import BYTES_A_TOKEN, ContextStrategy, ShowAll
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import Together, ToolResult, Toolset, unknown_tool
from manyeyes.agent.workspace import ARTEFACTS, PathRefused, Workspace
from manyeyes.core.journal import JournalError
from manyeyes.core.messages import Tool, ToolCall
from manyeyes.swarm.prompts import ARGUMENTS, ASSIGN_TASK, CREATE_SUBAGENT, ORCHESTRATOR, RETURN_CONTRACT, Language

CREATE, ASSIGN = "create_subagent", "assign_task"
LONGEST_RESULT = 8_000
"""Tokens of a result that come back at most."""
SHARE_OF_CONTEXT = 0.5
"""Of the free context, that all results of a round may fill together."""


class Preset(NamedTuple):
    """Step limits of the orchestrator and of each sub-agent (App. E.8)."""

    orchestrator: int
    sub_agent: int


PRESETS = {"browsecomp": Preset(15, 100), "widesearch": Preset(100, 100), "internal": Preset(100, 50)}


class CreateSubagent(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `create_subagent`."""

    name: str
    system_prompt: str


class AssignTask(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `assign_task`."""

    agent: str
    prompt: str


def swarm_tools(language: Language = "en") -> tuple[Tool, Tool]:
    """The declarations of App. E.8.

    Example:
        >>> [tool.name for tool in swarm_tools()]
        ['create_subagent', 'assign_task']
    """
    said = ARGUMENTS[language]

    def declared(name: str, description: str, *arguments: str) -> Tool:
        properties = {argument: {"type": "string", "description": said[argument]} for argument in arguments}
        return Tool(name, description, {"type": "object", "properties": properties, "required": list(arguments)})

    return (
        declared(CREATE, CREATE_SUBAGENT[language], "name", "system_prompt"),
        declared(ASSIGN, ASSIGN_TASK[language], "agent", "prompt"),
    )


@dataclass(frozen=True)
class SwarmConfig:
    """What a swarm is made of.

    Attributes:
        make_tools: the tools of every agent, orchestrator and sub-agents alike, for each anew.
        preset: step limits.
        most_agents: sub-agents of a run at most; a call beyond is refused with a reason.
        context: the orchestrator's strategy; sub-agents use `sub_context`.
        context_tokens: of the model; results are clipped to what is free of it.
        language: of prompts and declarations.
        artefacts: folder for whole results and files; None keeps none.
        system: of the orchestrator; the report's when "".
        workplace: told to every agent behind its system prompt, such as where files are.
        depth: levels of sub-agents below the orchestrator.
        started: sub-agents of an interrupted run whose results are known; the others are started again, and counted
            then.
    """

    make_tools: Callable[[Ctx], Toolset]
    preset: Preset = PRESETS["internal"]
    most_agents: int = 300
    context: ContextStrategy = ShowAll()
    sub_context: ContextStrategy = ShowAll()
    sampling: Sampling = DEFAULT_SAMPLING
    context_tokens: int = 256_000
    language: Language = "en"
    artefacts: Path | None = None
    system: str = ""
    workplace: str = ""
    depth: int = 1
    started: int = 0

    def orchestrator(self) -> Environment:
        """The environment of the main agent."""
        count = Count(self.started)
        return Environment(
            lambda ctx: Together(Delegation(self, ctx, count), self.make_tools(ctx)),
            system=(self.system or ORCHESTRATOR[self.language]) + self.workplace,
            context=self.context,
            limits=Limits(steps=self.preset.orchestrator),
            sampling=self.sampling,
        )

    def sub_agent(self, system_prompt: str, count: "Count | None" = None) -> Environment:
        """The environment of a sub-agent; one that is not at the lowest level can delegate, too."""
        shared = count or Count()

        def make_tools(ctx: Ctx) -> Toolset:
            tools = self.make_tools(ctx)
            return tools if ctx.agent.count("/") >= self.depth else Together(Delegation(self, ctx, shared), tools)

        return Environment(
            make_tools,
            system=system_prompt + self.workplace + RETURN_CONTRACT[self.language],
            context=self.sub_context,
            limits=Limits(steps=self.preset.sub_agent),
            sampling=self.sampling,
        )


@dataclass
class Count:
    """Sub-agents that a whole run has started."""

    started: int = 0


@dataclass
class Delegation:
    """The toolset of one orchestrator.

    Attributes:
        count: of the whole run.
        specs: system prompts by name.
        assigned: sub-agents that this one has started.
    """

    config: SwarmConfig
    ctx: Ctx
    count: Count = field(default_factory=Count)
    specs: dict[str, str] = field(default_factory=dict)
    assigned: int = 0

    repeatable = frozenset((CREATE, ASSIGN))
    """A sub-agent that was started goes on; one that was not is started now."""

    def __post_init__(self) -> None:
        self.tools: Sequence[Tool] = swarm_tools(self.config.language)

    async def open(self) -> None:
        """Take up what an interrupted run had created."""
        for data in self.ctx.noted:
            if CREATE in data:
                self.specs[data[CREATE]["name"]] = data[CREATE]["system_prompt"]
            self.assigned += ASSIGN in data

    async def close(self) -> None:
        """Sub-agents end with the calls that started them."""

    async def call(self, call: ToolCall) -> ToolResult:
        """Create or assign."""
        kinds = {CREATE: CreateSubagent, ASSIGN: AssignTask}
        if call.name not in kinds:
            return unknown_tool(call.name, kinds)
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=kinds[call.name])
        except msgspec.DecodeError as error:
            return ToolResult.failed("bad_arguments", f"the arguments of {call.name} are wrong: {error}")
        return self._create(arguments) if isinstance(arguments, CreateSubagent) else await self._assign(call, arguments)

    def _create(self, wanted: CreateSubagent) -> ToolResult:
        if not wanted.name.strip():
            return ToolResult.failed("bad_arguments", "a sub-agent needs a name")
        if wanted.name in self.specs:
            names = ", ".join(sorted(self.specs))
            return ToolResult.failed("refused", f"{wanted.name!r} exists already; there are {names}. Use another name")
        self.specs[wanted.name] = wanted.system_prompt
        result = ToolResult.of(f"Created sub-agent {wanted.name!r}. Give it work with {ASSIGN}.")
        return replace(result, data={CREATE: {"name": wanted.name, "system_prompt": wanted.system_prompt}})

    async def _assign(self, call: ToolCall, wanted: AssignTask) -> ToolResult:
        if wanted.agent not in self.specs:
            names = ", ".join(sorted(self.specs)) or "none yet"
            return ToolResult.failed("refused", f"no sub-agent {wanted.agent!r}; there are: {names}. Create it first")
        most = self.config.most_agents
        if self.count.started >= most:
            return ToolResult.failed(
                "refused", f"this run may start {most} sub-agents, all are used; go on with what you have"
            )
        self.assigned, self.count.started = self.assigned + 1, self.count.started + 1
        task = Task(f"{self.ctx.agent}/{call.id}", wanted.prompt)
        environment = self.config.sub_agent(self.specs[wanted.agent], self.count)
        outcome = await self.ctx.spawn(task, environment, role=wanted.agent)
        return self._told(wanted, outcome)

    def _told(self, wanted: AssignTask, outcome: Outcome) -> ToolResult:
        status = "finished" if outcome.finished else f"{outcome.stop}: {outcome.reason}"
        limit = self.longest_result
        text = outcome.text or "(it said nothing)"
        artefact = self._keep(outcome.data["agent"], text) if len(text.encode()) > limit else ""
        told = f"[{wanted.agent}: {status}]\n{clipped(text, limit=limit, rest=artefact)}"
        note = {"agent": wanted.agent, "stop": outcome.stop, "steps": outcome.steps, "turns": outcome.turns}
        return replace(ToolResult.of(told), data={ASSIGN: note | ({"artefact": artefact} if artefact else {})})

    @property
    def longest_result(self) -> int:
        """Bytes of one result: so many that those of all sub-agents so far leave half of the context free."""
        fair = SHARE_OF_CONTEXT * self.config.context_tokens / max(1, self.assigned)
        return int(min(LONGEST_RESULT, fair) * BYTES_A_TOKEN)

    def _keep(self, agent: str, text: str) -> str:
        if self.config.artefacts is None:
            return ""
        self.config.artefacts.mkdir(parents=True, exist_ok=True)
        return written_once(self.config.artefacts, f"result-{agent.replace('/', '-')}", text)


def written_once(folder: Path, stem: str, text: str) -> str:
    """Write a result where agents find it; returns the name by which they do.

    Code of agents writes to this folder, too: what it put there under this name, perhaps a link to somewhere else, is
    left alone.

    Raises:
        JournalError: the disk is full or gone; the run goes on when it is resumed.
    """
    content, place = text.encode(), Workspace(folder, folder, folder)
    for name in (f"{ARTEFACTS}/{stem}.md", f"{ARTEFACTS}/{stem}-{secrets.token_hex(4)}.md"):
        if _holds(place, name, content):  # since before the run was interrupted
            return name
        try:
            with place.open(name, "x") as file:
                file.write(content)
            return name
        except PathRefused as error:
            why = str(error)
        except OSError as error:
            (folder / PurePosixPath(name).name).unlink(missing_ok=True)
            why = f"{name}: {error.strerror}"
    raise JournalError(f"{why}; free some space and resume the run")


def _holds(place: Workspace, name: str, content: bytes) -> bool:
    try:
        return place.read(name, most=len(content)) == content
    except PathRefused:
        return False


def clipped(text: str, *, limit: int, rest: str = "") -> str:
    """Head and tail of a text that is too long, and where the whole is.

    Args:
        limit: bytes of UTF-8.
        rest: path of the whole text; "" where there is none.

    Example:
        >>> clipped("short", limit=100)
        'short'
    """
    content = text.encode()
    if len(content) <= limit:
        return text
    head, tail = content[: limit * 3 // 4].decode(errors="ignore"), content[-(limit // 4) :].decode(errors="ignore")
    where = f"; the whole is in {rest}" if rest else ""
    return f"{head}\n[… {len(content) - limit:,} bytes left out{where} …]\n{tail}"
