"""`metrics.jsonl`: one JSON object a line, {"kind", "step", "time", ...values}, only ever appended to.

A line reaches the kernel before `append` returns, so a killed process loses none; a line cut by a power failure is
dropped when the log is next read or appended to. A checkpoint stores `position`; a resume calls `rewind(position)`, so
that the log of a resumed run reads like that of an uninterrupted one. NaN and infinities are written as the words
"NaN", "Infinity" and "-Infinity" (JSON has no such numbers) and come back as numbers.

    ManyeyesError
    └── RunFolderError    a run folder that cannot be read or written
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from time import time
from typing import Any, NamedTuple

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.out_of_space import OUT_OF_SPACE

# JSON has no such numbers, but a diverged loss must stay visible in the log.
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class RunFolderError(ManyeyesError):
    """A run folder that cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the log.

    Example:
        >>> Row("train", step=3, time=0.0, values={"loss": 2.5}).values["loss"]
        2.5
    """

    kind: str
    step: int
    time: float
    """Unix seconds at which it was written."""
    values: dict[str, Any]


class Tail(NamedTuple):
    """Complete lines from a position on, and the position after them."""

    rows: list[Row]
    position: int


class MetricsLog:
    """The log of one run. Opened for writing at the first `append`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None

    def append(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Writes one row.

        Args:
            kind: what the row is about: "train", "evaluation", "checkpoint", ...
            step: optimiser step, counted over the whole run.
            values: numbers (numpy scalars too), strings, lists, dicts of these.
        """
        row = dict(kind=kind, step=int(step), time=round(time(), 3), **_plain(values))
        line = json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n"
        with readable_errors(self.path):
            # Lone surrogates have no UTF-8; written as \udXXX they are still JSON.
            _append(self._appender(), line.encode(errors="backslashreplace"))

    def tail(self, position: int) -> Tail:
        """Rows written since `position` (0 or an earlier answer's); for pages that follow a live run."""
        if not self.path.exists():
            return Tail([], 0)
        with readable_errors(self.path), self.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < position:  # the run was rewound
                position = 0
            file.seek(position)
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        return Tail(list(_rows(complete, self.path)), position + len(complete))

    @property
    def position(self) -> int:
        """Bytes of complete lines in the log: what a checkpoint stores for `rewind`."""
        return self.tail(0).position if self._file is None else self._file.seek(0, os.SEEK_END)

    def rewind(self, position: int) -> None:
        """Forgets rows written after `position`; a log that ends before it (power failure) stays as it is."""
        with readable_errors(self.path):
            file = self._appender()
            if file.seek(0, os.SEEK_END) > position:
                file.truncate(position)
                _drop_cut_line(file)

    def close(self) -> None:
        """Closes the log; the next `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _appender(self) -> FileIO:
        if self._file is None:
            self._file = FileIO(self.path, "a+")
            _drop_cut_line(self._file)
        return self._file


@contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Turns an OSError about `path` into a RunFolderError that says what to do."""
    try:
        yield
    except OSError as error:
        if why := OUT_OF_SPACE.get(error.errno or 0):
            raise RunFolderError(
                f"{path}: {why}; free some space and resume, what was written before is intact"
            ) from error
        raise RunFolderError(f"{path}: {error.strerror or error}") from error


def _append(file: FileIO, line: bytes) -> None:
    """Writes the whole line, or leaves the file as it was."""
    start = file.seek(0, os.SEEK_END)
    try:
        rest = memoryview(line)
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        with suppress(OSError):
            file.truncate(start)
        raise


def _drop_cut_line(file: FileIO) -> None:
    """After a power failure the last line may be incomplete; appending to it would spoil the next one too."""
    end = file.seek(0, os.SEEK_END)
    start = end
    while start > 0:
        block = min(4096, start)
        file.seek(start - block)
        newline = file.read(block).rfind(b"\n")
        if newline >= 0:
            start += newline + 1 - block
            break
        start -= block
    if start < end:
        file.truncate(start)


def _rows(complete: bytes, path: Path) -> Iterator[Row]:
    for number, line in enumerate(complete.splitlines(), start=1):
        try:
            values = _revive(json.loads(line))
            yield Row(values.pop("kind"), values.pop("step"), values.pop("time"), values)
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError) as error:
            raise RunFolderError(
                f"{path}: line {number} is not a metrics row; the file was edited or damaged"
            ) from error


def _plain(value: Any) -> Any:
    """Whatever JSON can hold: numpy scalars and arrays become numbers and lists, NaN and infinities become words."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _revive(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _revive(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_revive(item) for item in value]
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value
