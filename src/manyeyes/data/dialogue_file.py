"""`DialogueFile`: people's own conversations for supervised fine-tuning, one a line in the OpenAI chat format.

Every line is read and checked when the file is opened; faults are named by line, and a file with faults is not used at
all. What stays in memory is where each line begins. The form of a line is that of `data.dialogue_json`.

Report: §4.4.1.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from manyeyes.core.errors import DataError, ManyeyesError
from manyeyes.data.collection import DIALOGUE
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.dialogue_json import read_line
from manyeyes.data.source import RecordError
from manyeyes.data.source_info import SourceInfo

SUFFIX = ".jsonl"
"""What a source's name ends with when it is such a file."""
NAMED_FAULTS = 10
"""Faults that are named one by one."""


class Entry(NamedTuple):
    """Where one dialogue stands: line (from 1), byte at which that begins, and which of the line's dialogues it is."""

    line: int
    start: int
    turn: int


class DialogueFile:
    """The dialogues of a file.

    Args:
        path: of the file; pictures lie in or below its folder.
        name: of the collection; the path where nothing is said.

    Raises:
        DataError: there is no such file, it holds nothing, or lines that cannot be used: each with its fault.
    """

    def __init__(self, path: str | Path, *, name: str = "") -> None:
        self.path = Path(path)
        self.name = name or str(path)
        self.entries: list[Entry] = []
        self.pictures_from = 0
        """The first line with pictures; 0 when there are none."""
        faults: list[str] = []
        for line, start, text in self._lines():
            try:
                self._take(line, start, text)
            except ManyeyesError as error:
                faults.append(f"  line {line}: {error}")
        if faults or not self.entries:
            raise DataError(self._refusal(faults))

    def __len__(self) -> int:
        return len(self.entries)

    def dialogue(self, index: int) -> Dialogue:
        """Entry `index`. Raises RecordError where the file has changed since it was opened."""
        line, start, turn = self.entries[index]
        with self.path.open("rb") as file:
            file.seek(start)
            text = file.readline()
        try:
            return self._read(line, text)[turn]
        except (ManyeyesError, IndexError) as error:
            if isinstance(error, OSError):
                raise
            raise RecordError(f"{self.path} was changed while it is in use; line {line} is another now") from error

    def _take(self, line: int, start: int, text: bytes) -> None:
        found = self._read(line, text)
        if not self.pictures_from and any(message.media for dialogue in found for message in dialogue.messages):
            self.pictures_from = line
        self.entries += [Entry(line, start, turn) for turn in range(len(found))]

    def _read(self, line: int, text: bytes) -> tuple[Dialogue, ...]:
        return read_line(text, f"{self.path.name}:{line}", folder=self.path.parent)

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """(number, first byte, bytes) of every line that is not blank."""
        start = 0
        try:
            with self.path.open("rb") as file:
                for number, text in enumerate(file, 1):
                    if text.strip():
                        yield number, start, text
                    start += len(text)
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be read ({error.strerror}); name a file with a JSON a line"
            ) from error

    def _refusal(self, faults: list[str]) -> str:
        if not faults:
            return f'{self.path} holds no dialogue; a line is {{"messages": [{{"role": "user", "content": ...}}, ...]}}'
        more = [f"  and {len(faults) - NAMED_FAULTS} more"] if len(faults) > NAMED_FAULTS else []
        return "\n".join([f"{self.path}: {len(faults)} lines cannot be used", *faults[:NAMED_FAULTS], *more])


def file_source(name: str) -> SourceInfo:
    """The description of a file as a source of that name; reads and checks the file.

    Raises:
        DataError: see `DialogueFile`.
    """
    found = _opened(name, *_state(Path(name)))
    pictures = found.pictures_from
    return SourceInfo(
        name=name,
        about=f"{len(found):,} dialogues of a file" + (f", with pictures from line {pictures} on" if pictures else ""),
        kind=DIALOGUE,
        domain="vision" if pictures else "text",
        licence="of whoever wrote it",
        origin=name,
        build=lambda split, seed, folder: found,
    )


def _state(path: Path) -> tuple[int, int]:
    """What changes when a file does; zeros where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=16)
def _opened(name: str, changed: int, size: int) -> DialogueFile:
    return DialogueFile(name)
