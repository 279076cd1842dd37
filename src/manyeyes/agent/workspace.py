"""`Workspace`: the three folders that an agent knows, and the only way from a name that a model wrote to a file.

    /inputs      what the user gave; read-only, the same for all agents
    /artefacts   what is to outlive the agents; shared by all of them
    /workspace        an agent's own; a relative name means a file here

The sandbox shows code the same names, so a path means the same in every tool. Code may leave links behind and may
exchange a folder for one while a name is being followed: names are followed one part at a time from an open folder, and
never through a link.

Report: App. E.8, App. F (artefact files).

    ManyeyesError
    └── PathRefused    a name that leads nowhere an agent may go
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from manyeyes.core.errors import ManyeyesError

INPUTS, ARTEFACTS, WORK = "/inputs", "/artefacts", "/workspace"
DEEPEST = 64
"""Folders within folders that are looked into: code can make them without end."""
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0) | os.O_RDONLY


class PathRefused(ManyeyesError):
    """A name that leads nowhere an agent may go."""


class Place(NamedTuple):
    """A name, taken apart.

    Attributes:
        top: one of the three folders, as agents name it.
        folder: where that is on this machine.
        parts: below it; no "..".
    """

    top: str
    folder: Path
    parts: tuple[str, ...]

    @property
    def shown(self) -> str:
        """As agents name it."""
        return "/".join((self.top, *self.parts))


class FileEntry(NamedTuple):
    """A file in a listing: its name as agents write it, and bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders of one agent.

    Attributes:
        inputs, artefacts: of the run.
        work: of this agent.
    """

    inputs: Path
    artefacts: Path
    work: Path

    @classmethod
    def of(cls, run: Path, agent: str) -> "Workspace":
        """The folders of an agent of the run in a folder, made where they are missing.

        Args:
            run: the run's folder.
            agent: such as "main/3".
        """
        made = cls(run / "inputs", run / "artefacts", run / "work" / agent.replace("/", "-"))
        for folder in (made.inputs, made.artefacts, made.work):
            folder.mkdir(parents=True, exist_ok=True)
        return made

    def place(self, name: str) -> Place:
        """Where a name leads.

        Raises:
            PathRefused: outside the three folders.
        """
        if not name.strip() or "\0" in name:
            raise PathRefused("a file needs a name, such as notes.md or /artefacts/table.csv")
        path = PurePosixPath(name) if name.startswith("/") else PurePosixPath(WORK, name)
        folders = {INPUTS: self.inputs, ARTEFACTS: self.artefacts, WORK: self.work}
        top = "/".join(path.parts[:2])[1:] if len(path.parts) > 1 else ""
        if top not in folders or ".." in path.parts:
            raise PathRefused(f"{name!r} is not below {INPUTS}, {ARTEFACTS} or {WORK}, which is all there is")
        return Place(top, folders[top], path.parts[2:])

    def open(self, name: str, mode: str = "r") -> IO[bytes]:
        """Open a file, binary; folders above a new one are made.

        Args:
            mode: "r", "w", "a", or "x", which fails when the file is there.

        Raises:
            PathRefused: no such file, a folder, a link on the way, or a name that may not be written.
        """
        place = self.place(name)
        if mode != "r" and place.top == INPUTS:
            raise PathRefused(f"{place.shown} cannot be written; write to {WORK} or {ARTEFACTS}")
        if not place.parts:
            raise PathRefused(f"{place.shown} is a folder")
        folder = _open_folder(place, make=mode != "r")
        try:
            return _open_file(folder, place, mode)
        finally:
            os.close(folder)

    def read(self, name: str, *, most: int) -> bytes:
        """A file's bytes. Raises PathRefused when there are more than `most`, and as `open` does."""
        with self.open(name) as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise PathRefused(f"{name} has {size:,} bytes; {most:,} can be read at most")
            return file.read(most)

    def write(self, name: str, content: bytes) -> str:
        """Write a whole file; returns its full name."""
        with self.open(name, "w") as file:
            file.write(content)
        return self.place(name).shown

    def files(self, name: str = WORK, *, most: int = 10_000) -> Iterator[FileEntry]:
        """Files at and below a name, sorted within each folder.

        Left out are links, names that cannot be printed, and what lies more than `DEEPEST` folders deep.

        Raises:
            PathRefused: nothing there.
        """
        place = self.place(name)
        if place.parts:
            parent = _open_folder(place._replace(parts=place.parts[:-1]), make=False, whole=True)
            try:
                found = os.stat(place.parts[-1], dir_fd=parent, follow_symlinks=False)
            except OSError as error:
                raise _refused(place, error) from None
            finally:
                os.close(parent)
            if stat.S_ISREG(found.st_mode):
                yield FileEntry(place.shown, found.st_size)
                return
        left = most
        for entry in _below(place):
            yield entry
            if (left := left - 1) <= 0:
                return


def _below(place: Place) -> Iterator[FileEntry]:
    """Files below a folder, depth first."""
    folder = _open_folder(place, make=False, whole=True)
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            below = place._replace(parts=(*place.parts, entry.name))
            if not entry.name.isprintable():
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    yield from _below(below) if len(below.parts) <= DEEPEST else ()
                elif entry.is_file(follow_symlinks=False):
                    yield FileEntry(below.shown, entry.stat(follow_symlinks=False).st_size)
            except (FileNotFoundError, PathRefused):
                continue  # code removed it, or put something else there, meanwhile
    finally:
        os.close(folder)


def _open_folder(place: Place, *, make: bool, whole: bool = False) -> int:
    """A descriptor of the folder that holds a place, or of the place itself when `whole`."""
    at = os.open(place.folder, _FOLDER & ~getattr(os, "O_NOFOLLOW", 0))
    for part in place.parts if whole else place.parts[:-1]:
        try:
            if make:
                _make(part, at)
            below = os.open(part, _FOLDER, dir_fd=at)
        except OSError as error:
            raise _refused(place, error) from None
        finally:
            os.close(at)
        at = below
    return at


def _make(part: str, at: int) -> None:
    try:
        os.mkdir(part, dir_fd=at)
    except FileExistsError:
        pass


def _open_file(folder: int, place: Place, mode: str) -> IO[bytes]:
    flags = {"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
             "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL}[mode]  # fmt: skip
    try:  # O_NONBLOCK: a named pipe that code left there must not hold us up
        file = os.open(place.parts[-1], flags | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0), 0o644, dir_fd=folder)
    except OSError as error:
        raise _refused(place, error) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise PathRefused(f"{place.shown} is not a plain file")
    return os.fdopen(file, "rb" if mode == "r" else "wb")


def _refused(place: Place, error: OSError) -> PathRefused:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return PathRefused(f"{place.shown} leads through a link or a file, which is not followed")
    if error.errno == errno.ENOENT:
        return PathRefused(f"there is no {place.shown}; list_files shows what there is")
    return PathRefused(f"{place.shown}: {error.strerror}")
