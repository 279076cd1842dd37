"""`file_tools`: list, read, write, edit and search files of an agent's three folders.

    list_files      names and sizes                        /inputs, /artefacts, /workspace
    read_file       numbered lines, so many at a time      any text: notes, CSV, results that were too long to flow back
    write_file      a whole file
    edit_file       one passage, which must stand there exactly once
    search_files    lines that hold a text

Every name goes through `Workspace`: nothing outside the folders, and no link, is ever followed.

Report: App. F (artefact files), App. E.8.
"""

import codecs
import functools
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple, ParamSpec

from manyeyes.agent.tools.unfinished import Unfinished
from manyeyes.agent.tools.worker import Watch, in_thread
from manyeyes.agent.toolset import Functions, ToolResult, tool
from manyeyes.agent.workspace import ARTEFACTS, INPUTS, WORK, FileEntry, PathRefused, Workspace
from manyeyes.core.errors import ManyeyesError

LINES_A_VIEW = 200
LETTERS_A_VIEW = 24_000
LONGEST_LINE = 2_000
"""Characters; more of a line is left out."""
MOST_LISTED = 500
MOST_FOUND = 50
LARGEST_TEXT = 32 * 2**20
"""Bytes of a file that is read or searched."""
MOST_LINES = 2_000_000
"""Of such a file; each takes sixty bytes of memory, however short it is."""
LARGEST_WRITTEN = 8 * 2**20
SECONDS = 60.0
FIRST_BYTES = 8192
"""In which a zero byte says that a file is no text."""
MOST_ODD = 0.1
"""Of the characters of a text that may be no UTF-8."""
_KINDS = {
    b"\x89PNG": "a picture; read_media shows it", b"\xff\xd8\xff": "a picture; read_media shows it",
    b"GIF8": "a picture; read_media shows it", b"%PDF": "a PDF", b"PK\x03\x04": "an archive (ZIP, XLSX, DOCX)",
    b"\x1f\x8b": "an archive (gzip)", b"SQLite": "a SQLite database",
}  # fmt: skip

P = ParamSpec("P")


class TextFile(NamedTuple):
    """A file as text: its lines, and whether parts of it were no UTF-8."""

    lines: list[str]
    odd: bool


def file_tools(workspace: Workspace) -> Functions:
    """The file tools of one agent."""
    tools = FileTools(workspace)
    return Functions([tools.list_files, tools.read_file, tools.write_file, tools.edit_file, tools.search_files])


def refusing(function: Callable[P, Awaitable[ToolResult]]) -> Callable[P, Any]:
    """A tool whose refusals are values: what a name or a file does not allow is told to the model."""

    @functools.wraps(function)
    async def told(*args: P.args, **kwargs: P.kwargs) -> ToolResult:
        try:
            return await function(*args, **kwargs)
        except ManyeyesError as error:
            return ToolResult.failed("refused", str(error))

    return told


def with_files(text: str, *paths: str) -> ToolResult:
    """A result that left files; those that outlive the agent are noted for the run."""
    kept = [path for path in paths if path.startswith(f"{ARTEFACTS}/")]
    return ToolResult.of(text, **({"files": kept} if kept else {}))


class FileTools:
    """The tools; each agent has its own.

    Args:
        workspace: of the agent.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @tool(repeatable=True)
    @refusing
    async def list_files(self, folder: str = "") -> ToolResult:
        """List files with their sizes, those in folders below included.

        Args:
            folder: such as /inputs, /artefacts or /workspace; all three when left out.
        """
        folders = [folder] if folder.strip() else [INPUTS, ARTEFACTS, WORK]
        return ToolResult.of("\n".join([await in_thread(functools.partial(self._listed, one), seconds=SECONDS)
                                        for one in folders]))  # fmt: skip

    @tool(repeatable=True)
    @refusing
    async def read_file(self, path: str, line: int = 1) -> ToolResult:
        """Read a text file, with numbered lines. A relative path means a file in /workspace.

        Args:
            path: of the file.
            line: number of the line to begin with.
        """
        text = await in_thread(lambda watch: _text_of(self._workspace, path), seconds=SECONDS)
        return ToolResult.of(_view(self._workspace.place(path).shown, text, line))

    @tool(repeatable=True)
    @refusing
    async def write_file(self, path: str, text: str) -> ToolResult:
        """Write a whole text file; replaces what was there. What is to outlive you belongs in /artefacts.

        Args:
            path: of the file.
            text: all that it is to hold.
        """
        content = text.encode("utf-8", errors="replace")
        shown = await in_thread(lambda watch: _write(self._workspace, path, content), seconds=SECONDS)
        return with_files(f"wrote {shown} ({len(content):,} bytes, {len(_lines(text)):,} lines)", shown)

    @refusing
    async def edit_file(self, path: str, old: str, new: str) -> ToolResult:
        """Replace one passage of a text file.

        Args:
            path: of the file.
            old: the passage as it stands there; it must stand there exactly once.
            new: what is to stand there instead.
        """
        shown = await in_thread(lambda watch: _edit(self._workspace, path, old, new), seconds=SECONDS)
        return with_files(f"edited {shown}", shown)

    @tool(repeatable=True)
    @refusing
    async def search_files(self, text: str, folder: str = "") -> ToolResult:
        """Find the lines of text files that hold a text, whatever its case.

        Args:
            text: what to look for.
            folder: where; /inputs, /artefacts and /workspace when left out.
        """
        if not text.strip():
            raise PathRefused("say what to look for")
        return ToolResult.of(await in_thread(lambda watch: self._found(text, folder, watch), seconds=SECONDS))

    def _listed(self, folder: str, watch: Watch) -> str:
        shown, entries, more = self._workspace.place(folder).shown, list[FileEntry](), False
        for entry in self._workspace.files(folder):
            watch.check()
            if more := len(entries) == MOST_LISTED:
                break
            entries.append(entry)
        rest = f"(only the first {MOST_LISTED} are shown; name a folder below {shown})" if more else ""
        listed = "\n".join(f"{entry.path}  {entry.size:,} bytes" for entry in entries)
        return "\n".join(filter(None, (listed or f"{shown}  (no files)", rest)))

    def _found(self, text: str, folder: str, watch: Watch) -> str:
        wanted, found, looked, skipped = text.casefold(), list[str](), 0, 0
        for entry in self._searched(folder):
            watch.check()
            try:
                lines = _text_of(self._workspace, entry.path).lines
            except PathRefused:  # no text, or too large
                skipped += 1
                continue
            looked += 1
            hits = (f"{entry.path}:{number}: {_clipped(line.strip(), 240)}"
                    for number, line in enumerate(lines, 1) if wanted in line.casefold())  # fmt: skip
            found += islice(hits, MOST_FOUND + 1 - len(found))  # a file may hold it millions of times
            if len(found) > MOST_FOUND:
                return "\n".join([*found[:MOST_FOUND], "(there are more; look for something rarer, or in one folder)"])
        left_out = f"; {skipped} files are no text or too large" if skipped else ""
        return "\n".join([*found, f"({len(found)} lines in {looked} text files hold {text!r}{left_out})"])

    def _searched(self, folder: str) -> Iterator[FileEntry]:
        for one in [folder] if folder.strip() else [INPUTS, ARTEFACTS, WORK]:
            yield from self._workspace.files(one)


def _write(workspace: Workspace, path: str, content: bytes) -> str:
    if len(content) > LARGEST_WRITTEN:
        raise PathRefused(f"{len(content):,} bytes are too much for one file, {LARGEST_WRITTEN:,} at most; use several")
    with Unfinished(workspace, path) as new:
        new.file.write(content)
        return new.finish()


def _edit(workspace: Workspace, path: str, old: str, new: str) -> str:
    if not old:
        raise PathRefused("`old` is empty; name the passage that is to be replaced, or use write_file")
    shown, content = workspace.place(path).shown, workspace.read(path, most=LARGEST_WRITTEN)
    there = content.count(old.encode())
    if there == 0:
        why = "; its lines end with \\r\\n" if b"\r\n" in content and "\n" in old else ""
        raise PathRefused(f"{shown} does not hold `old` exactly as you wrote it{why}. Read the file again")
    if there > 1:
        raise PathRefused(f"{shown} holds `old` {there} times; add lines around it until it is the only one")
    return _write(workspace, path, content.replace(old.encode(), new.encode("utf-8", errors="replace")))


def _text_of(workspace: Workspace, path: str) -> TextFile:
    """Lines of a text file.

    Raises:
        PathRefused: it is none, or too large.
    """
    content = workspace.read(path, most=LARGEST_TEXT)
    shown = workspace.place(path).shown
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16", errors="replace")
    elif b"\0" in content[:FIRST_BYTES]:
        raise PathRefused(f"{shown} is no text but {_kind_of(content)} ({len(content):,} bytes)")
    else:
        text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
    if (lines := text.count("\n")) > MOST_LINES:
        raise PathRefused(f"{shown} has {lines:,} lines; {MOST_LINES:,} can be read at most")
    odd = text.count("\N{REPLACEMENT CHARACTER}")
    if odd > MOST_ODD * len(text):
        raise PathRefused(f"{shown} is no text in UTF-8 but {_kind_of(content)} ({len(content):,} bytes)")
    return TextFile(_lines(text), odd > 0)


def _lines(text: str) -> list[str]:
    """As editors count them, not as `str.splitlines` does."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []


def _kind_of(content: bytes) -> str:
    if content[4:8] == b"ftyp" or content.startswith(b"\x1aE\xdf\xa3"):
        return "a video; read_media shows it"
    return next((kind for start, kind in _KINDS.items() if content.startswith(start)), "bytes of an unknown kind")


def _view(shown: str, text: TextFile, first: int) -> str:
    """Lines from number `first` on, as many as a view takes."""
    lines = text.lines
    if not lines:
        return f"{shown} is empty"
    first = max(1, min(first, len(lines)))
    taken, letters = list[str](), 0
    for number in range(first, min(len(lines), first + LINES_A_VIEW - 1) + 1):
        said = f"L{number}: {_clipped(lines[number - 1], LONGEST_LINE)}"
        if taken and letters + len(said) > LETTERS_A_VIEW:
            break
        taken.append(said)
        letters += len(said)
    last = first + len(taken) - 1
    more = f"; go on with line={last + 1}" if last < len(lines) else ""
    odd = "; � stands for what is no UTF-8" if text.odd else ""
    return "\n".join([shown, *taken, f"(lines {first}-{last} of {len(lines)}{more}{odd})"])


def _clipped(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[:most]}… ({len(line) - most:,} more characters)"
