"""`Feed`: a run's journal as pages read it: by number, by agent, from the file, however long it grows.

Only where each line begins and whose it is stay in memory (some 20 bytes an event). A reader asks from the number that
it has on, so one that is slow, or was cut off, holds nothing up and misses nothing.

Report: §3.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from manyeyes.core.journal import EVENTS, Event, JournalError

CHUNK = 2**22
"""Bytes that are read at once."""


class _Head(msgspec.Struct):
    """What the index needs of a line; the rest of it is skipped, not decoded."""

    agent: str = ""


_HEAD = msgspec.json.Decoder(_Head).decode
_EVENT = msgspec.json.Decoder(Event).decode


class Feed:
    """The events of one run's folder.

    Args:
        folder: of the run; it need not hold a journal yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.agents: dict[str, array[int]] = {}
        self._starts = array("Q", [0])

    @property
    def count(self) -> int:
        """Events that are known."""
        return len(self._starts) - 1

    def refresh(self) -> int:
        """Take up what was written since the last time, a chunk at most; returns the number of events.

        Raises:
            JournalError: the file was damaged.
        """
        start = self._starts[-1]
        try:
            with (self.folder / EVENTS).open("rb") as file:
                file.seek(start)
                data = file.read(CHUNK)
                while data and b"\n" not in data and (more := file.read(CHUNK)):
                    data += more
        except FileNotFoundError:
            return self.count
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            self._index(line)
        return self.count

    def read_all(self) -> int:
        """Take up everything that is there; returns the number of events."""
        known = -1
        while known != self.count:
            known = self.count
            self.refresh()
        return known

    def events(self, first: int, *, most: int = 1000, most_bytes: int = CHUNK) -> list[Event]:
        """Events from a number on, as many as are known and fit; at least one if there is one."""
        last = min(self.count, first + most)
        while last - first > 1 and self._starts[last] - self._starts[first] > most_bytes:
            last = first + (last - first) // 2
        return list(self._read(range(first, last)))

    def of_agent(self, agent: str, first: int, *, most: int = 1000, most_bytes: int = CHUNK) -> list[Event]:
        """Events of one agent from a number on, as many as are known and fit; at least one if there is one."""
        numbers, size = [], 0
        known = self.agents.get(agent, array("Q"))
        for number in known[bisect_left(known, first) :]:
            size += self._starts[number + 1] - self._starts[number]
            if numbers and (len(numbers) >= most or size > most_bytes):
                break
            numbers.append(number)
        return list(self._read(numbers))

    def size_of(self, agent: str) -> int:
        """Bytes of one agent's events."""
        starts = self._starts
        return sum(starts[number + 1] - starts[number] for number in self.agents.get(agent, ()))

    def _index(self, line: bytes) -> None:
        try:
            agent = _HEAD(line).agent
        except msgspec.DecodeError as error:
            raise JournalError(
                f"{self.folder / EVENTS}: line {self.count + 1} is no event ({error}); the file was edited or damaged"
            ) from error
        if agent:
            self.agents.setdefault(agent, array("Q")).append(self.count)
        self._starts.append(self._starts[-1] + len(line))

    def _read(self, numbers: Sequence[int]) -> Iterator[Event]:
        if not numbers:
            return
        with (self.folder / EVENTS).open("rb") as file:
            at = -1
            for number in numbers:
                start, end = self._starts[number], self._starts[number + 1]
                if start != at:
                    file.seek(start)
                yield _EVENT(file.read(end - start))
                at = end
