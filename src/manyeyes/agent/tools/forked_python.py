"""`ForkedPython`: Python with a memory for one agent, cheap enough for every attempt of a training run; a toolset.

    python = ForkedPython(pythons, files={"picture.png": content}, about="Run Python. `im` is the picture (numpy).",
                          preamble="im = np.array(Image.open('/inputs/picture.png'))")

Results read as those of `agent.tools.ipython`, but an exception is one line, and `data["status"]` says how a call ended
that did not end well. Nothing is started before the first call, so that an attempt without calls costs nothing. Where
no Python can be had a call raises `PythonLost`: that is no result of what the agent did.

Report: App. D (tools: IPython), §2.2 (pictures are worked on through code in IPython).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.tools.forked_python_child import Child, PythonLost
from manyeyes.agent.tools.forked_python_pool import ForkedPythons
from manyeyes.agent.tools.ipython import result_of
from manyeyes.agent.tools.ipython_pool import STARTED_ANEW
from manyeyes.agent.tools.ipython_shown import Executed
from manyeyes.agent.toolset import ToolResult, unknown_tool
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Tool, ToolCall

ABOUT = "Run Python. Variables are kept; the last value is shown. np, Image and ndimage are imported."
BEGIN_SECONDS = 30.0
"""For files and preamble; what a busy machine takes for them is not the agent's time."""
STOPPED = "its call was stopped"
GONE = "its sandbox ended"


class Code(msgspec.Struct, forbid_unknown_fields=True):
    """The arguments of a call."""

    code: str


class ForkedPython:
    """See the module.

    Args:
        pythons: shared by all agents.
        files: by name; what the agent finds in /inputs.
        preamble: code that runs before its first call; what it shows is dropped.
        about: the tool's description.
        name: of the tool.
        seconds: of each call; those of a child's limits when None.
        noted: what its calls left behind before the run was interrupted.

    Raises:
        ConfigError: a file has a name that is no plain one.
    """

    repeatable: frozenset[str] = frozenset()

    def __init__(
        self, pythons: ForkedPythons, *, files: Mapping[str, bytes] = MappingProxyType({}), preamble: str = "",
        about: str = ABOUT, name: str = "ipython", seconds: float | None = None,
        noted: Iterable[dict[str, Any]] = (),
    ) -> None:  # fmt: skip
        if wrong := [file for file in files if file in ("", ".", "..") or "/" in file or "\0" in file]:
            raise ConfigError(f"files in /inputs have plain names, got {wrong[0]!r}")
        self._pythons, self._files, self._preamble = pythons, files, preamble
        self._seconds = pythons.limits.seconds if seconds is None else seconds
        self.tools: Sequence[Tool] = _declared(name, about)
        self._child: Child | None = None
        self._lost = STARTED_ANEW if any("ipython" in data for data in noted) else ""
        self._calls = 0
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Nothing to get ready: a child is forked for the first call."""

    async def close(self) -> None:
        """End the agent's child."""
        async with self._lock:
            await self._end("")

    async def call(self, call: ToolCall) -> ToolResult:
        """See `Toolset.call`. Raises PythonLost."""
        name = self.tools[0].name
        if call.name != name:
            return unknown_tool(call.name, [name])
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=Code)
        except msgspec.DecodeError as error:
            return ToolResult.failed("bad_arguments", f"the arguments of {name} are wrong: {error}")
        return await self.run(arguments.code)

    async def run(self, code: str) -> ToolResult:
        """Run code; calls of one agent wait for each other. Raises PythonLost."""
        if not code.strip():
            return ToolResult.failed("bad_arguments", "code must be one or more lines of Python")
        async with self._lock:
            done, lost = await self._executed(code)
        limits = {"lost": lost, "seconds": self._seconds, "most": self._pythons.limits.output_bytes}
        result = await asyncio.to_thread(result_of, done, **limits)
        return replace(result, data={"ipython": done.count} | ({} if done.status == "ok" else {"status": done.status}))

    async def _executed(self, code: str) -> tuple[Executed, str]:
        """What became of it, and why earlier variables are lost. Whoever is cancelled leaves no child behind."""
        child = self._child = self._child or await self._begun()
        self._pythons.wake(child)
        try:
            done = await child.execute(code, seconds=self._seconds, most=self._pythons.limits.output_bytes)
        except PythonLost:
            await self._end(GONE)
            raise
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._end(STOPPED)))
            raise
        self._calls += 1
        lost, self._lost = self._lost, ""
        self._pythons.counts.note(done.status)
        if done.status == "died":
            await self._end("")
        else:
            self._rest(child)
        return done, lost

    async def _begun(self) -> Child:
        """A child that has the agent's files and has run the preamble; nothing of the agent's is lost with it.

        Raises:
            PythonLost: there is none.
        """
        try:
            child = await self._pythons.fork()
        except SandboxUnavailable as error:
            raise PythonLost(str(error)) from None
        most = self._pythons.limits.output_bytes
        try:
            await child.begin(self._files, self._preamble, seconds=BEGIN_SECONDS, most=most)
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._pythons.end(child)))
            raise
        return child

    def _rest(self, child: Child) -> None:
        """Until the next call another agent may need the room."""
        calls = self._calls

        async def let_go(why: str) -> None:
            async with self._lock:
                if self._child is child and self._calls == calls:
                    await self._end(why)

        self._pythons.rest(child, let_go)

    async def _end(self, lost: str) -> None:
        child, self._child = self._child, None
        if child is not None:
            self._lost = lost or self._lost
            await self._pythons.end(child)


@lru_cache(maxsize=64)
def _declared(name: str, about: str) -> tuple[Tool, ...]:
    parameters = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}
    return (Tool(name, about, parameters),)
