"""The six tools of a coding agent: bash, create_file, insert, view, str_replace, submit.

Files are read and written here, through `Workspace`, and commands run in the sandbox; both know the same names. The
repository is the agent's folder, /workspace.

Report: App. E.5.
"""

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import replace

from manyeyes.agent.environments.repository import Files, Submission, lay_out, submitted
from manyeyes.agent.environments.shared_sandbox import Furnished, SharedSandbox
from manyeyes.agent.tools.files import FileTools, refusing
from manyeyes.agent.tools.shell import Shell
from manyeyes.agent.toolset import Functions, ToolResult, tool
from manyeyes.agent.workspace import PathRefused, Workspace
from manyeyes.core.messages import Tool, ToolCall

BASH_SECONDS = 120.0
LONGEST_CALL = 900.0
SUBMITTED = "submission"
"""What a submission is called in records."""
ROOM = "coding-room"
NAMED = 20
"""Files that are named of those that were left out."""


class CodingTools:
    """The tools of one attempt; a toolset.

    Args:
        shared: where commands run.
        files: of the repository.
        done: told what is handed in.
    """

    def __init__(self, shared: SharedSandbox, files: Files, done: Callable[[Submission], None]) -> None:
        self._shared, self._original, self._done = shared, files, done
        self._furnished: Furnished | None = None
        self._shell: Shell | None = None
        used = [self.bash, self.create_file, self.insert, self.view, self.str_replace, self.submit]
        self._functions = Functions(used, seconds=LONGEST_CALL)
        self.repeatable = self._functions.repeatable

    @property
    def tools(self) -> Sequence[Tool]:
        """See `Toolset.tools`."""
        return self._functions.tools

    @property
    def workspace(self) -> Workspace:
        """Of the attempt."""
        assert self._furnished is not None, "tools are opened before they are called"
        return self._furnished.workspace

    async def open(self) -> None:
        """Lay out the repository."""
        sandbox = await self._shared.sandbox()
        self._furnished = await self._shared.furnished(lambda workspace: lay_out(workspace, self._original))
        self._shell = Shell(sandbox, self.workspace)
        self._files = FileTools(self.workspace)

    async def close(self) -> None:
        """Remove it."""
        furnished, self._furnished = self._furnished, None
        if furnished is not None:
            await furnished.remove()

    async def call(self, call: ToolCall) -> ToolResult:
        """See `Toolset.call`; each result notes that there was a room, which does not outlive an interruption."""
        result = await self._functions.call(call)
        return replace(result, data={ROOM: True} | result.data)

    async def bash(self, command: str, seconds: float = BASH_SECONDS) -> ToolResult:
        """Run a command in bash and read what it prints. The repository is in /workspace, where it begins. Exported
        variables and the current folder are kept for the next command; processes are not. There is no network, no
        terminal and no input.

        Args:
            command: one or more lines of shell.
            seconds: time limit; then the command is stopped, and what it printed so far is given.
        """
        assert self._shell is not None, "tools are opened before they are called"
        return await self._shell.run(command, seconds=seconds)

    async def create_file(self, path: str, file_text: str) -> ToolResult:
        """Create a text file, with the folders above it. A file that is there already is replaced.

        Args:
            path: of the file, such as /workspace/notes.txt.
            file_text: all that it is to hold.
        """
        return await self._files.write_file(path, file_text)

    @refusing
    async def insert(self, path: str, line: int, text: str) -> ToolResult:
        """Insert lines into a text file.

        Args:
            path: of the file.
            line: number of the line behind which they go; 0 for the beginning of the file.
            text: the lines.
        """
        content = await asyncio.to_thread(self._text, path)
        lines = list(io.StringIO(content, newline="\n"))  # as `view` numbers them, not as `str.splitlines` does
        if not 0 <= line <= len(lines):
            raise PathRefused(f"{path} has lines 1 to {len(lines)}; {line} is none of them, and not 0")
        if line and not lines[line - 1].endswith("\n"):
            lines[line - 1] += "\n"
        added = text if text.endswith("\n") or line == len(lines) else f"{text}\n"
        return await self._files.write_file(path, "".join([*lines[:line], added, *lines[line:]]))

    @tool(repeatable=True)
    @refusing
    async def view(self, path: str = "/workspace", line: int = 1) -> ToolResult:
        """See a text file with numbered lines, or which files a folder holds.

        Args:
            path: of the file or folder.
            line: number of the line to begin with.
        """
        if await asyncio.to_thread(self._is_file, path):
            return await self._files.read_file(path, line)
        return await self._files.list_files(path)

    async def str_replace(self, path: str, old_str: str, new_str: str) -> ToolResult:
        """Replace one passage of a text file.

        Args:
            path: of the file.
            old_str: the passage as it stands there; it must stand there exactly once.
            new_str: what is to stand there instead.
        """
        result = await self._files.edit_file(path, old_str, new_str)
        return ToolResult.failed("refused", _renamed(result.text)) if result.failure else result

    async def submit(self) -> ToolResult:
        """Hand in the repository as it is now. This ends the task."""
        handed = await asyncio.to_thread(submitted, self.workspace, self._original)
        self._done(handed)
        told = f"Handed in: {len(handed.changed)} files changed, {len(handed.removed)} removed."
        if handed.left_out:
            more = f" and {len(handed.left_out) - NAMED} more" if len(handed.left_out) > NAMED else ""
            told += f" Left out, because they are no text or too much: {', '.join(handed.left_out[:NAMED])}{more}."
        return ToolResult.of(told, **{SUBMITTED: handed._asdict()})

    def _is_file(self, path: str) -> bool:
        first = next(iter(self.workspace.files(path, most=1)), None)
        return first is not None and first.path == self.workspace.place(path).shown

    def _text(self, path: str) -> str:
        try:
            return self.workspace.read(path, most=2**23).decode()
        except UnicodeDecodeError:
            raise PathRefused(f"{path} is no text in UTF-8") from None


def _renamed(why: str) -> str:
    """A refusal of `edit_file` in this tool's words."""
    return why.removeprefix("Error: ").replace("`old`", "`old_str`")
