import errno
import json
import os
from pathlib import Path

import pytest

from manyeyes.core.runlog import RunFolderError
from manyeyes.data.plan import Entry
from manyeyes.data.quarantine import Failure, Quarantine, stand_in

ENTRY = Entry("web", epoch=1, index=4, length=6, draw=14)
FAILURE = Failure("web", 4, 1, 6, "cut short")


def test_a_stand_in_has_the_planned_length_and_no_weight() -> None:
    sample = stand_in(ENTRY, pad_id=3)
    assert sample.ids.tolist() == [3] * 6 and not sample.weights.any() and sample.media == ()
    assert sample.name == "stand-in/web/4@1"


def test_failures_are_written_once_and_read_again(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    quarantine.add(FAILURE)
    quarantine.add(FAILURE)
    lines = (tmp_path / "quarantine" / "rank-0.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [FAILURE._asdict()]
    assert Quarantine(tmp_path / "quarantine", rank=3).reason(ENTRY) == "cut short"
    assert Quarantine(tmp_path / "other").reason(ENTRY) is None


def test_another_epoch_is_another_record() -> None:
    quarantine = Quarantine()
    quarantine.add(FAILURE)
    assert quarantine.reason(ENTRY._replace(epoch=2)) is None


def test_what_one_stage_cannot_use_another_may(tmp_path: Path) -> None:
    Quarantine(tmp_path, stage="joint").add(FAILURE._replace(stage="joint", reason="300 tokens, a row holds 256"))
    assert Quarantine(tmp_path, stage="joint").reason(ENTRY) == "300 tokens, a row holds 256"
    longer = Quarantine(tmp_path, stage="long")
    assert longer.reason(ENTRY) is None
    longer.add(FAILURE._replace(stage="long"))
    assert len(Quarantine(tmp_path).failures) == 2


def test_a_line_of_an_earlier_version_counts_in_every_stage(tmp_path: Path) -> None:
    Quarantine(tmp_path).add(FAILURE)
    path = tmp_path / "rank-0.jsonl"
    line = path.read_text()
    assert '"stage": ""' in line
    path.write_text(line.replace(', "stage": ""', ""))
    for stage in ("joint", "long"):
        quarantine = Quarantine(tmp_path, stage=stage)
        assert quarantine.reason(ENTRY) == "cut short"
        quarantine.add(FAILURE._replace(stage=stage))
    assert len(path.read_text().splitlines()) == 1


def test_a_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quarantine = Quarantine(tmp_path)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(Path, "open", lambda *_, **__: (_ for _ in ()).throw(full))
    with pytest.raises(RunFolderError, match="rank-0.jsonl: the disk is full"):
        quarantine.add(FAILURE)


def test_a_line_cut_by_a_kill_is_dropped_and_written_again(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.add(FAILURE)
    path = tmp_path / "rank-0.jsonl"
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    again = Quarantine(tmp_path)
    assert again.failures == [FAILURE]
    again.add(FAILURE._replace(index=5))
    assert [json.loads(line)["index"] for line in path.read_text().splitlines()] == [4, 5]
