"""A repository in an agent's folder: put there, and read back as text files; what code left in the way is not followed.

Report: App. E.5 (work on repositories).
"""

from collections.abc import Mapping
from typing import NamedTuple

from manyeyes.agent.workspace import WORK, PathRefused, Workspace

MOST_FILES = 500
MOST_BYTES = 2**20
"""Of all files together."""

Files = Mapping[str, str]
"""Text by path, relative to the repository's root."""


class Submission(NamedTuple):
    """What an agent hands in.

    Attributes:
        changed: files that are new or other than they were.
        removed: that were there and are no more.
        left_out: that are no text, or more than is taken.
    """

    changed: dict[str, str]
    removed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def lay_out(workspace: Workspace, files: Files) -> None:
    """Write files into an agent's folder."""
    for path, text in files.items():
        workspace.write(f"{WORK}/{path}", text.encode())


def submitted(workspace: Workspace, original: Files) -> Submission:
    """What became of the files that were laid out."""
    found, left_out, size = dict[str, str](), list[str](), 0
    for entry in workspace.files(WORK, most=MOST_FILES):
        path = entry.path.removeprefix(f"{WORK}/")
        if _is_litter(path):
            continue
        try:
            text = workspace.read(entry.path, most=MOST_BYTES - size).decode()
        except (PathRefused, UnicodeDecodeError):
            left_out.append(path)
            continue
        found[path], size = text, size + entry.size
    changed = {path: text for path, text in found.items() if original.get(path) != text}
    gone = tuple(path for path in original if path not in found and path not in left_out)
    return Submission(changed, gone, tuple(left_out))


def handed_in(original: Files, submission: Submission) -> dict[str, str]:
    """The repository as it was handed in."""
    return {path: text for path, text in {**original, **submission.changed}.items() if path not in submission.removed}


def _is_litter(path: str) -> bool:
    return "__pycache__/" in path or path.startswith(".git/") or "/.git/" in path
