"""Quarantine: a record that cannot be read is written down and a stand-in of its planned length takes its place.

Never a silent skip: the order of all other samples stays as planned, and the list says what was lost and why. Lines
are written when a batch is handed out, in plan order, each record once a stage and epoch: what does not fit into the
rows of one stage may fit into those of the next. A record on the list stays out when a
run is resumed, even if the file has been repaired meanwhile, so that a resumed run equals the uninterrupted one; delete
its line (or the folder) to try again.

Report: App. C.1 (determinism).
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from manyeyes.core.metrics_log import readable_errors
from manyeyes.core.sample import Sample
from manyeyes.data.plan import Entry


class Failure(NamedTuple):
    """One record that had to be replaced."""

    source: str
    index: int
    epoch: int
    length: int
    reason: str
    stage: str = ""


def stand_in(entry: Entry, *, pad_id: int) -> Sample:
    """What takes the place of a broken record: as many pad tokens as planned, no weight, no media."""
    return Sample(
        ids=np.full(entry.length, pad_id, np.int32),
        weights=np.zeros(entry.length, np.float32),
        name=f"stand-in/{entry.name}",
    )


class Quarantine:
    """The list of failures of a run: one JSON line each, in `folder/rank-<rank>.jsonl`; in memory without a folder.

    All files of the folder are read at the start, so ranks may change from one start to the next.

    Args:
        stage: the stage that reads; failures of other stages are kept and do not count. Lines of earlier versions name
            no stage ("") and count in every one.

    Raises:
        RunFolderError: the folder cannot be read or written, or the disk is full.

    Example:
        >>> quarantine = Quarantine()
        >>> quarantine.add(Failure("toy", 3, 0, 12, "cut short"))
        >>> quarantine.reason(Entry("toy", epoch=0, index=3, length=12, draw=0))
        'cut short'
    """

    def __init__(self, folder: Path | None = None, *, rank: int = 0, stage: str = "") -> None:
        self.stage = stage
        self.path = None if folder is None else folder / f"rank-{rank}.jsonl"
        self.failures: list[Failure] = []
        self._reasons: dict[tuple[str, str, int, int], str] = {}
        if folder is not None:
            with readable_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                for path in sorted(folder.glob("rank-*.jsonl")):
                    for failure in _read(path):
                        self._remember(failure)

    def reason(self, entry: Entry) -> str | None:
        """Why an entry is quarantined; None if it is not."""
        record = (entry.source, entry.index, entry.epoch)
        return self._reasons.get((self.stage, *record), self._reasons.get(("", *record)))

    def add(self, failure: Failure) -> None:
        """Write a failure down unless it is known."""
        if self._remember(failure) and self.path is not None:
            with readable_errors(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(failure._asdict()) + "\n")

    def _remember(self, failure: Failure) -> bool:
        record = (failure.source, failure.index, failure.epoch)
        if not self._reasons.keys().isdisjoint({(failure.stage, *record), ("", *record)}):
            return False
        self._reasons[failure.stage, *record] = failure.reason
        self.failures.append(failure)
        return True


def _read(path: Path) -> list[Failure]:
    """The failures of a file; a last line cut short by a kill is removed, to be written again."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [Failure(**json.loads(line)) for line in whole.splitlines()]
