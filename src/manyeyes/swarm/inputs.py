"""What a user gives beside the words: files and folders, put below `inputs/` of the run, and told to the main agent.

Files are hard-linked where the file system allows it and copied elsewhere, so that a folder of videos costs no space;
they must not be edited in place while the run lives. Links are not followed. An AGENTS.md is read out in full: it says
how its folder is to be worked on.

Report: App. F (a folder of videos with an AGENTS.md).
"""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from manyeyes.agent.workspace import INPUTS, PathRefused, Workspace
from manyeyes.core.errors import ConfigError
from manyeyes.swarm.prompts import Language

GUIDE = "AGENTS.md"
LONGEST_GUIDE = 32_000
"""Bytes of an AGENTS.md that are read out; twice as many of all of them together."""
MOST_LISTED = 200
SAID: dict[Language, tuple[str, str, str, str]] = {
    "en": (
        "The user gave these files (read-only):",
        "… and {more} more; list_files shows them",
        "{path} says how they are to be worked on. Follow it:",
        "{path} says how its folder is to be worked on; read it before you do.",
    ),
    "zh": (
        "用户提供了以下文件（只读）：",
        "……另有 {more} 个；用 list_files 查看",
        "{path} 说明了如何处理这些文件，请遵循：",
        "{path} 说明了如何处理其所在文件夹；处理之前请先阅读。",
    ),
}


def place_inputs(given: Sequence[Path], folder: Path) -> None:
    """Put files and folders below a run's inputs.

    Raises:
        ConfigError: one is missing, is neither file nor folder, or two have one name.
    """
    names = [path.resolve().name for path in given]
    for path, name in zip(given, names, strict=True):
        if not path.is_file() and not path.is_dir():
            raise ConfigError(f"--inputs {path}: there is no such file or folder")
        if names.count(name) > 1:
            raise ConfigError(f"--inputs: two of them are called {name!r}; give the folder above them, or rename one")
    folder.mkdir(parents=True, exist_ok=True)
    for path, name in zip(given, names, strict=True):
        if path.is_dir() and len(given) == 1:
            _place_folder(path, folder)
        else:
            _place(path.resolve(), folder / name)


def _place(path: Path, to: Path) -> None:
    if path.is_dir():
        _place_folder(path, to)
    else:
        _link(path, to)


def _place_folder(path: Path, to: Path) -> None:
    inside = to.resolve()
    for root, folders, files in os.walk(path):
        folders[:] = [name for name in folders if (Path(root) / name).resolve() != inside]
        below = to / Path(root).relative_to(path)
        below.mkdir(parents=True, exist_ok=True)
        for name in files:
            if stat.S_ISREG((Path(root) / name).lstat().st_mode):  # no link, and no pipe, which would be waited for
                _link(Path(root) / name, below / name)


def _link(path: Path, to: Path) -> None:
    try:
        os.link(path, to, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        try:
            shutil.copy2(path, to, follow_symlinks=False)
        except OSError as error:
            raise ConfigError(f"--inputs: {path} cannot be copied: {error.strerror or error}") from None


def said_of_inputs(workspace: Workspace, language: Language) -> str:
    """What the main agent is told of its inputs; "" when there are none."""
    found = list(workspace.files(INPUTS))
    if not found:
        return ""
    heading, more, *_ = SAID[language]
    lines = [heading, *(f"- {entry.path} ({_size(entry.size)})" for entry in found[:MOST_LISTED])]
    if len(found) > MOST_LISTED:
        lines.append(more.format(more=len(found) - MOST_LISTED))
    guides = [entry.path for entry in found if entry.path.rpartition("/")[2] == GUIDE]
    return "\n".join([*lines, *_read_out(workspace, guides[:MOST_LISTED], language)])


def _read_out(workspace: Workspace, guides: Sequence[str], language: Language) -> Iterator[str]:
    left = 2 * LONGEST_GUIDE
    for path in guides:
        try:
            text = workspace.read(path, most=LONGEST_GUIDE).decode(errors="replace")
        except PathRefused as error:
            raise ConfigError(f"{path} cannot be read out: {error}") from None
        if (left := left - len(text)) < 0:
            yield SAID[language][3].format(path=path)
        else:
            yield f"\n{SAID[language][2].format(path=path)}\n\n{text.strip()}"


def _size(size: int) -> str:
    """As people write it; megabytes are 10^6 bytes.

    Example:
        >>> _size(812), _size(25_300_000)
        ('812 bytes', '25.3 MB')
    """
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} bytes"
