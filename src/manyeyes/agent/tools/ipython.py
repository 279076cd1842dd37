"""`ipython`: Python with a memory: what one call defines, the next one finds; plots come back as pictures.

Report: App. D (tools: IPython), App. E.8.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.sandbox_disk import Snapshot, changed, snapshot
from manyeyes.agent.tools.foreign_picture import foreign_picture
from manyeyes.agent.tools.ipython_pool import STARTED_ANEW, KernelPool
from manyeyes.agent.tools.ipython_shown import Executed, Shown
from manyeyes.agent.tools.shell import INSIDE, LONGEST_SHOWN, MOST_SECONDS, MOST_WAITING, OUTSIDE, clipped, plain
from manyeyes.agent.toolset import Failure, Functions, ToolResult, tool
from manyeyes.agent.workspace import ARTEFACTS, Workspace
from manyeyes.core.media import MediaError
from manyeyes.core.messages import ImagePart, Part, TextPart

MOST_PICTURES = 8
"""Of one call, that the model sees."""
LOST = "[The kernel is new: {why}. Variables, imports and definitions of earlier calls are lost; files are not.]\n"

ABOUT = """Run Python code in IPython and see what it prints, its last value, and plots (matplotlib) as pictures.
Variables are kept from call to call. {places} Start a line with ! for the shell. There is no input().

Args:
    code: Python.
    seconds: time limit; then the code is interrupted, and variables are kept if it stops at once.
"""


class IPython:
    """The kernel of one agent; a toolset.

    Args:
        kernels: of the run.
        workspace: of the agent.
        agent: its name.
        noted: what its calls left behind before the run was interrupted.
    """

    def __init__(
        self, kernels: KernelPool, workspace: Workspace, agent: str, noted: Iterable[dict[str, Any]] = ()
    ) -> None:
        self.kernels, self.workspace, self.agent = kernels, workspace, agent
        self._lost = STARTED_ANEW if any("ipython" in data for data in noted) else ""

    def functions(self) -> Functions:
        """The tool."""

        @tool(seconds=MOST_WAITING)
        async def ipython(code: str, seconds: float = 120.0) -> ToolResult:
            return await self.run(code, seconds=seconds)

        ipython.__doc__ = ABOUT.format(places=INSIDE if self.kernels.sandbox.confines else OUTSIDE)
        return Functions([ipython])

    async def run(self, code: str, *, seconds: float) -> ToolResult:
        """Run code; calls of one agent wait for each other."""
        if not code.strip():
            return ToolResult.failed("bad_arguments", "code must be one or more lines of Python")
        if not 0 < seconds <= MOST_SECONDS:
            return ToolResult.failed("bad_arguments", f"seconds must be above 0 and at most {MOST_SECONDS:g}")
        before = await asyncio.to_thread(snapshot, self.workspace.artefacts)
        most = self.kernels.limits.output_bytes
        try:
            done, lost = await self.kernels.execute(self.agent, self.workspace, code, seconds=seconds, most=most)
        except SandboxUnavailable as error:
            return ToolResult.failed("crash", str(error))
        lost, self._lost = lost or self._lost, ""
        result = await asyncio.to_thread(result_of, done, lost=lost, seconds=seconds, most=most)
        return replace(result, data={"ipython": done.count} | await self._files(before))

    async def close(self) -> None:
        """End its kernel."""
        await self.kernels.release(self.agent)

    async def _files(self, before: Snapshot) -> dict[str, Any]:
        after = await asyncio.to_thread(snapshot, self.workspace.artefacts)
        names = changed(before, after, top=ARTEFACTS)
        return {"files": names} if names else {}


def result_of(done: Executed, *, lost: str, seconds: float, most: int) -> ToolResult:
    """What the model sees of some code that ran. Decodes pictures: call it in a thread.

    Args:
        lost: why the kernel is a new one; "" when it is not.
        seconds, most: its limits.
    """
    parts = [TextPart(LOST.format(why=lost))] if lost else []
    parts += shown_parts(done.shown)
    failure, why = _failure(done, seconds, most)
    if why:
        parts.append(TextPart(f"\n[{why}]"))
    return ToolResult(tuple(parts) or (TextPart("[no output]"),), failure)


def _failure(done: Executed, seconds: float, most: int) -> tuple[Failure, str]:
    match done.status:
        case "timeout":
            return "timeout", f"interrupted: it took longer than {seconds:g} s. Variables are kept"
        case "too_much":
            return "", f"interrupted: it showed more than {most:,} characters. Show less. Variables are kept"
        case "died":
            return "crash", f"the kernel died: {done.why}. Variables are lost; the next call starts a new kernel"
        case _:
            return "", ""


def shown_parts(shown: Iterable[Shown]) -> list[Part]:
    """Text in stretches, each clipped when all of it is too long, and pictures between them."""
    stretches: list[Part] = []
    text, pictures = "", 0
    for one in shown:
        if one.kind == "text":
            text += one.text
            continue
        pictures += 1
        part = _picture(one) if pictures <= MOST_PICTURES else TextPart("[one more picture, not shown]\n")
        stretches += [*_text(text), part]
        text = ""
    return [*stretches, *_text(text)]


def _text(text: str) -> list[Part]:
    text = clipped(plain(text), LONGEST_SHOWN)
    return [TextPart(text)] if text.strip() else []


def _picture(shown: Shown) -> Part:
    try:
        return ImagePart(foreign_picture(shown.content, name="the plot"))
    except MediaError as error:
        return TextPart(f"[a picture that cannot be shown: {error}]\n")
