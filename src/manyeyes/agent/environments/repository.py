"""A repository in an agent's folder: put there, and read back as text files; what code left in the way is not followed.

Report: App. E.5 (work on repositories).
"""

from collections.abc import Mapping
from itertools import islice
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
    """What became of the files that were laid out; they come first, however much else there is."""
    found, left_out, size = dict[str, str](), list[str](), 0
    all_files = (entry.path.removeprefix(f"{WORK}/") for entry in workspace.files(WORK))
    new = (path for path in all_files if path not in original and not _is_litter(path))
    for path in [*(path for path in original if _is_there(workspace, path)), *islice(new, MOST_FILES)]:
        try:
            if len(found) >= MOST_FILES:
                raise PathRefused(f"more than {MOST_FILES} files")
            data = workspace.read(f"{WORK}/{path}", most=MOST_BYTES - size)
            found[path], size = data.decode(), size + len(data)
        except (PathRefused, UnicodeDecodeError):
            left_out.append(path)
    changed = {path: text for path, text in found.items() if original.get(path) != text}
    gone = tuple(path for path in original if path not in found and path not in left_out)
    return Submission(changed, gone, tuple(left_out))


def handed_in(original: Files, submission: Submission) -> dict[str, str]:
    """The repository as it was handed in."""
    return {path: text for path, text in {**original, **submission.changed}.items() if path not in submission.removed}


def _is_there(workspace: Workspace, path: str) -> bool:
    try:
        first = next(workspace.files(f"{WORK}/{path}", most=1), None)
    except PathRefused:
        return False
    return first is not None and first.path == f"{WORK}/{path}"


def _is_litter(path: str) -> bool:
    return "__pycache__/" in path or path.startswith(".git/") or "/.git/" in path
