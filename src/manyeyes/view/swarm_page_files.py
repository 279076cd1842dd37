"""What a run left beside its journal, for the page: what was asked, pictures by hash, files that agents wrote.

Agents' files are opened through `Workspace`, which follows no link and leaves none of its folders.

Report: App. F (artefact files).
"""

import os
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import msgspec

from manyeyes.agent.workspace import ARTEFACTS, INPUTS, WORK, FileEntry, PathRefused, Workspace

MOST_FILES = 500
ASKED = ("task", "mode", "model", "preset", "day", "context_tokens")
"""Of a session's configuration; its endpoint's address stays here."""
_MAGIC = ((b"\x89PNG\r\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


def asked(folder: Path) -> dict[str, Any]:
    """What was asked, as far as it is written down by now."""
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return {key: config[key] for key in ASKED if key in config} if isinstance(config, dict) else {}


def picture_type(content: bytes) -> str:
    """The media type of a picture; of anything else one that no browser shows."""
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            return kind
    return "image/webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else "application/octet-stream"


def workspace(folder: Path, agent: str) -> Workspace:
    """The folders of an agent, none of them made."""
    return Workspace(folder / "inputs", folder / "artefacts", folder / "work" / agent.replace("/", "-"))


def files_of(folder: Path, agent: str) -> list[FileEntry]:
    """Files that an agent can see and may have written: its own and the shared ones."""
    found: list[FileEntry] = []
    for top in (ARTEFACTS, WORK):
        try:
            found += workspace(folder, agent).files(top, most=MOST_FILES)
        except (OSError, PathRefused):
            continue  # a run without such a folder
    return found


def opened(folder: Path, agent: str, name: str) -> tuple[IO[bytes], int]:
    """A file that an agent wrote, and its size.

    Raises:
        PathRefused: nothing there, a link, or no place of agents.
    """
    if not name.startswith((ARTEFACTS + "/", WORK + "/", INPUTS + "/")):
        raise PathRefused(f"{name!r} is not the full name of a file")
    try:
        file = workspace(folder, agent).open(name)
    except OSError as error:
        raise PathRefused(f"there is no {name}") from error
    return file, os.fstat(file.fileno()).st_size


def disposition(name: str) -> str:
    """The header that makes a browser keep a file instead of showing it."""
    return f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='')}"
