"""`download`: files of the web through the guard into /artefacts or /workspace, each with its own outcome.

    Downloads          one for a run: the connections, and how much the run may still take
    .tools(workspace)  the tool of one agent

A page's name for itself is not trusted: file names are made of the last part of the address, plain characters only,
with the ending that the server's type calls for. Nothing is overwritten, and a file is there whole or not at all.
Agents read what came as text or media, never as a program.

Report: App. E.8, App. F (artefact files); the caps are open choices here.
"""

import asyncio
import mimetypes
import re
import unicodedata
from collections.abc import Iterable
from contextlib import aclosing
from os.path import splitext
from typing import Any, NamedTuple
from urllib.parse import unquote

from aiohttp.abc import AbstractResolver
from yarl import URL

from manyeyes.agent.tools.files import refusing
from manyeyes.agent.tools.guarded_client import Fetched, GuardedClient
from manyeyes.agent.tools.net_guard import FetchError, Guard, TooLarge
from manyeyes.agent.tools.unfinished import Unfinished
from manyeyes.agent.toolset import Functions, ToolResult, tool
from manyeyes.agent.workspace import ARTEFACTS, WORK, PathRefused, Workspace
from manyeyes.core.errors import ManyeyesError

FOLDER = f"{ARTEFACTS}/downloads"
MIB = 2**20
DOWNLOAD_GUARD = Guard(seconds=900.0, most_bytes=256 * MIB, most_sent=256 * MIB)
MOST_OF_A_RUN = 2048 * MIB
MOST_URLS = 20
AT_ONCE = 8
"""Files of a run that are under way; the others of a call wait."""
LONGEST_NAME = 120
"""Bytes of a file's name."""
LONGEST_ENDING = 12
SECONDS = 1800.0
PLAIN = ("", "application/octet-stream", "binary/octet-stream", "application/x-download")
"""Types that say nothing."""
ENDINGS = {
    "image/jpeg": ".jpg", "text/plain": ".txt", "text/html": ".html", "text/markdown": ".md", "video/quicktime": ".mov",
    "image/webp": ".webp", "application/x-ndjson": ".jsonl", "application/gzip": ".gz", "text/csv": ".csv",
}  # fmt: skip


class Got(NamedTuple):
    """One address: the file, or why there is none."""

    url: str
    path: str = ""
    size: int = 0
    kind: str = ""
    why: str = ""

    def __str__(self) -> str:
        kind = f", {self.kind}" if self.kind else ""
        return f"- {self.url}: " + (f"{self.path} ({self.size:,} bytes{kind})" if self.path else f"Error: {self.why}")


class Downloads:
    """Downloads of all agents of a run.

    Args:
        guard: what may be reached, and how much a file may hold.
        most: bytes of the whole run.
        resolver: of names; the system's when None.
    """

    def __init__(
        self, guard: Guard = DOWNLOAD_GUARD, *, most: int = MOST_OF_A_RUN, resolver: AbstractResolver | None = None
    ) -> None:
        self.most, self.taken = most, 0
        self._client = GuardedClient(guard, resolver=resolver)
        self._at_once = asyncio.Semaphore(AT_ONCE)

    def tools(self, workspace: Workspace, noted: Iterable[dict[str, Any]] = ()) -> Functions:
        """The tool of one agent.

        Args:
            noted: what its finished calls left behind before an interruption: it counts towards the run's cap.
        """
        self.taken += sum(data.get("downloaded", 0) for data in noted)
        return Functions([DownloadTool(self, workspace).download], seconds=SECONDS)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def get(self, url: str, workspace: Workspace, folder: str) -> Got:
        """One file; what goes wrong is told, not raised."""
        try:
            async with self._at_once:
                return await self._get(url, workspace, folder)
        except (ManyeyesError, OSError) as error:  # OSError: no space left, for one
            return Got(url, why=str(error))

    async def _get(self, url: str, workspace: Workspace, folder: str) -> Got:
        async with aclosing(self._client.stream(url)) as pieces:
            head = await anext(pieces)
            if not isinstance(head, Fetched):
                raise FetchError(f"{url} sent no head")
            with Unfinished(workspace, f"{folder}/{file_name(head.url, head.content_type)}") as new:
                size = 0
                async for piece in pieces:
                    if isinstance(piece, bytes):
                        size += len(piece)
                        self._take(len(piece))
                        new.file.write(piece)
                return Got(url, new.finish(number=True), size, head.content_type)

    def _take(self, size: int) -> None:
        """Counted as it comes, so that files that are under way at once share what is left."""
        if self.taken + size > self.most:
            raise TooLarge(f"the downloads of this run may take {self.most:,} bytes, which are used up")
        self.taken += size


class DownloadTool:
    """The tool; each agent has its own."""

    def __init__(self, downloads: Downloads, workspace: Workspace) -> None:
        self._downloads, self._workspace = downloads, workspace

    @tool(repeatable=True)
    @refusing
    async def download(self, urls: list[str], folder: str = FOLDER) -> ToolResult:
        """Download files, several at once, without looking into them. To read a page, open it instead.

        Args:
            urls: addresses of the files.
            folder: where they go, below /artefacts or /workspace.
        """
        if not urls or len(urls) > MOST_URLS:
            raise PathRefused(f"give 1 to {MOST_URLS} addresses, got {len(urls)}")
        place = self._workspace.place(folder)
        if place.top not in (ARTEFACTS, WORK):
            raise PathRefused(f"{place.shown} cannot be written; name a folder below {ARTEFACTS} or {WORK}")
        wanted = list(dict.fromkeys(url.strip() for url in urls))
        got = await asyncio.gather(*(self._downloads.get(url, self._workspace, place.shown) for url in wanted))
        return told(got)


def told(got: Iterable[Got]) -> ToolResult:
    """Each outcome; a failure when there is no file at all."""
    got = list(got)
    text, paths = "\n".join(map(str, got)), [one.path for one in got if one.path]
    if not paths:
        return ToolResult.failed("refused", f"nothing could be downloaded\n{text}")
    kept = [path for path in paths if path.startswith(f"{ARTEFACTS}/")]
    return ToolResult.of(text, files=kept, downloaded=sum(one.size for one in got))


def file_name(url: str, kind: str) -> str:
    """A plain file name for what came from an address.

    Args:
        kind: that the server said.

    Example:
        >>> file_name("https://a.example/data/table%20one.csv?x=1", "text/csv"), file_name("https://a.example/", "text/html")
        ('table-one.csv', 'a.example.html')
    """  # noqa: E501
    parsed = URL(url)
    last = unquote(parsed.raw_path.rstrip("/").rpartition("/")[2]) or parsed.host or "file"
    stem, ending = splitext(re.sub(r"[^\w.+-]+", "-", unicodedata.normalize("NFKC", last)).strip(".-_") or "file")
    if len(ending) > LONGEST_ENDING:
        stem, ending = stem + ending, ""
    if (wanted := _ending(kind)) and not _fits(ending, kind, wanted):
        stem, ending = stem + ending, wanted
    return stem.encode()[: LONGEST_NAME - len(ending.encode())].decode(errors="ignore") + ending


def _fits(ending: str, kind: str, wanted: str) -> bool:
    """Whether a file's ending goes with its type; plain text may be anything, such as a program or a table."""
    if ending and kind == "text/plain":
        return True
    return ending.lower() == wanted or mimetypes.guess_type(f"x{ending}")[0] == kind


def _ending(kind: str) -> str:
    """The ending of a type; "" for a type that says nothing, or that nobody knows."""
    return "" if kind in PLAIN else ENDINGS.get(kind) or mimetypes.guess_extension(kind) or ""
