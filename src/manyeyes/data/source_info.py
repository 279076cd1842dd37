"""`SourceInfo`: what is known about a source before it is opened: kind, licence, origin, pins, and how to get it.

A description never changes. What it pins (versions of packages, hashes of archives) makes the records behind it the
same on every machine; other files are refused with the command that brings the right ones.

Report: App. C.1 (data registration), B.2, B.3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

from manyeyes.core.errors import DataError
from manyeyes.data.archives import Archive
from manyeyes.data.collection import DIALOGUE, Collection, Domain, Split
from manyeyes.data.dialogue import Dialogues
from manyeyes.data.packages import Package

Builder: TypeAlias = Callable[[Split, int, Path], Collection | Dialogues]
"""(split, seed, folder of fetched files) -> collection; dialogues for a source of that kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """The immutable description of one source.

    Attributes:
        name: unique; also the name of its collection.
        about: one line for people.
        kind: one of the report's seven visual kinds or four text domains, or "dialogue" (`data.collection`).
        domain: "vision" or "text".
        licence: of the content, as its origin states it.
        origin: where it comes from.
        build: makes the collection of a split.
        packages: pinned packages whose files it reads.
        archives: downloads that it reads from a folder that the user names.
        documents: long texts, to be split over samples without loss.
        synthetic: made by a program; a mixture may cap synthetic captions (`data.caption_cap`).
        share: suggested weight beside other sources of its domain.
        epochs: how often a mixture that says nothing of it may repeat it; None for no cap.
    """

    name: str
    about: str
    kind: str
    domain: Domain
    licence: str
    origin: str
    build: Builder
    packages: tuple[Package, ...] = ()
    archives: tuple[Archive, ...] = ()
    documents: bool = False
    synthetic: bool = False
    share: float = 1.0
    epochs: float | None = None

    @property
    def fetch(self) -> str:
        """The shell command that brings its files; "" when nothing is needed."""
        commands = [package.pip for package in self.packages] + [archive.fetch for archive in self.archives]
        return " && ".join(commands)

    @property
    def is_dialogues(self) -> bool:
        """Whether it is opened by `open_dialogues`."""
        return self.kind == DIALOGUE

    def missing(self, folder: Path | None = None) -> str | None:
        """Why it cannot be opened now, in one line with the command that helps; None when it can."""
        try:
            self._check(folder)
        except DataError as error:
            return str(error)
        return None

    def open(self, split: Split, *, seed: int = 0, folder: Path | None = None) -> Collection:
        """The collection of a split.

        Args:
            split: "train" or "test".
            seed: of generated content.
            folder: where fetched archives lie; needed by sources with `archives` only.

        Raises:
            DataError: a package or an archive is missing or is not the pinned one; it holds dialogues, no records.
        """
        if self.is_dialogues:
            raise DataError(f"{self.name} holds dialogues, no records; open it with open_dialogues")
        return cast(Collection, self.build(split, seed, self._check(folder)))

    def open_dialogues(self, split: Split, *, seed: int = 0, folder: Path | None = None) -> Dialogues:
        """The dialogues of a split; as `open`.

        Raises:
            DataError: as `open`; it holds records, no dialogues.
        """
        if not self.is_dialogues:
            raise DataError(f"{self.name} holds records of kind {self.kind}, no dialogues; open it with open")
        return cast(Dialogues, self.build(split, seed, self._check(folder)))

    def _check(self, folder: Path | None) -> Path:
        for package in self.packages:
            package.folder()
        if self.archives and folder is None:
            raise DataError(f"{self.name} reads downloaded files: name their folder; they come by: {self.fetch}")
        for archive in self.archives:
            archive.check(folder or Path())
        return folder or Path()
