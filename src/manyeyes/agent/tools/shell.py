"""`shell`: one command, one sandbox; folder and exported variables are kept from one command to the next.

A shell that lived on would keep what a command left running, too. Instead the tool notes, when a command ends, where it
was and what it exported, and begins the next one there. The notes go into `ToolResult.data`, so that an interrupted
agent finds its folder and variables again.

Report: App. D (tools), App. E.8.
"""

import asyncio
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manyeyes.agent.sandbox import Sandbox, SandboxUnavailable
from manyeyes.agent.sandbox_disk import Snapshot, changed, snapshot
from manyeyes.agent.sandbox_exchange import read_back
from manyeyes.agent.sandbox_process import Ran, Room
from manyeyes.agent.toolset import Functions, ToolResult, tool
from manyeyes.agent.workspace import ARTEFACTS, WORK, Workspace
from manyeyes.core.messages import TextPart

LONGEST_SHOWN = 16_000
"""Characters of output that the model sees: the first and the last half of these."""
MOST_SECONDS = 600.0
MOST_WAITING = 4 * MOST_SECONDS
"""For a call that waits behind others of its agent."""
LONGEST_VARIABLES = 16_384
"""Characters of exported variables that are kept."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])")
_OWN = frozenset(("_", "PWD", "OLDPWD", "SHLVL"))

ABOUT = """Run a shell command (bash) and read what it prints. {places}
Exported variables and the current folder are kept for the next command; processes are not. There is no terminal and no
input.

Args:
    command: one or more lines of shell.
    seconds: time limit; then the command is stopped, and what it printed so far is given.
"""
INSIDE = (
    "It runs in a sandbox without network: /workspace is yours (the current folder), /inputs is read-only, "
    "/artefacts is shared with other agents, and nothing else can be written."
)
OUTSIDE = (
    "It runs without a sandbox. The current folder is yours; inputs are in $INPUTS, and what is to be kept goes to "
    "$ARTEFACTS, which is shared with other agents."
)


@dataclass
class ShellState:
    """What one command leaves to the next.

    Attributes:
        cwd: inside.
        env: variables that differ from those a fresh sandbox has.
    """

    cwd: str = WORK
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def noted(cls, noted: Iterable[dict[str, Any]]) -> "ShellState":
        """As the last finished command left it."""
        found = cls()
        for data in noted:
            if isinstance(kept := data.get("shell"), dict):
                found = cls(kept["cwd"], dict(kept["env"]))
        return found

    @property
    def prologue(self) -> str:
        """Shell that brings it about."""
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.env.items()]
        return "\n".join([f"cd -- {shlex.quote(self.cwd)} 2>/dev/null || cd -- {WORK}", *exports])


class Shell:
    """The shell of one agent.

    Args:
        sandbox: of the run.
        workspace: of the agent.
        noted: what its calls left behind before the run was interrupted.
    """

    def __init__(self, sandbox: Sandbox, workspace: Workspace, noted: Iterable[dict[str, Any]] = ()) -> None:
        self.sandbox, self.workspace = sandbox, workspace
        cwd = WORK if sandbox.confines else str(workspace.work)
        self.state = ShellState(cwd)
        if (kept := ShellState.noted(noted)) != ShellState():
            self.state = kept
        self._one_at_a_time = asyncio.Lock()

    def functions(self) -> Functions:
        """The tool."""

        @tool(seconds=MOST_WAITING)
        async def shell(command: str, seconds: float = 120.0) -> ToolResult:
            return await self.run(command, seconds=seconds)

        shell.__doc__ = ABOUT.format(places=INSIDE if self.sandbox.confines else OUTSIDE)
        return Functions([shell])

    async def run(self, command: str, *, seconds: float) -> ToolResult:
        """Run a command; commands of one agent wait for each other."""
        if "\0" in command or not command.strip():
            return ToolResult.failed("bad_arguments", "command must be one or more lines of shell")
        if not 0 < seconds <= MOST_SECONDS:
            return ToolResult.failed("bad_arguments", f"seconds must be above 0 and at most {MOST_SECONDS:g}")
        async with self._one_at_a_time:
            exchange = self.sandbox.exchange()
            try:
                return await self._run(command, exchange, seconds)
            except SandboxUnavailable as error:
                return ToolResult.failed("crash", str(error))
            finally:
                await self.sandbox.discard(exchange)

    async def _run(self, command: str, exchange: Path, seconds: float) -> ToolResult:
        inside = self.sandbox.inside(exchange)
        (exchange / "command").write_text(command + "\n", encoding="utf-8", errors="replace")
        (exchange / "begin").write_text(self._script(inside), encoding="utf-8", errors="replace")
        room = Room(self.workspace, exchange)
        before = await asyncio.to_thread(snapshot, self.workspace.artefacts)
        ran = await self.sandbox.run([self.sandbox.shell, f"{inside}/begin"], room, seconds=seconds)
        data = self._left(room) | await self._files(before)
        text = told(ran, self.sandbox.limits.output_bytes)
        if ran.timed_out:
            return ToolResult((TextPart(text),), "timeout", data)
        return ToolResult((TextPart(text),), data=data | {"status": ran.status})

    def _script(self, inside: str) -> str:
        """Begins where the last command ended, and notes where this one ends, whatever it ends with."""
        note = f"/usr/bin/env -0 > {inside}/env; pwd > {inside}/cwd"
        return f"{self.state.prologue}\ntrap 'ended=$?; {note}; exit $ended' EXIT\n. {inside}/command\n"

    def _left(self, room: Room) -> dict[str, Any]:
        """Take over what the command left, and say so where it differs; a command that was killed left nothing."""
        cwd = read_back(room.exchange, "cwd").decode(errors="replace").removesuffix("\n")
        if not cwd.startswith("/"):
            return {}
        state = ShellState(cwd, _variables(read_back(room.exchange, "env"), self.sandbox.environment(room)))
        if state == self.state:
            return {}
        self.state = state
        return {"shell": {"cwd": state.cwd, "env": state.env}}

    async def _files(self, before: Snapshot) -> dict[str, Any]:
        after = await asyncio.to_thread(snapshot, self.workspace.artefacts)
        names = changed(before, after, top=ARTEFACTS)
        return {"files": names} if names else {}


def _variables(environment: bytes, base: Mapping[str, str]) -> dict[str, str]:
    """Variables that are other than those in `base`, as far as they are text and not too long."""
    found, left = {}, LONGEST_VARIABLES
    for entry in environment.decode(errors="replace").split("\0"):
        name, equals, value = entry.partition("=")
        if equals and name not in _OWN and _NAME.fullmatch(name) and base.get(name) != value:
            left -= len(entry)
            if left >= 0:
                found[name] = value
    return found


def told(ran: Ran, most: int) -> str:
    """What the model reads of a command."""
    text = clipped(plain(ran.output.decode(errors="replace")))
    parts = [text.rstrip("\n")] if text.strip() else []
    if ran.timed_out or ran.stopped:
        parts.append(f"[stopped: {ran.stopped}]")
        if len(ran.output) >= most:
            parts.append("[print less, or write it to a file and look at parts of that]")
    elif ran.status:
        parts.append(f"[exit status {ran.status}]")
    return "\n".join(parts) or "[no output]"


def plain(text: str) -> str:
    """Without colours, and without lines that a progress bar wrote over.

    Example:
        >>> plain("\\x1b[31mred\\x1b[0m 10%\\r 20%")
        ' 20%'
    """
    # Not by one expression over all of it: on a long line its time would grow with the square of the length.
    lines = _ESCAPES.sub("", text).replace("\0", "").split("\n")
    return "\n".join(line[line.rfind("\r", 0, max(0, len(line) - 1)) + 1 :] for line in lines)


def clipped(text: str, most: int = LONGEST_SHOWN) -> str:
    """The first and the last of a long text.

    Example:
        >>> clipped("abcdefgh", 4)
        'ab\\n[... 4 characters left out ...]\\ngh'
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"
