"""`SnapshotSeries`: the snapshots of a rollout run as a page draws them, while the file grows, and not too many.

Counts in snapshots are cumulative, so that leaving some out loses no event: every second one is dropped whenever there
are more than a page is wide.

Report: App. D (monitoring).
"""

from pathlib import Path
from typing import NamedTuple

import msgspec

from manyeyes.agent.rollouts.snapshot import ROLLOUTS, RolloutSnapshot

MOST = 1500
"""Snapshots that are kept."""
CHUNK = 2**22
"""Bytes that are read at once."""
_DECODER = msgspec.json.Decoder(RolloutSnapshot)


class SeriesPart(NamedTuple):
    """What a page lacks.

    Attributes:
        generation: changes when snapshots were dropped: what the page has is of no use any more.
        first: number of the first of `rows`.
        rows: from there on.
    """

    generation: int
    first: int
    rows: list[RolloutSnapshot]


class SnapshotSeries:
    """See the module.

    Args:
        folder: of the run; its file need not be there yet.
        most: snapshots that are kept.
    """

    def __init__(self, folder: Path, *, most: int = MOST) -> None:
        self.path, self.most = folder / ROLLOUTS, most
        self.rows: list[RolloutSnapshot] = []
        self.latest: RolloutSnapshot | None = None
        self.generation = 0
        self._stride, self._read, self._position = 1, 0, 0

    def refresh(self) -> None:
        """Take up what was written since the last time."""
        while chunk := self._chunk():
            for line in chunk.splitlines():
                self._take(line)

    def since(self, generation: int, have: int) -> SeriesPart:
        """What a page lacks that has so many snapshots of a generation."""
        first = min(have, len(self.rows)) if generation == self.generation else 0
        rows = self.rows[first:]
        if self.latest is not None and (not rows or rows[-1] is not self.latest):
            rows = [*rows, self.latest]  # the newest is always shown, though it may not stay
        return SeriesPart(self.generation, first, rows)

    def _chunk(self) -> bytes:
        """Whole lines."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                data = file.read(CHUNK)
                while data and b"\n" not in data and (more := file.read(CHUNK)):
                    data += more
        except FileNotFoundError:
            return b""
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        return whole

    def _take(self, line: bytes) -> None:
        try:
            self.latest = _DECODER.decode(line)
        except msgspec.DecodeError:
            return  # cut by a kill, and another process went on behind it
        if self._read % self._stride == 0:
            self.rows.append(self.latest)
        self._read += 1
        if len(self.rows) > self.most:
            self.rows = self.rows[::2]
            self._stride *= 2
            self.generation += 1
