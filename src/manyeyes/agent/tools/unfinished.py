"""`Unfinished`: a file that is there whole or not at all, whatever stops whoever writes it.

    with Unfinished(workspace, "/artefacts/clip.mp4") as new:
        new.file.write(...)            a hidden file beside it, which goes when this block is left without `finish`
        path = new.finish()            the name that was asked for; replaces what was there

Others who read the folder never see half a file. No link is followed, and none that stands at the name is written
through.

Report: App. F (artefact files that other agents and a page read while agents work).
"""

import errno
import os
import secrets
from typing import IO

from manyeyes.agent.workspace import PathRefused, Place, Workspace, _open_folder

LONGEST_NAME = 180
"""Bytes of a file's name, of the 255 that file systems take, so that there is room for a number or a hidden name."""
MOST_NAMESAKES = 10_000


class Unfinished:
    """A new file of a workspace; a context manager.

    Args:
        workspace: of the agent.
        name: as the agent writes it.

    Raises:
        PathRefused: a name that may not be written.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        self._workspace, self._place = workspace, workspace.place(name)
        if not self._place.parts:
            raise PathRefused(f"{self._place.shown} is a folder")
        last = self._place.parts[-1]
        if len(last.encode()) > LONGEST_NAME:
            raise PathRefused(f"the file's name is longer than {LONGEST_NAME} bytes; give it a shorter one")
        self._hidden = self._place._replace(parts=(*self._place.parts[:-1], f".{last}.{secrets.token_hex(4)}.part"))
        self._finished = False
        self.file: IO[bytes] = workspace.open(self._hidden.shown, "x")

    def __enter__(self) -> "Unfinished":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if not self._finished:
            _remove(self._hidden)

    def finish(self, *, number: bool = False) -> str:
        """Give the file its name; returns the full one.

        Args:
            number: where the name is taken, put a number behind it, else replace what is there.

        Raises:
            PathRefused: a folder stands there, or thousands of files of that name.
        """
        self.file.close()
        folder = _open_folder(self._place, make=False)
        try:
            name = _free_name(folder, self._place) if number else self._place.parts[-1]
            os.rename(self._hidden.parts[-1], name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            raise PathRefused(f"{self._place.shown} cannot be written: {error.strerror}") from None
        finally:
            os.close(folder)
        self._finished = True
        return self._place._replace(parts=(*self._place.parts[:-1], name)).shown


def _free_name(folder: int, place: Place) -> str:
    """The name, with a number before its ending where others have it."""
    stem, ending = os.path.splitext(place.parts[-1])
    for number in range(1, MOST_NAMESAKES):
        name = f"{stem}{ending}" if number == 1 else f"{stem}-{number}{ending}"
        if not _is_there(folder, name):
            return name
    raise PathRefused(f"{place.shown}: {MOST_NAMESAKES:,} files have that name; choose another")


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return False
    return True


def _remove(place: Place) -> None:
    """Away with it; whoever took the folder away meanwhile took the file, too."""
    try:
        folder = _open_folder(place, make=False)
    except PathRefused:
        return
    try:
        os.unlink(place.parts[-1], dir_fd=folder)
    except FileNotFoundError:
        pass
    finally:
        os.close(folder)
