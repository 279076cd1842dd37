"""Pages of this machine under an address of their own, without a server: requests are answered from memory.

    https://pages.invalid/a/b.html    →    what `read("a/b.html")` gives

".invalid" leads nowhere, so nothing of it can ever come from the network, and a page there reaches nothing else but
what the browser's guard lets through.

Report: App. E.7; the means are an open choice here.
"""

import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from manyeyes.agent.environments.browser_computer import BrowserComputer

ROOT = "https://pages.invalid/"

Read = Callable[[str], bytes | None]
"""The bytes of a file by its path below `ROOT`; None where there is none."""


async def serve(computer: BrowserComputer, read: Read) -> None:
    """Answer what this computer asks below `ROOT`; last what was asked for first wins, so call it once."""

    async def answer(route: Any) -> None:
        path = unquote(urlsplit(route.request.url).path.lstrip("/"))
        content = read(path)
        if content is None:
            await route.fulfill(status=404, body="nothing here", content_type="text/plain")
        else:
            await route.fulfill(body=content, content_type=_kind(path))

    await computer.asked(computer.page.context.route(f"{ROOT}**", answer))


def folder(path: Path) -> Read:
    """The files of a folder and of those below; links and names that lead out of it are not followed."""
    root = path.resolve()

    def read(name: str) -> bytes | None:
        try:
            file = (root / name).resolve()
            return file.read_bytes() if file.is_relative_to(root) and file.is_file() else None
        except (OSError, ValueError, RuntimeError):  # a name that no file can have, or links in a circle
            return None

    return read


def _kind(path: str) -> str:
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind.endswith("javascript") else kind
