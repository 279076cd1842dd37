"""Downloads: each outcome told, nothing overwritten, no half files, caps that hold, nothing private reached."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.tools.download import LONGEST_NAME, Downloads, file_name
from manyeyes.agent.tools.net_guard import Guard
from manyeyes.agent.toolset import ToolResult
from manyeyes.agent.workspace import Workspace
from manyeyes.core.messages import ToolCall

from .test_guarded_client import Server

MIB = 2**20


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.of(tmp_path / "run", "main")


async def files(request: web.Request) -> web.StreamResponse:
    path = request.path
    if path == "/table.csv":
        return web.Response(body=b"a,b\n", content_type="text/csv")
    if path == "/page":
        return web.Response(text="<p>hi", content_type="text/html")
    if path == "/big":
        return web.Response(body=b"x" * (MIB + 1))
    if path == "/half":
        response = web.StreamResponse(headers={"Content-Length": "100000"})
        await response.prepare(request)
        await response.write(b"x" * 50_000)
        assert request.transport is not None
        request.transport.close()
        return response
    if path == "/slow":
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x" * 70_000)
        await asyncio.sleep(3600)
    return web.Response(status=404)


def serve(use: Callable[[Downloads, str], Awaitable[None]], *, most: int = 8 * MIB) -> None:
    """Run `use` with downloads that may reach the test's server."""

    async def go() -> None:
        async with Server(files) as server:
            guard = Guard(allow=frozenset((server.place,)), most_bytes=MIB, most_sent=MIB)
            downloads = Downloads(guard, most=most)
            try:
                await use(downloads, f"http://{server.place}")
            finally:
                await downloads.close()

    asyncio.run(go())


async def call(downloads: Downloads, workspace: Workspace, *urls: str, **more: str) -> ToolResult:
    call = ToolCall.of("download", {"urls": list(urls), **more}, index=0)
    return await downloads.tools(workspace).call(call)


def test_each_address_has_its_own_outcome_and_nothing_is_overwritten(workspace: Workspace) -> None:
    async def use(downloads: Downloads, at: str) -> None:
        result = await call(downloads, workspace, f"{at}/table.csv", f"{at}/gone", f"{at}/page", "file:///etc/passwd")
        assert result.text.splitlines() == [
            f"- {at}/table.csv: /artefacts/downloads/table.csv (4 bytes, text/csv)",
            f"- {at}/gone: Error: {at}/gone answered 404 Not Found",
            f"- {at}/page: /artefacts/downloads/page.html (5 bytes, text/html)",
            "- file:///etc/passwd: Error: only http and https addresses can be opened, got 'file:///etc/passwd'",
        ]
        assert result.data["files"] == ["/artefacts/downloads/table.csv", "/artefacts/downloads/page.html"]
        again = await call(downloads, workspace, f"{at}/table.csv", f"{at}/table.csv?v=2")
        assert again.data["files"] == ["/artefacts/downloads/table-2.csv", "/artefacts/downloads/table-3.csv"]
        assert workspace.read("/artefacts/downloads/table-2.csv", most=10) == b"a,b\n"
        private = await call(downloads, workspace, f"{at}/table.csv", folder="/workspace/mine")
        assert private.data["files"] == [] and (workspace.work / "mine/table.csv").is_file()

    serve(use)


@pytest.mark.parametrize(("path", "said"), [("/big", "more than 1,048,576 bytes"), ("/half", "could not be reached")])
def test_a_file_that_fails_on_the_way_leaves_nothing(workspace: Workspace, path: str, said: str) -> None:
    async def use(downloads: Downloads, at: str) -> None:
        result = await call(downloads, workspace, at + path)
        assert result.failure == "refused" and said in result.text

    serve(use)
    assert os.listdir(workspace.artefacts / "downloads") == []


def test_a_cancelled_download_leaves_nothing(workspace: Workspace) -> None:
    async def use(downloads: Downloads, at: str) -> None:
        task = asyncio.ensure_future(call(downloads, workspace, f"{at}/slow"))
        folder = workspace.artefacts / "downloads"
        while not (folder.is_dir() and any(entry.stat().st_size for entry in folder.iterdir())):
            await asyncio.sleep(0.01)
            if task.done():
                pytest.fail(task.result().text)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert os.listdir(folder) == []

    serve(use)


def test_the_run_has_a_cap_that_files_share_and_a_resumed_run_remembers(workspace: Workspace) -> None:
    async def use(downloads: Downloads, at: str) -> None:
        first = await call(downloads, workspace, f"{at}/table.csv")
        assert not first.failure
        downloads.tools(workspace, noted=[first.data, {"unrelated": 1}])
        assert downloads.taken == 8
        second = await call(downloads, workspace, f"{at}/table.csv")
        assert second.failure == "refused" and "of this run may take 10 bytes, which are used up" in second.text

    serve(use, most=10)


@pytest.mark.parametrize("folder", ["/inputs/x", "/etc", "/artefacts/../inputs"])
def test_files_go_only_where_they_may(workspace: Workspace, folder: str) -> None:
    async def use(downloads: Downloads, at: str) -> None:
        assert (await call(downloads, workspace, f"{at}/table.csv", folder=folder)).failure == "refused"

    serve(use)
    assert not list(workspace.inputs.iterdir())


def test_a_private_address_is_not_reached(workspace: Workspace) -> None:
    async def go() -> None:
        async with Server(files) as server:
            downloads = Downloads()
            result = await call(downloads, workspace, f"http://{server.place}/table.csv", "http://169.254.169.254/x")
            await downloads.close()
            assert result.failure == "refused" and not server.paths

    asyncio.run(go())


@pytest.mark.parametrize(("url", "kind", "name"), [
    ("https://a.example/x/Report%202025.pdf?dl=1#top", "application/pdf", "Report-2025.pdf"),
    ("https://a.example/get.php", "application/pdf", "get.php.pdf"),
    ("https://a.example/data.tar.gz", "application/gzip", "data.tar.gz"),
    ("https://a.example/script.py", "text/plain", "script.py"),
    ("https://a.example/README", "text/plain", "README.txt"),
    ("https://a.example/..%2F..%2Fetc%2Fpasswd", "", "etc-passwd"),
    ("https://a.example/.bashrc", "application/octet-stream", "bashrc"),
    ("https://a.example/", "text/html", "a.example.html"),
    ("https://a.example/photo.JPG", "image/jpeg", "photo.JPG"),
    ("https://a.example/%E4%BA%8C.csv", "text/csv", "二.csv"),
])  # fmt: skip
def test_names_are_plain(url: str, kind: str, name: str) -> None:
    assert file_name(url, kind) == name


@given(st.text(max_size=300), st.sampled_from(["", "text/html", "image/png", "application/zip"]))
def test_every_name_is_one_part_that_hides_nothing(last: str, kind: str) -> None:
    name = file_name("https://a.example/" + quote(last.encode("utf-8", errors="ignore")), kind)
    assert name and not name.startswith(".") and not set(name) & set("/\\\0\n:") and len(name.encode()) <= LONGEST_NAME
